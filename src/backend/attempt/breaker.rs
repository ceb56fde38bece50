//! Circuit breaker: opens after too many failures, rejects requests for `open_duration`, then admits one
//! trial request (half-open), and one more per `open_duration` while trials have no result. A trial whose client
//! is slow yields to the next request at once.
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
    /// How long the breaker stays open, as of the failure that opened it.
    open_duration: Duration,
    /// The number of the last trial request.
    trial: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open(Instant),
    /// A trial request is in flight; the next one is admitted at this time.
    HalfOpen(Instant),
}

/// The admission of a request; reported back with its result.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    state_word: u32,
    /// The number of a trial request; 0: not a trial.
    trial: u32,
}

impl Admission {
    /// Whether it is a trial request of a half-open breaker.
    pub fn is_trial(&self) -> bool {
        self.trial != 0
    }
}

/// The state change that a result caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    None,
    Opened,
    Closed,
}

/// The longest `Retry-After` of requests while a trial request is in flight.
const HALF_OPEN_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Breaker {
    /// Admits a request, or returns how long the breaker stays open.
    pub fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let state = self.state_word.load(Ordering::Acquire);
        if state & OPEN == 0 {
            return Ok(Admission { state_word: state, trial: 0 });
        }
        let mut inner = self.lock();
        let next = now + inner.open_duration;
        let state_word = match inner.phase {
            Phase::Closed => {
                return Ok(Admission { state_word: self.state_word.load(Ordering::Relaxed), trial: 0 });
            }
            Phase::Open(until) if now < until => return Err(until - now),
            Phase::HalfOpen(next) if now < next => return Err((next - now).min(HALF_OPEN_RETRY_AFTER)),
            Phase::Open(_) => self.transition_to(&mut inner, Phase::HalfOpen(next)),
            // The trials in flight stay valid: the first result decides.
            Phase::HalfOpen(_) => {
                inner.phase = Phase::HalfOpen(next);
                self.state_word.load(Ordering::Relaxed)
            }
        };
        inner.trial = inner.trial.wrapping_add(1).max(1);
        Ok(Admission { state_word, trial: inner.trial })
    }

    /// Admits the next trial request at once, because the client of this one is slow; its own result still counts.
    pub fn yield_trial(&self, admission: Admission, now: Instant) {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::HalfOpen(_)) && inner.trial == admission.trial {
            inner.phase = Phase::HalfOpen(now);
        }
    }

    /// Whether a request would be rejected now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.state_word.load(Ordering::Acquire) & OPEN != 0
            && match self.lock().phase {
                Phase::Closed => false,
                Phase::Open(until) => now < until,
                Phase::HalfOpen(next) => now < next,
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
            None if !admission.is_trial() => return Transition::None,
            Some(false) if is_unchanged => return Transition::None,
            _ => {}
        }
        let mut inner = self.lock();
        let is_late = self.state_word.load(Ordering::Relaxed) / PHASE != admission.state_word / PHASE;
        match (inner.phase, failed) {
            // No result: the next request is the trial request.
            (Phase::HalfOpen(_), None) if !is_late && inner.trial == admission.trial => {
                inner.phase = Phase::HalfOpen(now);
                Transition::None
            }
            (_, None) => Transition::None,
            (phase, Some(false)) if config.late_success_closes => {
                self.on_success(&mut inner, phase, config, now)
            }
            _ if is_late => Transition::None,
            (Phase::HalfOpen(_), Some(false)) => self.close(&mut inner),
            (Phase::HalfOpen(_), Some(true)) => self.trip(&mut inner, config, now),
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
        if trips { self.trip(inner, config, now) } else { Transition::None }
    }

    fn trip(&self, inner: &mut Inner, config: &BreakerConfig, now: Instant) -> Transition {
        let previous = inner.phase;
        inner.open_duration = config.open_duration;
        self.transition_to(inner, Phase::Open(now + config.open_duration));
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

    /// The admission, if it is a trial request of a half-open breaker.
    pub fn trial(&self) -> Option<Admission> {
        self.admission.filter(Admission::is_trial)
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
