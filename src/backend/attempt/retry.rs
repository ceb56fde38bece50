//! When an attempt is made again, how often, after what time, and how much of that a cluster can bear.

use super::sliding_window::{Counts, SlidingWindow};
use crate::{
    base::{bytes::decimal, random},
    pipeline::{
        error::ErrorCode,
        response::{Response, RouteResult},
    },
    telemetry::Event,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// What a route says about attempts that are made again; plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// All attempts, the first included.
    pub max_attempts: u32,
    pub on_connect: bool,
    pub on_reset: bool,
    pub on_timeout: bool,
    pub statuses: Vec<u16>,
    pub grpc_codes: Vec<u16>,
    /// None: the idempotent ones.
    pub methods: Option<Vec<String>>,
    /// The time of one attempt.
    pub per_try_timeout: Option<Duration>,
    pub backoff: (Duration, Duration),
    pub honour_retry_after: bool,
    /// Bytes of a request body that are kept to be sent again.
    pub max_replay_bytes: usize,
    /// None: without bounds.
    pub budget: Option<BudgetConfig>,
}

/// How many attempts may be made again within [`BUDGET_TIME`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// In any case.
    pub min_retries: u32,
    /// Beside that, this part of the requests.
    pub retry_ratio: f64,
}

/// The time over which a budget is taken.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// The requests to one cluster of the last while, and how many of them were made again.
#[derive(Debug, Default)]
pub struct Budget(Mutex<SlidingWindow>);

impl Budget {
    /// A request that is made for the first time.
    pub fn deposit(&self, now: Instant) {
        self.window(|window| window.add(now, BUDGET_WINDOW, Counts { total: 1, failures: 0 }));
    }

    /// One that would be made again; false if that would be too much.
    pub fn withdraw(&self, now: Instant, allowed: BudgetConfig) -> bool {
        self.window(|window| {
            let sum = window.sum(now, BUDGET_WINDOW);
            let most = f64::from(allowed.min_retries) + allowed.retry_ratio * f64::from(sum.total);
            let granted = f64::from(sum.failures) + 1.0 <= most;
            if granted {
                window.add(now, BUDGET_WINDOW, Counts { total: 0, failures: 1 });
            }
            granted
        })
    }

    fn window<T>(&self, act: impl FnOnce(&mut SlidingWindow) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The settings with their state.
#[derive(Debug)]
pub struct Retry {
    pub settings: RetryConfig,
    pub budget: Arc<Budget>,
}

impl Retry {
    pub fn new(settings: RetryConfig, budget: Arc<Budget>) -> Retry {
        Retry { settings, budget }
    }

    /// Whether requests with this method may be made again.
    pub fn is_retryable_method(&self, method: &[u8]) -> bool {
        match &self.settings.methods {
            Some(methods) => methods.iter().any(|own| own.as_bytes() == method),
            None => super::is_idempotent(method),
        }
    }

    /// Why an attempt with that outcome is made again; none if it is not.
    pub fn retry_reason(&self, outcome: &RouteResult) -> Option<Event> {
        let RetryConfig { on_connect, on_reset, on_timeout, statuses, grpc_codes: grpc, .. } = &self.settings;
        let (wanted, event) = match outcome {
            Err(cause) => match cause.why {
                ErrorCode::BackendDns
                | ErrorCode::BackendConnect
                | ErrorCode::BackendConnectTimeout
                | ErrorCode::BackendCertificate
                | ErrorCode::BackendTls => (*on_connect, Event::RetriedConnect),
                ErrorCode::BackendReset | ErrorCode::BackendSend => (*on_reset, Event::RetriedReset),
                ErrorCode::BackendTimeout => (*on_timeout, Event::RetriedTimeout),
                _ => return None,
            },
            Ok(answer) if statuses.contains(&answer.status()) => (true, Event::RetriedStatus),
            Ok(answer) => (grpc_status(answer).is_some_and(|code| grpc.contains(&code)), Event::RetriedGrpc),
        };
        wanted.then_some(event)
    }

    /// How long to wait before the attempt after `made` ones: anything up to a bound that doubles.
    pub fn backoff_delay(&self, made: u32) -> Duration {
        let (least, most) = self.settings.backoff;
        let bound = least.saturating_mul(1 << made.saturating_sub(1).min(20)).min(most);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(random::below(nanos + 1))
    }

    /// How long the service itself wants to be left alone.
    pub fn server_retry_after(&self, outcome: &RouteResult) -> Option<Duration> {
        let answer = outcome.as_ref().ok().filter(|_| self.settings.honour_retry_after)?;
        retry_after(answer.head.get(b"retry-after")?, SystemTime::now())
    }
}

/// The code of an answer that is nothing but trailers, as gRPC says that a call failed.
fn grpc_status(answer: &Response) -> Option<u16> {
    decimal(answer.head.get(b"grpc-status")?).and_then(|code| u16::try_from(code).ok())
}

/// RFC 9110 10.2.3: seconds, or a date.
fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = decimal(value) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
