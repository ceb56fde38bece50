//! The circuit breaker: after too many failures nobody is asked for a while, then one request tries.
//!
//! Settings come from the plan, the state outlives it. While a circuit is closed and nothing fails, admission and (in the
//! mode that counts in a row) success are one load of an atomic; everything else is one short lock.

use super::sliding_window::{Counts, SlidingWindow};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// When a circuit opens, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    pub trip: Trip,
    /// How long it stays open before one request may try.
    pub open_duration: Duration,
    /// Ocelot: a success counts whenever it comes, also one of a request that was sent before the circuit opened.
    pub late_success_closes: bool,
}

/// What opens a circuit.
#[derive(Clone, Debug, PartialEq)]
pub enum Trip {
    /// So many failures in a row.
    ConsecutiveFailures(u32),
    /// This part of the requests within the time, if there were enough of them.
    FailureRatio { min_requests: u32, ratio: f64, window: Duration },
}

/// One circuit.
#[derive(Debug, Default)]
pub struct Breaker {
    /// How things stand, for those who do not need the lock: the number of the phase, and in the two lowest bits
    /// whether it is closed and whether anything failed in it.
    state_word: AtomicU32,
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
    window: SlidingWindow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open(Instant),
    /// One request is under way, to see.
    HalfOpen,
}

/// What an admitted request gives back with its result.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    state_word: u32,
    probe: bool,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    None,
    Opened,
    Closed,
}

/// How long one who comes while somebody tries is told to wait.
const HALF_OPEN_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Breaker {
    /// May a request be sent? If not, how long not.
    pub fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let glance = self.state_word.load(Ordering::Acquire);
        if glance & OPEN == 0 {
            return Ok(Admission { state_word: glance, probe: false });
        }
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed => {
                Ok(Admission { state_word: self.state_word.load(Ordering::Relaxed), probe: false })
            }
            Phase::Open(until) if now < until => Err(until - now),
            Phase::Open(_) => {
                let glance = self.transition_to(&mut inner, Phase::HalfOpen);
                Ok(Admission { state_word: glance, probe: true })
            }
            Phase::HalfOpen => Err(HALF_OPEN_RETRY_AFTER),
        }
    }

    /// Whether a request would be refused now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.state_word.load(Ordering::Acquire) & OPEN != 0
            && match self.lock().phase {
                Phase::Closed => false,
                Phase::Open(until) => now < until,
                Phase::HalfOpen => true,
            }
    }

    /// What became of an admitted request; `None` if that says nothing about the service.
    pub fn report(
        &self,
        settings: &BreakerConfig,
        ticket: Admission,
        failed: Option<bool>,
        now: Instant,
    ) -> Transition {
        let in_a_row = matches!(settings.trip, Trip::ConsecutiveFailures(_));
        let glance = self.state_word.load(Ordering::Acquire);
        let calm = in_a_row && glance == ticket.state_word && glance & (OPEN | FAILED) == 0;
        match failed {
            None if !ticket.probe => return Transition::None,
            Some(false) if calm => return Transition::None,
            _ => {}
        }
        let mut inner = self.lock();
        let late = self.state_word.load(Ordering::Relaxed) / PHASE != ticket.state_word / PHASE;
        match (inner.phase, failed) {
            // Nobody knows: the next one may try.
            (Phase::HalfOpen, None) if !late => self.trip(&mut inner, now),
            (_, None) => Transition::None,
            (phase, Some(false)) if settings.late_success_closes => {
                self.on_success(&mut inner, phase, settings, now)
            }
            _ if late => Transition::None,
            (Phase::HalfOpen, Some(false)) => self.close(&mut inner),
            (Phase::HalfOpen, Some(true)) => self.trip(&mut inner, now + settings.open_duration),
            (Phase::Closed, Some(failed)) => self.on_failure(&mut inner, settings, failed, now),
            (Phase::Open(_), Some(_)) => Transition::None,
        }
    }

    /// Any success closes the circuit; in the mode of ratios, only when it is being tried.
    fn on_success(
        &self,
        inner: &mut Inner,
        phase: Phase,
        settings: &BreakerConfig,
        now: Instant,
    ) -> Transition {
        match (phase, &settings.trip) {
            (Phase::Closed, _) => self.on_failure(inner, settings, false, now),
            (Phase::Open(_), Trip::FailureRatio { .. }) => Transition::None,
            _ => self.close(inner),
        }
    }

    /// A result while the circuit is closed.
    fn on_failure(
        &self,
        inner: &mut Inner,
        settings: &BreakerConfig,
        failed: bool,
        now: Instant,
    ) -> Transition {
        inner.failures = if failed { inner.failures.saturating_add(1) } else { 0 };
        let glance = self.state_word.load(Ordering::Relaxed);
        let flag = if inner.failures > 0 { FAILED } else { 0 };
        self.state_word.store(glance & !FAILED | flag, Ordering::Release);
        let trips = match settings.trip {
            Trip::ConsecutiveFailures(most) => inner.failures >= most,
            Trip::FailureRatio { min_requests: least, ratio, window: within } => {
                inner.window.add(now, within, Counts { total: 1, failures: u32::from(failed) });
                let sum = inner.window.sum(now, within);
                failed && sum.total >= least && f64::from(sum.failures) >= ratio * f64::from(sum.total)
            }
        };
        if trips { self.trip(inner, now + settings.open_duration) } else { Transition::None }
    }

    fn trip(&self, inner: &mut Inner, until: Instant) -> Transition {
        let was = inner.phase;
        self.transition_to(inner, Phase::Open(until));
        if was == Phase::Closed { Transition::Opened } else { Transition::None }
    }

    fn close(&self, inner: &mut Inner) -> Transition {
        inner.failures = 0;
        inner.window.clear();
        self.transition_to(inner, Phase::Closed);
        Transition::Closed
    }

    /// Begins a phase; results of the one before are late from now on.
    fn transition_to(&self, inner: &mut Inner, phase: Phase) -> u32 {
        let number = (self.state_word.load(Ordering::Relaxed) / PHASE).wrapping_add(1);
        let flag = if phase == Phase::Closed { 0 } else { OPEN };
        let glance = number.wrapping_mul(PHASE) | flag;
        inner.phase = phase;
        self.state_word.store(glance, Ordering::Release);
        glance
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted request: what became of it is reported once; if nobody says, it said nothing.
#[derive(Debug)]
pub struct AdmissionGuard<'b> {
    breaker: &'b Breaker,
    settings: &'b BreakerConfig,
    ticket: Option<Admission>,
}

impl<'b> AdmissionGuard<'b> {
    pub fn new(breaker: &'b Breaker, settings: &'b BreakerConfig, ticket: Admission) -> AdmissionGuard<'b> {
        AdmissionGuard { breaker, settings, ticket: Some(ticket) }
    }

    /// What became of it.
    pub fn report(mut self, failed: Option<bool>) -> Transition {
        let Some(ticket) = self.ticket.take() else { return Transition::None };
        self.breaker.report(self.settings, ticket, failed, Instant::now())
    }
}

impl Drop for AdmissionGuard<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.report(self.settings, ticket, None, Instant::now());
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
