//! Metrics of the shared state: round trips, errors, the time without it, and what features do with it.

use super::{
    histogram::{HistogramTotals, bucket_index},
    registry::lock,
    shard::{LocalCounter, Shards},
};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use std::time::{Duration, Instant};

/// The reasons of errors, the label values of `margay_shared_state_errors_total`.
const REASONS: [&str; 5] = ["unavailable", "timeout", "connection", "server", "reply"];

/// What decided about a request with shared limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedDecision {
    /// Redis.
    Redis,
    /// A token that this gateway had leased.
    Lease,
    /// A refusal that Redis had given before.
    Refusal,
    /// The counters of this gateway, because Redis did not reply.
    Local,
    /// `OnFailure`, because Redis did not reply.
    Refused,
}

impl SharedDecision {
    /// All, in the order they are exported.
    pub const ALL: [SharedDecision; 5] = [
        SharedDecision::Redis,
        SharedDecision::Lease,
        SharedDecision::Refusal,
        SharedDecision::Local,
        SharedDecision::Refused,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            SharedDecision::Redis => "redis",
            SharedDecision::Lease => "lease",
            SharedDecision::Refusal => "refusal",
            SharedDecision::Local => "local",
            SharedDecision::Refused => "unavailable",
        }
    }
}

/// What happens to responses that several gateways share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedCacheEvent {
    /// A response was served from Redis.
    Hit,
    /// This gateway fetched a response for all.
    Miss,
    /// A request waited for another gateway.
    LockWait,
    /// A response was stored on Redis.
    Stored,
    /// A purge was received.
    Purge,
}

impl SharedCacheEvent {
    /// All, in the order they are exported.
    pub const ALL: [SharedCacheEvent; 5] = [
        SharedCacheEvent::Hit,
        SharedCacheEvent::Miss,
        SharedCacheEvent::LockWait,
        SharedCacheEvent::Stored,
        SharedCacheEvent::Purge,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            SharedCacheEvent::Hit => "hit",
            SharedCacheEvent::Miss => "miss",
            SharedCacheEvent::LockWait => "lock_wait",
            SharedCacheEvent::Stored => "stored",
            SharedCacheEvent::Purge => "purge",
        }
    }
}

/// The decisions of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Decisions([LocalCounter; 5]);

/// The metrics of the shared state. Its callers run on several threads, and a round trip costs more than a locked
/// instruction: the counters are shared.
#[derive(Debug)]
pub struct SharedStateMetrics {
    is_enabled: AtomicBool,
    is_up: AtomicBool,
    buckets: [AtomicU64; 16],
    sum_ns: AtomicU64,
    errors: [AtomicU64; REASONS.len()],
    degraded: Mutex<Degraded>,
    decisions: Shards<Decisions>,
    cache_events: [AtomicU64; 5],
}

impl Default for SharedStateMetrics {
    fn default() -> Self {
        SharedStateMetrics::new(1)
    }
}

/// The time during which the shared state was not available.
#[derive(Debug, Default)]
struct Degraded {
    total: Duration,
    since: Option<Instant>,
}

impl SharedStateMetrics {
    /// The metrics for this many workers.
    pub(super) fn new(workers: usize) -> SharedStateMetrics {
        SharedStateMetrics {
            is_enabled: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            buckets: Default::default(),
            sum_ns: AtomicU64::new(0),
            errors: Default::default(),
            degraded: Mutex::default(),
            decisions: Shards::new(workers),
            cache_events: Default::default(),
        }
    }

    /// Counts a decision about a request; ignored for an unknown worker.
    pub fn count_decision(&self, worker: usize, decision: SharedDecision) {
        if let Some(Decisions(counts)) = self.decisions.of(worker) {
            counts[decision as usize].add(1);
        }
    }

    /// Counts what happened to a shared response.
    pub fn count_cache_event(&self, event: SharedCacheEvent) {
        self.cache_events[event as usize].fetch_add(1, Relaxed);
    }

    /// The number of events.
    pub fn cache_events(&self, event: SharedCacheEvent) -> u64 {
        self.cache_events[event as usize].load(Relaxed)
    }

    /// The number of decisions, over all workers.
    pub fn decisions(&self, decision: SharedDecision) -> u64 {
        self.decisions.iter().map(|Decisions(counts)| counts[decision as usize].get()).sum()
    }

    /// Exports the metrics: the configuration has a shared state.
    pub fn enable(&self) {
        if !self.is_enabled.swap(true, Relaxed) {
            self.set_up(false);
        }
    }

    /// Records whether the shared state is available.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
        let mut degraded = lock(&self.degraded);
        match (is_up, degraded.since) {
            (true, Some(since)) => {
                degraded.total += since.elapsed();
                degraded.since = None;
            }
            (false, None) => degraded.since = Some(Instant::now()),
            _ => {}
        }
    }

    /// Records a reply.
    pub fn record_reply(&self, duration: Duration) {
        self.buckets[bucket_index(duration)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Records an error by its reason.
    pub fn record_error(&self, reason: &str) {
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            self.errors[at].fetch_add(1, Relaxed);
        }
    }

    /// Whether there is a connection, and the circuit is closed.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// The time without shared state.
    pub fn degraded(&self) -> Duration {
        let degraded = lock(&self.degraded);
        degraded.total + degraded.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Durations of round trips.
    pub fn durations(&self) -> HistogramTotals {
        let mut totals = HistogramTotals { sum_ns: self.sum_ns.load(Relaxed), ..HistogramTotals::default() };
        for (to, from) in totals.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Relaxed);
        }
        totals
    }

    /// The number of errors by reason.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(&self.errors).map(|(reason, count)| (reason, count.load(Relaxed)))
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use std::time::Duration;

    #[test]
    fn a_scrape_contains_the_shared_state_once_it_is_configured() {
        let metrics = Metrics::new(1);
        assert!(!metrics.render().contains("margay_shared_state"));
        let state = metrics.shared_state();
        state.enable();
        state.record_reply(Duration::from_millis(2));
        state.record_error("timeout");
        assert!(state.degraded() > Duration::ZERO);
        state.set_up(true);
        let text = metrics.render();
        for line in [
            "margay_shared_state_up 1",
            "margay_shared_state_duration_seconds_count 1",
            "margay_shared_state_errors_total{reason=\"timeout\"} 1",
            "margay_shared_state_errors_total{reason=\"server\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        assert!(text.contains("margay_shared_state_degraded_seconds_total"));
    }
}
