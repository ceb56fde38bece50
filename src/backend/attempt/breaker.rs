//! Circuit breaker: opens after too many failures, rejects requests for `open_duration`, then admits one
//! trial request (half-open).
//!
//! Settings come from the plan, the state outlives it. While a breaker is closed and nothing fails, admission
//! and (when consecutive failures are counted) a success cost one atomic load; everything else is one short
//! lock.

use crate::backend::sliding_window::{Counts, SlidingWindow};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    pub trip: Trip,
    /// How long it stays open before one trial request is admitted.
    pub open_duration: Duration,
    /// Ocelot: any success closes the breaker, also of a request sent before it opened.
    pub late_success_closes: bool,
}

/// The condition that opens a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Trip {
    /// This number of consecutive failures.
    ConsecutiveFailures(u32),
    /// This share of failed requests within the window, with at least `min_requests` requests.
    FailureRatio { min_requests: u32, ratio: f64, window: Duration },
}

/// One circuit breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    /// The state for readers without the lock: the number of the phase, and in the two lowest bits [`OPEN`]
    /// and [`FAILED`].
    state_word: AtomicU32,
    inner: Mutex<Inner>,
}

const OPEN: u32 = 1;
const FAILED: u32 = 2;
const PHASE: u32 = 4;

#[derive(Debug, Default)]
struct Inner {
    phase: Phase,
    /// Consecutive failures.
    failures: u32,
    window: SlidingWindow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open(Instant),
    /// One trial request is in flight.
    HalfOpen,
}

/// The admission of a request; reported back with its result.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    state_word: u32,
    is_trial: bool,
}

/// The state change that a result caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    None,
    Opened,
    Closed,
}

/// The `Retry-After` of requests while the trial request is in flight.
const HALF_OPEN_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Breaker {
    /// Admits a request, or returns how long the breaker stays open.
    pub fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let state = self.state_word.load(Ordering::Acquire);
        if state & OPEN == 0 {
            return Ok(Admission { state_word: state, is_trial: false });
        }
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed => {
                Ok(Admission { state_word: self.state_word.load(Ordering::Relaxed), is_trial: false })
            }
            Phase::Open(until) if now < until => Err(until - now),
            Phase::Open(_) => {
                let state = self.transition_to(&mut inner, Phase::HalfOpen);
                Ok(Admission { state_word: state, is_trial: true })
            }
            Phase::HalfOpen => Err(HALF_OPEN_RETRY_AFTER),
        }
    }

    /// Whether a request would be rejected now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.state_word.load(Ordering::Acquire) & OPEN != 0
            && match self.lock().phase {
                Phase::Closed => false,
                Phase::Open(until) => now < until,
                Phase::HalfOpen => true,
            }
    }

    /// Records the result of an admitted request; `None` if the result does not concern the backend.
    pub fn report(
        &self,
        config: &BreakerConfig,
        admission: Admission,
        failed: Option<bool>,
        now: Instant,
    ) -> Transition {
        let counts_consecutive = matches!(config.trip, Trip::ConsecutiveFailures(_));
        let state = self.state_word.load(Ordering::Acquire);
        let is_unchanged =
            counts_consecutive && state == admission.state_word && state & (OPEN | FAILED) == 0;
        match failed {
            None if !admission.is_trial => return Transition::None,
            Some(false) if is_unchanged => return Transition::None,
            _ => {}
        }
        let mut inner = self.lock();
        let is_late = self.state_word.load(Ordering::Relaxed) / PHASE != admission.state_word / PHASE;
        match (inner.phase, failed) {
            // No result: the next request is the trial request.
            (Phase::HalfOpen, None) if !is_late => self.trip(&mut inner, now),
            (_, None) => Transition::None,
            (phase, Some(false)) if config.late_success_closes => {
                self.on_success(&mut inner, phase, config, now)
            }
            _ if is_late => Transition::None,
            (Phase::HalfOpen, Some(false)) => self.close(&mut inner),
            (Phase::HalfOpen, Some(true)) => self.trip(&mut inner, now + config.open_duration),
            (Phase::Closed, Some(failed)) => self.on_failure(&mut inner, config, failed, now),
            (Phase::Open(_), Some(_)) => Transition::None,
        }
    }

    /// A success in Ocelot mode: closes the breaker; with a failure ratio, only in the half-open state.
    fn on_success(
        &self,
        inner: &mut Inner,
        phase: Phase,
        config: &BreakerConfig,
        now: Instant,
    ) -> Transition {
        match (phase, &config.trip) {
            (Phase::Closed, _) => self.on_failure(inner, config, false, now),
            (Phase::Open(_), Trip::FailureRatio { .. }) => Transition::None,
            _ => self.close(inner),
        }
    }

    /// Counts a result while the breaker is closed; opens it if the condition holds.
    fn on_failure(
        &self,
        inner: &mut Inner,
        config: &BreakerConfig,
        failed: bool,
        now: Instant,
    ) -> Transition {
        inner.failures = if failed { inner.failures.saturating_add(1) } else { 0 };
        let state = self.state_word.load(Ordering::Relaxed);
        let flag = if inner.failures > 0 { FAILED } else { 0 };
        self.state_word.store(state & !FAILED | flag, Ordering::Release);
        let trips = match config.trip {
            Trip::ConsecutiveFailures(max) => inner.failures >= max,
            Trip::FailureRatio { min_requests, ratio, window } => {
                inner.window.add(now, window, Counts { total: 1, failures: u32::from(failed) });
                let sum = inner.window.sum(now, window);
                failed && sum.total >= min_requests && f64::from(sum.failures) >= ratio * f64::from(sum.total)
            }
        };
        if trips { self.trip(inner, now + config.open_duration) } else { Transition::None }
    }

    fn trip(&self, inner: &mut Inner, until: Instant) -> Transition {
        let previous = inner.phase;
        self.transition_to(inner, Phase::Open(until));
        if previous == Phase::Closed { Transition::Opened } else { Transition::None }
    }

    fn close(&self, inner: &mut Inner) -> Transition {
        inner.failures = 0;
        inner.window.clear();
        self.transition_to(inner, Phase::Closed);
        Transition::Closed
    }

    /// Starts a phase; results of requests from earlier phases are late from now on.
    fn transition_to(&self, inner: &mut Inner, phase: Phase) -> u32 {
        let number = (self.state_word.load(Ordering::Relaxed) / PHASE).wrapping_add(1);
        let flag = if phase == Phase::Closed { 0 } else { OPEN };
        let state = number.wrapping_mul(PHASE) | flag;
        inner.phase = phase;
        self.state_word.store(state, Ordering::Release);
        state
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The admission of a request, to be reported once. Dropped without a report, it has no result.
#[derive(Debug)]
pub struct AdmissionGuard<'b> {
    breaker: &'b Breaker,
    config: &'b BreakerConfig,
    admission: Option<Admission>,
}

impl<'b> AdmissionGuard<'b> {
    /// Guards an admission that `breaker` granted. `config` classifies the result.
    pub fn new(breaker: &'b Breaker, config: &'b BreakerConfig, admission: Admission) -> AdmissionGuard<'b> {
        AdmissionGuard { breaker, config, admission: Some(admission) }
    }

    /// Reports the result.
    pub fn report(mut self, failed: Option<bool>) -> Transition {
        let Some(admission) = self.admission.take() else { return Transition::None };
        self.breaker.report(self.config, admission, failed, Instant::now())
    }
}

impl Drop for AdmissionGuard<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.breaker.report(self.config, admission, None, Instant::now());
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
