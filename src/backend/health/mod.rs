//! Which endpoints may be chosen: probes ask them, and what attempts see counts too. Off unless configured. What is known
//! outlives plans with the endpoint; whether it matters is the configuration's to say.

pub mod keeper;
mod passive;
mod probe;
#[cfg(test)]
mod tests;

pub use passive::Passive;
pub use probe::{ProbeKind, Probing};

use crate::telemetry::EndpointMetrics;
use passive::Window;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What a plan says about the health of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthSpec {
    pub active: Option<Arc<Probing>>,
    pub passive: Option<Passive>,
    /// When less than so many percent may be chosen, all are: better a try than none.
    pub panic: u32,
}

impl HealthSpec {
    /// Whether there is nothing to know.
    pub fn is_off(&self) -> bool {
        self.active.is_none() && self.passive.is_none()
    }

    /// Whether an endpoint may be chosen, as far as this goes.
    pub fn admits(&self, health: &Health) -> bool {
        health.out.load(Relaxed) & self.mask() == 0
    }

    fn mask(&self) -> u8 {
        let of = |on: bool, flag| if on { flag } else { 0 };
        of(self.active.is_some(), UNHEALTHY) | of(self.passive.is_some(), EJECTED)
    }

    /// Those that may be chosen of so many are too few to be left to it.
    pub fn is_panic(&self, usable: usize, all: usize) -> bool {
        usable * 100 < self.panic as usize * all
    }

    /// What an endpoint is, in a word, and why.
    pub fn told(&self, health: &Health, now: Instant) -> (&'static str, String, Option<Duration>) {
        let record = health.record();
        let out = health.out.load(Relaxed) & self.mask();
        if out & EJECTED != 0 {
            let left = record.ejected_until.map(|until| until.saturating_duration_since(now));
            return ("ejected", record.ejected_for.clone(), left);
        }
        match (&self.active, &record.probed) {
            (Some(_), Some((_, why))) if out & UNHEALTHY != 0 => ("unhealthy", why.clone(), None),
            (Some(_), Some((run, why))) if *run < 0 => ("healthy", why.clone(), None),
            (Some(_), Some(_)) => ("healthy", String::new(), None),
            (Some(_), None) => ("unknown", "it was not probed yet".to_owned(), None),
            (None, _) if self.passive.is_some() => ("healthy", String::new(), None),
            (None, _) => ("unchecked", String::new(), None),
        }
    }
}

/// Probes say that it is not to be used.
const UNHEALTHY: u8 = 1;
/// It failed too often, and is left alone for a while.
const EJECTED: u8 = 2;

/// What is known of the health of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    /// What speaks against it.
    out: AtomicU8,
    /// Failures in a row.
    failures: AtomicU32,
    window: Window,
    record: Mutex<Record>,
    metrics: OnceLock<Arc<EndpointMetrics>>,
}

/// What changes seldom.
#[derive(Debug, Default)]
struct Record {
    /// Good probes in a row, or bad ones as a negative number, and what the last bad one said.
    probed: Option<(i32, String)>,
    ejected_until: Option<Instant>,
    ejected_for: String,
    /// Ejections that followed each other closely.
    ejections: u32,
}

impl Health {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is counted there.
    pub fn count(&self, metrics: impl FnOnce() -> Arc<EndpointMetrics>) {
        self.metrics.get_or_init(metrics);
    }

    fn counted(&self, what: impl FnOnce(&EndpointMetrics)) {
        if let Some(metrics) = self.metrics.get() {
            what(metrics);
        }
    }

    fn set(&self, flag: u8, on: bool) {
        let before = if on { self.out.fetch_or(flag, Relaxed) } else { self.out.fetch_and(!flag, Relaxed) };
        let after = if on { before | flag } else { before & !flag };
        self.counted(|metrics| metrics.set_up(after == 0));
    }

    /// Takes in what a probe found; whether that changes anything. The first one decides at once.
    pub fn probed(&self, found: Result<(), String>, probing: &Probing) -> bool {
        self.counted(|metrics| metrics.probed(found.is_ok()));
        let mut record = self.record();
        let (run, why) = record.probed.take().unwrap_or_default();
        let (first, out) = (run == 0, self.out.load(Relaxed) & UNHEALTHY != 0);
        let (run, why, wants_out) = match found {
            Ok(()) => {
                let run = run.max(0).saturating_add(1);
                (run, why, out && run.unsigned_abs() < probing.healthy)
            }
            Err(new) => {
                let run = run.min(0).saturating_sub(1);
                (run, new, out || first || run.unsigned_abs() >= probing.unhealthy)
            }
        };
        record.probed = Some((run, why));
        if wants_out != out {
            self.set(UNHEALTHY, wants_out);
        }
        wants_out != out
    }

    /// Whether it is left alone because it failed too often.
    pub fn is_ejected(&self) -> bool {
        self.out.load(Relaxed) & EJECTED != 0
    }

    /// Leaves it alone for a while, longer each time that follows the last one closely; until when.
    pub fn eject(&self, passive: &Passive, why: String, now: Instant) -> Instant {
        let mut record = self.record();
        let close = record.ejected_until.is_some_and(|end| now < end + passive.longest);
        record.ejections = if close { record.ejections.saturating_add(1) } else { 0 };
        let grown = passive.ejection.saturating_mul(1 << record.ejections.min(20));
        let until = now + grown.min(passive.longest);
        (record.ejected_until, record.ejected_for) = (Some(until), why);
        self.failures.store(0, Relaxed);
        self.window.restart(now);
        self.set(EJECTED, true);
        self.counted(EndpointMetrics::ejected);
        until
    }

    /// Takes it back when its time is over; whether it did.
    pub fn readmit(&self, now: Instant) -> bool {
        let over = self.record().ejected_until.is_some_and(|until| until <= now);
        let back = over && self.is_ejected();
        if back {
            self.set(EJECTED, false);
        }
        back
    }
}
