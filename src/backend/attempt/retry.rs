//! Retry policy: when an attempt is retried, how often, after which delay, and the retry budget of a cluster.

use crate::{
    backend::sliding_window::{Counts, SlidingWindow},
    base::{backoff::full_jitter, bytes::decimal},
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

/// The retry policy of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// The maximum number of attempts, including the first.
    pub max_attempts: u32,
    pub on_connect: bool,
    pub on_reset: bool,
    pub on_timeout: bool,
    pub statuses: Vec<u16>,
    pub grpc_codes: Vec<u16>,
    /// `None`: the idempotent methods.
    pub methods: Option<Vec<String>>,
    /// The timeout of one attempt.
    pub per_try_timeout: Option<Duration>,
    /// The bound of the backoff before the first retry; it doubles with each further one.
    pub base_backoff: Duration,
    pub max_backoff: Duration,
    pub honor_retry_after: bool,
    /// How many bytes of a request body are buffered for retries.
    pub max_replay_bytes: usize,
    /// `None`: unlimited retries.
    pub budget: Option<BudgetConfig>,
}

/// How many retries are allowed within [`BUDGET_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Always allowed.
    pub min_retries: u32,
    /// In addition, this share of the requests.
    pub retry_ratio: f64,
}

/// The window of a retry budget.
pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// The recent requests to one cluster, and how many of them were retries.
#[derive(Debug, Default)]
pub struct Budget(Mutex<SlidingWindow>);

impl Budget {
    /// Counts a request.
    pub fn deposit(&self, now: Instant) {
        self.window(|window| window.add(now, BUDGET_WINDOW, Counts { total: 1, failures: 0 }));
    }

    /// Counts a retry; returns false if it exceeds the budget.
    pub fn withdraw(&self, now: Instant, config: BudgetConfig) -> bool {
        self.window(|window| {
            let sum = window.sum(now, BUDGET_WINDOW);
            let max = f64::from(config.min_retries) + config.retry_ratio * f64::from(sum.total);
            let granted = f64::from(sum.failures) + 1.0 <= max;
            if granted {
                window.add(now, BUDGET_WINDOW, Counts { total: 0, failures: 1 });
            }
            granted
        })
    }

    fn window<T>(&self, update: impl FnOnce(&mut SlidingWindow) -> T) -> T {
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A retry policy with its budget.
#[derive(Debug)]
pub struct Retry {
    pub settings: RetryConfig,
    pub budget: Arc<Budget>,
}

impl Retry {
    /// `budget` is the one of the cluster: its routes share it, and it survives a reload.
    pub fn new(settings: RetryConfig, budget: Arc<Budget>) -> Retry {
        Retry { settings, budget }
    }

    /// Whether requests with this method may be retried.
    pub fn is_retryable_method(&self, method: &[u8]) -> bool {
        match &self.settings.methods {
            Some(methods) => methods.iter().any(|allowed| allowed.as_bytes() == method),
            None => is_idempotent(method),
        }
    }

    /// The reason to retry after this outcome; `None` if it is not retried.
    pub fn retry_reason(&self, outcome: &RouteResult) -> Option<Event> {
        let RetryConfig { on_connect, on_reset, on_timeout, statuses, grpc_codes: grpc, .. } = &self.settings;
        let (is_enabled, event) = match outcome {
            Err(cause) => match cause.code {
                ErrorCode::BackendDns
                | ErrorCode::BackendConnect
                | ErrorCode::BackendConnectTimeout
                | ErrorCode::BackendCertificate
                | ErrorCode::BackendTls
                | ErrorCode::AgentOffline
                | ErrorCode::AgentService
                | ErrorCode::AgentConnect
                | ErrorCode::AgentConnectTimeout => (*on_connect, Event::RetriedConnect),
                ErrorCode::BackendReset | ErrorCode::BackendSend => (*on_reset, Event::RetriedReset),
                ErrorCode::BackendTimeout => (*on_timeout, Event::RetriedTimeout),
                _ => return None,
            },
            Ok(response) if statuses.contains(&response.status()) => (true, Event::RetriedStatus),
            Ok(response) => {
                (grpc_status(response).is_some_and(|code| grpc.contains(&code)), Event::RetriedGrpc)
            }
        };
        is_enabled.then_some(event)
    }

    /// The delay before the attempt that follows `attempts_made` attempts: exponential backoff with full jitter.
    pub fn backoff_delay(&self, attempts_made: u32) -> Duration {
        full_jitter(self.settings.base_backoff, self.settings.max_backoff, attempts_made.saturating_sub(1))
    }

    /// The delay that the backend requests with `Retry-After`.
    pub fn server_retry_after(&self, outcome: &RouteResult) -> Option<Duration> {
        let response = outcome.as_ref().ok().filter(|_| self.settings.honor_retry_after)?;
        retry_after(response.head.get(b"retry-after")?, SystemTime::now())
    }
}

/// Whether a method is idempotent (RFC 9110 9.2.2).
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// The status of a trailers-only gRPC response, which reports that the call failed.
fn grpc_status(response: &Response) -> Option<u16> {
    decimal(response.head.get(b"grpc-status")?).and_then(|code| u16::try_from(code).ok())
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
