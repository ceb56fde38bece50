//! What attempts see: an endpoint that fails too often is left alone for a while.

use super::{super::cluster::AttemptReport, Health};
use crate::base::status_set::StatusSet;
use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    /// Failures in a row; none: however many.
    pub consecutive_failures: Option<u32>,
    /// The part of requests within the window that fail, 0 to 1; none: however many.
    pub failure_ratio: Option<f64>,
    /// Requests within the window before the ratio counts.
    pub min_requests: u32,
    pub window: Duration,
    /// How long the first ejection lasts; each one that follows closely lasts twice as long as the last.
    pub base_ejection_time: Duration,
    pub max_ejection_time: Duration,
    /// Not more percent of the endpoints are left alone at one time.
    pub max_ejected_percent: u32,
    /// Answers that count as failures.
    pub statuses: StatusSet,
}

impl OutlierDetection {
    /// Takes in what an attempt saw; says why the endpoint should be ejected, if it should. Two loads for a success
    /// after a success, and a count where there is a window.
    pub fn record(&self, health: &Health, shown: AttemptReport, now: Instant) -> Option<String> {
        let failed = match shown {
            AttemptReport::Abandoned => return None,
            AttemptReport::Failed(_) => true,
            AttemptReport::Answered(status) => self.statuses.contains(status),
        };
        let within = self.failure_ratio.map(|ratio| (ratio, health.window.add(failed, self.window, now)));
        if !failed {
            if health.failures.load(Relaxed) != 0 {
                health.failures.store(0, Relaxed);
            }
            return None;
        }
        let row = health.failures.fetch_add(1, Relaxed).saturating_add(1);
        if health.is_ejected() {
            return None;
        }
        if self.consecutive_failures.is_some_and(|most| row >= most) {
            return Some(format!("{row} failures in a row, the last one {}", last(shown)));
        }
        let (ratio, (seen, bad)) = within?;
        let many = seen >= self.min_requests && f64::from(bad) >= ratio * f64::from(seen);
        many.then(|| format!("{bad} of {seen} requests failed, the last one {}", last(shown)))
    }
}

fn last(shown: AttemptReport) -> String {
    match shown {
        AttemptReport::Answered(status) => status.to_string(),
        AttemptReport::Failed(why) => why.name().to_owned(),
        AttemptReport::Abandoned => String::new(),
    }
}

/// Where the count of milliseconds begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Requests and failures since the window began; when it is over the next request begins another.
#[derive(Debug, Default)]
pub struct FailureWindow {
    /// Milliseconds since the epoch.
    started_at: AtomicU64,
    total: AtomicU32,
    failed: AtomicU32,
}

impl FailureWindow {
    /// Counts a request; how many there were and how many of them failed.
    fn add(&self, failed: bool, length: Duration, now: Instant) -> (u32, u32) {
        let (began, at) = (self.started_at.load(Relaxed), millis(now));
        let over = at.saturating_sub(began) >= length.as_millis() as u64;
        // One of those who see that it is over begins anew.
        if over && self.started_at.compare_exchange(began, at, Relaxed, Relaxed).is_ok() {
            self.total.store(0, Relaxed);
            self.failed.store(0, Relaxed);
        }
        let bad = if failed { self.failed.fetch_add(1, Relaxed) + 1 } else { self.failed.load(Relaxed) };
        (self.total.fetch_add(1, Relaxed).saturating_add(1), bad)
    }

    pub fn restart(&self, now: Instant) {
        self.started_at.store(millis(now), Relaxed);
        self.total.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }
}

fn millis(now: Instant) -> u64 {
    now.saturating_duration_since(*EPOCH).as_millis() as u64
}
