//! Which endpoints may be chosen: probes ask them, and what attempts see counts too. Off unless configured. What is known
//! outlives plans with the endpoint; whether it matters is the configuration's to say.

pub mod tasks;
mod outlier_detection;
mod active;
#[cfg(test)]
mod tests;

pub use active::{ActiveCheck, ProbeKind};
pub use outlier_detection::OutlierDetection;

use crate::telemetry::EndpointMetrics;
use outlier_detection::FailureWindow;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What a plan says about the health of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthConfig {
    pub active: Option<Arc<ActiveCheck>>,
    pub passive: Option<OutlierDetection>,
    /// When less than so many percent may be chosen, all are: better a try than none.
    pub panic_threshold: u32,
}

impl HealthConfig {
    /// Whether there is nothing to know.
    pub fn is_disabled(&self) -> bool {
        self.active.is_none() && self.passive.is_none()
    }

    /// Whether an endpoint may be chosen, as far as this goes.
    pub fn is_eligible(&self, health: &Health) -> bool {
        health.flags.load(Relaxed) & self.admission_mask() == 0
    }

    fn admission_mask(&self) -> u8 {
        let of = |on: bool, flag| if on { flag } else { 0 };
        of(self.active.is_some(), UNHEALTHY) | of(self.passive.is_some(), EJECTED)
    }

    /// Those that may be chosen of so many are too few to be left to it.
    pub fn is_panic(&self, usable: usize, all: usize) -> bool {
        usable * 100 < self.panic_threshold as usize * all
    }

    /// What an endpoint is, in a word, and why.
    pub fn status_and_reason(
        &self,
        health: &Health,
        now: Instant,
    ) -> (&'static str, String, Option<Duration>) {
        let record = health.record_attempt();
        let out = health.flags.load(Relaxed) & self.admission_mask();
        if out & EJECTED != 0 {
            let left = record.ejected_until.map(|until| until.saturating_duration_since(now));
            return ("ejected", record.last_ejection_time.clone(), left);
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
    flags: AtomicU8,
    /// Failures in a row.
    failures: AtomicU32,
    window: FailureWindow,
    record_attempt: Mutex<HealthRecord>,
    metrics: OnceLock<Arc<EndpointMetrics>>,
}

/// What changes seldom.
#[derive(Debug, Default)]
struct HealthRecord {
    /// Good probes in a row, or bad ones as a negative number, and what the last bad one said.
    probed: Option<(i32, String)>,
    ejected_until: Option<Instant>,
    last_ejection_time: String,
    /// Ejections that followed each other closely.
    ejections: u32,
}

impl Health {
    fn record_attempt(&self) -> MutexGuard<'_, HealthRecord> {
        self.record_attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is counted there.
    pub fn count(&self, metrics: impl FnOnce() -> Arc<EndpointMetrics>) {
        self.metrics.get_or_init(metrics);
    }

    fn count_outcome(&self, what: impl FnOnce(&EndpointMetrics)) {
        if let Some(metrics) = self.metrics.get() {
            what(metrics);
        }
    }

    fn set(&self, flag: u8, on: bool) {
        let before =
            if on { self.flags.fetch_or(flag, Relaxed) } else { self.flags.fetch_and(!flag, Relaxed) };
        let after = if on { before | flag } else { before & !flag };
        self.count_outcome(|metrics| metrics.set_up(after == 0));
    }

    /// Takes in what a probe found; whether that changes anything. The first one decides at once.
    pub fn record_probe(&self, found: Result<(), String>, probing: &ActiveCheck) -> bool {
        self.count_outcome(|metrics| metrics.probed(found.is_ok()));
        let mut record = self.record_attempt();
        let (run, why) = record.probed.take().unwrap_or_default();
        let (first, out) = (run == 0, self.flags.load(Relaxed) & UNHEALTHY != 0);
        let (run, why, wants_out) = match found {
            Ok(()) => {
                let run = run.max(0).saturating_add(1);
                (run, why, out && run.unsigned_abs() < probing.healthy_threshold)
            }
            Err(new) => {
                let run = run.min(0).saturating_sub(1);
                (run, new, out || first || run.unsigned_abs() >= probing.unhealthy_threshold)
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
        self.flags.load(Relaxed) & EJECTED != 0
    }

    /// Leaves it alone for a while, longer each time that follows the last one closely; until when.
    pub fn eject(&self, passive: &OutlierDetection, why: String, now: Instant) -> Instant {
        let mut record = self.record_attempt();
        let close = record.ejected_until.is_some_and(|end| now < end + passive.max_ejection_time);
        record.ejections = if close { record.ejections.saturating_add(1) } else { 0 };
        let grown = passive.base_ejection_time.saturating_mul(1 << record.ejections.min(20));
        let until = now + grown.min(passive.max_ejection_time);
        (record.ejected_until, record.last_ejection_time) = (Some(until), why);
        self.failures.store(0, Relaxed);
        self.window.restart(now);
        self.set(EJECTED, true);
        self.count_outcome(EndpointMetrics::ejected);
        until
    }

    /// Takes it back when its time is over; whether it did.
    pub fn end_ejection(&self, now: Instant) -> bool {
        let over = self.record_attempt().ejected_until.is_some_and(|until| until <= now);
        let back = over && self.is_ejected();
        if back {
            self.set(EJECTED, false);
        }
        back
    }
}
