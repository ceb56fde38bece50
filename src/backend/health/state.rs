//! The health of one endpoint, from probes and from the results of attempts. It outlives the plans that use it.

use super::config::{ActiveCheck, HealthConfig, OutlierDetection};
use crate::{
    backend::sliding_window::{Counts, SlidingWindow},
    telemetry::EndpointMetrics,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Flag: active health checks report the endpoint as unhealthy.
const UNHEALTHY: u8 = 1;
/// Flag: outlier detection ejected the endpoint.
const EJECTED: u8 = 2;
/// Flag: an operator drains the endpoint, whatever the settings.
const DRAINED: u8 = 4;

/// The health of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    /// [`UNHEALTHY`], [`EJECTED`] and [`DRAINED`]; 0 for a healthy endpoint.
    flags: AtomicU8,
    consecutive_failures: AtomicU32,
    /// Only used with a failure ratio.
    window: Mutex<SlidingWindow>,
    record: Mutex<HealthRecord>,
    metrics: OnceLock<Arc<EndpointMetrics>>,
}

/// The part that changes rarely.
#[derive(Debug, Default)]
struct HealthRecord {
    probes: Option<ProbeRecord>,
    ejected_until: Option<Instant>,
    ejection_reason: String,
    /// Ejections that followed each other soon.
    ejections: u32,
}

/// What active checks found.
#[derive(Debug, Default)]
struct ProbeRecord {
    /// Consecutive successful probes, or consecutive failed ones as a negative number.
    streak: i32,
    /// The error of the last failed probe.
    last_error: String,
}

/// The health of an endpoint as an operator sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HealthStatus {
    /// `healthy`, `unhealthy`, `ejected`, `drained`, `unknown` (not probed yet) or `unchecked` (no health checks).
    pub name: &'static str,
    /// Empty if there is nothing to report.
    pub reason: String,
    /// The rest of an ejection.
    pub remaining: Option<Duration>,
}

impl HealthStatus {
    fn new(name: &'static str, reason: &str) -> HealthStatus {
        HealthStatus { name, reason: reason.to_owned(), remaining: None }
    }
}

impl Health {
    fn record(&self) -> MutexGuard<'_, HealthRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> MutexGuard<'_, SlidingWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the metrics of the endpoint, once.
    pub fn attach_metrics(&self, metrics: impl FnOnce() -> Arc<EndpointMetrics>) {
        self.metrics.get_or_init(metrics);
    }

    fn update_metrics(&self, update: impl FnOnce(&EndpointMetrics)) {
        if let Some(metrics) = self.metrics.get() {
            update(metrics);
        }
    }

    /// Whether the endpoint may be selected under these settings.
    pub fn is_eligible(&self, config: &HealthConfig) -> bool {
        self.relevant_flags(config) == 0
    }

    fn relevant_flags(&self, config: &HealthConfig) -> u8 {
        let unhealthy = if config.active.is_some() { UNHEALTHY } else { 0 };
        let ejected = if config.passive.is_some() { EJECTED } else { 0 };
        self.flags.load(Relaxed) & (unhealthy | ejected | DRAINED)
    }

    /// The status under these settings, with its reason.
    pub fn status(&self, config: &HealthConfig, now: Instant) -> HealthStatus {
        let record = self.record();
        let flags = self.relevant_flags(config);
        if flags & DRAINED != 0 {
            return HealthStatus::new("drained", "drained by the administration");
        }
        if flags & EJECTED != 0 {
            let remaining = record.ejected_until.map(|until| until.saturating_duration_since(now));
            return HealthStatus { remaining, ..HealthStatus::new("ejected", &record.ejection_reason) };
        }
        match (&config.active, &record.probes) {
            (Some(_), Some(probes)) if flags & UNHEALTHY != 0 => {
                HealthStatus::new("unhealthy", &probes.last_error)
            }
            (Some(_), Some(probes)) if probes.streak < 0 => HealthStatus::new("healthy", &probes.last_error),
            (Some(_), Some(_)) => HealthStatus::new("healthy", ""),
            (Some(_), None) => HealthStatus::new("unknown", "not probed yet"),
            (None, _) if config.passive.is_some() => HealthStatus::new("healthy", ""),
            (None, _) => HealthStatus::new("unchecked", ""),
        }
    }

