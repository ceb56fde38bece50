//! The circuit breaker: after too many failures nobody is asked for a while, then one request tries.
//!
//! Settings come from the plan, the state outlives it. While a circuit is closed and nothing fails, admission and (in the
//! mode that counts in a row) success are one load of an atomic; everything else is one short lock.

use super::window::{Counts, Window};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// When a circuit opens, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub trip: Trip,
    /// How long it stays open before one request may try.
    pub pause: Duration,
    /// Ocelot: a success counts whenever it comes, also one of a request that was sent before the circuit opened.
    pub forgiving: bool,
}

/// What opens a circuit.
#[derive(Clone, Debug, PartialEq)]
pub enum Trip {
    /// So many failures in a row.
    InARow(u32),
    /// This part of the requests within the time, if there were enough of them.
    Ratio { least: u32, ratio: f64, within: Duration },
}

/// One circuit.
#[derive(Debug, Default)]
pub struct Breaker {
    /// How things stand, for those who do not need the lock: the number of the phase, and in the two lowest bits
    /// whether it is closed and whether anything failed in it.
    glance: AtomicU32,
    inner: Mutex<Inner>,
}

const OPEN: u32 = 1;
const FAILED: u32 = 2;
const PHASE: u32 = 4;

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    /// Failures in a row.
    failures: u32,
    window: Window,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open(Instant),
    /// One request is under way, to see.
    Trying,
}

/// What an admitted request gives back with its result.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    glance: u32,
    probe: bool,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Opened,
    Closed,
}

/// How long one who comes while somebody tries is told to wait.
const MOMENT: Duration = Duration::from_secs(1);

impl Breaker {
    /// May a request be sent? If not, how long not.
    pub fn admit(&self, now: Instant) -> Result<Ticket, Duration> {
        let glance = self.glance.load(Ordering::Acquire);
        if glance & OPEN == 0 {
            return Ok(Ticket { glance, probe: false });
        }
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed => Ok(Ticket { glance: self.glance.load(Ordering::Relaxed), probe: false }),
            Phase::Open(until) if now < until => Err(until - now),
            Phase::Open(_) => {
                let glance = self.enter(&mut inner, Phase::Trying);
                Ok(Ticket { glance, probe: true })
            }
            Phase::Trying => Err(MOMENT),
        }
    }

    /// Whether a request would be refused now.
    pub fn is_shut(&self, now: Instant) -> bool {
        self.glance.load(Ordering::Acquire) & OPEN != 0
            && match self.lock().phase {
                Phase::Closed => false,
                Phase::Open(until) => now < until,
                Phase::Trying => true,
            }
    }

    /// What became of an admitted request; `None` if that says nothing about the service.
    pub fn report(&self, settings: &Settings, ticket: Ticket, failed: Option<bool>, now: Instant) -> Change {
        let in_a_row = matches!(settings.trip, Trip::InARow(_));
        let glance = self.glance.load(Ordering::Acquire);
        let calm = in_a_row && glance == ticket.glance && glance & (OPEN | FAILED) == 0;
        match failed {
            None if !ticket.probe => return Change::None,
            Some(false) if calm => return Change::None,
            _ => {}
        }
        let mut inner = self.lock();
        let late = self.glance.load(Ordering::Relaxed) / PHASE != ticket.glance / PHASE;
        match (inner.phase, failed) {
            // Nobody knows: the next one may try.
            (Phase::Trying, None) if !late => self.open(&mut inner, now),
            (_, None) => Change::None,
            (phase, Some(false)) if settings.forgiving => self.forgive(&mut inner, phase, settings, now),
            _ if late => Change::None,
            (Phase::Trying, Some(false)) => self.close(&mut inner),
            (Phase::Trying, Some(true)) => self.open(&mut inner, now + settings.pause),
            (Phase::Closed, Some(failed)) => self.count(&mut inner, settings, failed, now),
            (Phase::Open(_), Some(_)) => Change::None,
        }
    }

    /// Any success closes the circuit; in the mode of ratios, only when it is being tried.
    fn forgive(&self, inner: &mut Inner, phase: Phase, settings: &Settings, now: Instant) -> Change {
        match (phase, &settings.trip) {
            (Phase::Closed, _) => self.count(inner, settings, false, now),
            (Phase::Open(_), Trip::Ratio { .. }) => Change::None,
            _ => self.close(inner),
        }
    }

    /// A result while the circuit is closed.
    fn count(&self, inner: &mut Inner, settings: &Settings, failed: bool, now: Instant) -> Change {
        inner.failures = if failed { inner.failures.saturating_add(1) } else { 0 };
        let glance = self.glance.load(Ordering::Relaxed);
        let flag = if inner.failures > 0 { FAILED } else { 0 };
        self.glance.store(glance & !FAILED | flag, Ordering::Release);
        let trips = match settings.trip {
            Trip::InARow(most) => inner.failures >= most,
            Trip::Ratio { least, ratio, within } => {
                inner.window.add(now, within, Counts { all: 1, bad: u32::from(failed) });
                let sum = inner.window.sum(now, within);
                failed && sum.all >= least && f64::from(sum.bad) >= ratio * f64::from(sum.all)
            }
        };
        if trips { self.open(inner, now + settings.pause) } else { Change::None }
    }

    fn open(&self, inner: &mut Inner, until: Instant) -> Change {
        let was = inner.phase;
        self.enter(inner, Phase::Open(until));
        if was == Phase::Closed { Change::Opened } else { Change::None }
    }

    fn close(&self, inner: &mut Inner) -> Change {
        inner.failures = 0;
        inner.window.clear();
        self.enter(inner, Phase::Closed);
        Change::Closed
    }

    /// Begins a phase; results of the one before are late from now on.
    fn enter(&self, inner: &mut Inner, phase: Phase) -> u32 {
        let number = (self.glance.load(Ordering::Relaxed) / PHASE).wrapping_add(1);
        let flag = if phase == Phase::Closed { 0 } else { OPEN };
        let glance = number.wrapping_mul(PHASE) | flag;
        inner.phase = phase;
        self.glance.store(glance, Ordering::Release);
        glance
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted request: what became of it is reported once; if nobody says, it said nothing.
#[derive(Debug)]
pub struct Pass<'b> {
    breaker: &'b Breaker,
    settings: &'b Settings,
    ticket: Option<Ticket>,
}

impl<'b> Pass<'b> {
    pub fn new(breaker: &'b Breaker, settings: &'b Settings, ticket: Ticket) -> Pass<'b> {
        Pass { breaker, settings, ticket: Some(ticket) }
    }

    /// What became of it.
    pub fn report(mut self, failed: Option<bool>) -> Change {
        let Some(ticket) = self.ticket.take() else { return Change::None };
        self.breaker.report(self.settings, ticket, failed, Instant::now())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.report(self.settings, ticket, None, Instant::now());
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
