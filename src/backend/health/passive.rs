//! What attempts see: an endpoint that fails too often is left alone for a while.

use super::{super::cluster::Shown, Health};
use crate::base::statuses::Statuses;
use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Passive {
    /// Failures in a row; none: however many.
    pub consecutive: Option<u32>,
    /// The part of requests within the window that fail, 0 to 1; none: however many.
    pub ratio: Option<f64>,
    /// Requests within the window before the ratio counts.
    pub minimum: u32,
    pub window: Duration,
    /// How long the first ejection lasts; each one that follows closely lasts twice as long as the last.
    pub ejection: Duration,
    pub longest: Duration,
    /// Not more percent of the endpoints are left alone at one time.
    pub most: u32,
    /// Answers that count as failures.
    pub statuses: Statuses,
}

impl Passive {
    /// Takes in what an attempt saw; says why the endpoint should be ejected, if it should. Two loads for a success
    /// after a success, and a count where there is a window.
    pub fn sees(&self, health: &Health, shown: Shown, now: Instant) -> Option<String> {
        let failed = match shown {
            Shown::Abandoned => return None,
            Shown::Failed(_) => true,
            Shown::Answered(status) => self.statuses.has(status),
        };
        let within = self.ratio.map(|ratio| (ratio, health.window.add(failed, self.window, now)));
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
        if self.consecutive.is_some_and(|most| row >= most) {
            return Some(format!("{row} failures in a row, the last one {}", last(shown)));
        }
        let (ratio, (seen, bad)) = within?;
        let many = seen >= self.minimum && f64::from(bad) >= ratio * f64::from(seen);
        many.then(|| format!("{bad} of {seen} requests failed, the last one {}", last(shown)))
    }
}

fn last(shown: Shown) -> String {
    match shown {
        Shown::Answered(status) => status.to_string(),
        Shown::Failed(why) => why.name().to_owned(),
        Shown::Abandoned => String::new(),
    }
}

/// Where the count of milliseconds begins.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Requests and failures since the window began; when it is over the next request begins another.
#[derive(Debug, Default)]
pub struct Window {
    /// Milliseconds since the epoch.
    began: AtomicU64,
    seen: AtomicU32,
    failed: AtomicU32,
}

impl Window {
    /// Counts a request; how many there were and how many of them failed.
    fn add(&self, failed: bool, length: Duration, now: Instant) -> (u32, u32) {
        let (began, at) = (self.began.load(Relaxed), millis(now));
        let over = at.saturating_sub(began) >= length.as_millis() as u64;
        // One of those who see that it is over begins anew.
        if over && self.began.compare_exchange(began, at, Relaxed, Relaxed).is_ok() {
            self.seen.store(0, Relaxed);
            self.failed.store(0, Relaxed);
        }
        let bad = if failed { self.failed.fetch_add(1, Relaxed) + 1 } else { self.failed.load(Relaxed) };
        (self.seen.fetch_add(1, Relaxed).saturating_add(1), bad)
    }

    pub fn restart(&self, now: Instant) {
        self.began.store(millis(now), Relaxed);
        self.seen.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }
}

fn millis(now: Instant) -> u64 {
    now.saturating_duration_since(*EPOCH).as_millis() as u64
}