    fn set_flag(&self, flag: u8, on: bool) {
        let before =
            if on { self.flags.fetch_or(flag, Relaxed) } else { self.flags.fetch_and(!flag, Relaxed) };
        let after = if on { before | flag } else { before & !flag };
        self.update_metrics(|metrics| metrics.set_up(after & !DRAINED == 0));
    }

    /// Whether an operator drains the endpoint: it gets no new requests.
    pub fn is_drained(&self) -> bool {
        self.flags.load(Relaxed) & DRAINED != 0
    }

    /// Drains the endpoint, or ends it.
    pub fn set_drained(&self, on: bool) {
        if on != self.is_drained() {
            self.set_flag(DRAINED, on);
        }
    }

    /// Records the result of a probe; returns whether the endpoint became healthy or unhealthy. The first probe decides
    /// at once.
    pub fn record_probe(&self, result: Result<(), String>, check: &ActiveCheck) -> bool {
        self.update_metrics(|metrics| metrics.probed(result.is_ok()));
        let mut record = self.record();
        let ProbeRecord { streak, last_error } = record.probes.take().unwrap_or_default();
        let (is_first, was_unhealthy) = (streak == 0, self.flags.load(Relaxed) & UNHEALTHY != 0);
        let (streak, last_error, is_unhealthy) = match result {
            Ok(()) => {
                let streak = streak.max(0).saturating_add(1);
                (streak, last_error, was_unhealthy && streak.unsigned_abs() < check.healthy_threshold)
            }
            Err(error) => {
                let streak = streak.min(0).saturating_sub(1);
                let over = streak.unsigned_abs() >= check.unhealthy_threshold;
                (streak, error, was_unhealthy || is_first || over)
            }
        };
        record.probes = Some(ProbeRecord { streak, last_error });
        if is_unhealthy != was_unhealthy {
            self.set_flag(UNHEALTHY, is_unhealthy);
        }
        is_unhealthy != was_unhealthy
    }

    /// Ends a run of failures. Costs one load if there is none.
    pub(super) fn record_success(&self) {
        if self.consecutive_failures.load(Relaxed) != 0 {
            self.consecutive_failures.store(0, Relaxed);
        }
    }

    /// Counts a failure; returns the number of consecutive failures.
    pub(super) fn record_failure(&self) -> u32 {
        self.consecutive_failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Counts a request; returns the counts within the last `length`.
    pub(super) fn count_in_window(&self, failed: bool, length: Duration, now: Instant) -> Counts {
        let mut window = self.window();
        window.add(now, length, Counts { total: 1, failures: u32::from(failed) });
        window.sum(now, length)
    }

    /// Whether outlier detection ejected the endpoint.
    pub fn is_ejected(&self) -> bool {
        self.flags.load(Relaxed) & EJECTED != 0
    }

    /// Ejects the endpoint; returns the end of the ejection. An ejection soon after the last one lasts twice as long.
    pub fn eject(&self, config: &OutlierDetection, reason: String, now: Instant) -> Instant {
        let mut record = self.record();
        let follows_soon = record.ejected_until.is_some_and(|end| now < end + config.max_ejection_time);
        record.ejections = if follows_soon { record.ejections.saturating_add(1) } else { 0 };
        let grown = config.base_ejection_time.saturating_mul(1 << record.ejections.min(20));
        let until = now + grown.min(config.max_ejection_time);
        (record.ejected_until, record.ejection_reason) = (Some(until), reason);
        self.consecutive_failures.store(0, Relaxed);
        self.window().clear();
        self.set_flag(EJECTED, true);
        self.update_metrics(EndpointMetrics::ejected);
        until
    }

    /// Ends the ejection if its time is over; returns whether it did.
    pub fn end_ejection(&self, now: Instant) -> bool {
        let is_over = self.record().ejected_until.is_some_and(|until| until <= now);
        let ended = is_over && self.is_ejected();
        if ended {
            self.set_flag(EJECTED, false);
        }
        ended
    }
}
