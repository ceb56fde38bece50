//! Counters per worker, summed at scrape time.
//!
//! A worker writes only its own shard, so an increment is a plain load and store: no locked instruction, no cache line
//! shared between cores.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds; slower requests count in `+Inf`.
pub const BUCKET_BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// The same bounds in microseconds, for comparison with request durations.
const BOUNDS_US: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// The status classes of responses.
pub const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// A counter that one worker writes and any thread reads.
#[derive(Debug, Default)]
pub(super) struct LocalCounter(AtomicU64);

impl LocalCounter {
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The shard of one worker; three cache lines, the first contains the counters that every request updates.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    started: LocalCounter,
    classes: [LocalCounter; 5],
    sum_ns: LocalCounter,
    over_last_bucket: LocalCounter,
    buckets: [LocalCounter; 15],
}

/// The counters of one route; they survive reloads that keep the label.
#[derive(Debug)]
pub struct RouteMetrics {
    label: Box<str>,
    shards: Box<[Shard]>,
}

impl RouteMetrics {
    pub(super) fn new(label: &str, workers: usize) -> Self {
        RouteMetrics { label: label.into(), shards: (0..workers.max(1)).map(|_| Shard::default()).collect() }
    }

    /// The route label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts the start of a request; `end` must follow on the same worker. Ignored for an unknown worker.
    pub fn begin(&self, worker: usize) {
        if let Some(shard) = self.shards.get(worker) {
            shard.started.add(1);
        }
    }

    /// Counts the end of a request, with the status sent (499 if the client closed the connection) and the duration.
    pub fn end(&self, worker: usize, status: u16, elapsed: Duration) {
        let Some(shard) = self.shards.get(worker) else { return };
        shard.classes[status_class(status)].add(1);
        shard.sum_ns.add(elapsed.as_nanos() as u64);
        bucket(shard, elapsed.as_micros() as u64).add(1);
    }

    /// Sums the shards. Ends are read before starts, so that the difference is never negative.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for s in &self.shards {
            let ended: u64 = merge(&mut totals.classes, &s.classes);
            merge(&mut totals.buckets, &s.buckets);
            totals.over_last_bucket += s.over_last_bucket.get();
            totals.sum_ns += s.sum_ns.get();
            totals.in_flight += s.started.get().saturating_sub(ended);
        }
        totals
    }
}

/// A snapshot of one route's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests by class, in the order of [`STATUS_CLASSES`].
    pub classes: [u64; 5],
    /// Requests by latency, in the order of [`BUCKET_BOUNDS`], not cumulative.
    pub buckets: [u64; 15],
    /// Requests slower than the last bound.
    pub over_last_bucket: u64,
    /// Total duration of all requests.
    pub sum_ns: u64,
    /// Started and not ended.
    pub in_flight: u64,
}

impl Totals {
    /// Requests that ended.
    pub fn ended(&self) -> u64 {
        self.classes.iter().sum()
    }
}

fn merge<const N: usize>(to: &mut [u64; N], from: &[LocalCounter; N]) -> u64 {
    let mut sum = 0;
    for (to, from) in to.iter_mut().zip(from) {
        *to += from.get();
        sum += from.get();
    }
    sum
}

/// 100–199 is 0 … 500 and above is 4; a status outside HTTP counts as 5xx.
fn status_class(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        _ => 4,
    }
}

/// Searches from the fastest bucket, where most requests end.
fn bucket(shard: &Shard, us: u64) -> &LocalCounter {
    match BOUNDS_US.iter().position(|bound| us <= *bound) {
        Some(i) => &shard.buckets[i],
        None => &shard.over_last_bucket,
    }
}

/// The connections of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Connections {
    pub(super) accepted: LocalCounter,
    pub(super) closed: LocalCounter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_in_its_class_and_its_bucket_and_in_the_sum() {
        let metrics = RouteMetrics::new("orders", 2);
        metrics.begin(0);
        metrics.end(0, 204, Duration::from_micros(500));
        metrics.begin(1);
        metrics.end(1, 499, Duration::from_secs(61));
        let totals = metrics.totals();
        assert_eq!((totals.classes, totals.in_flight, totals.ended()), ([0, 1, 0, 1, 0], 0, 2));
        assert_eq!(
            (totals.buckets[0], totals.over_last_bucket),
            (1, 1),
            "a bound belongs to its bucket; 61 s exceeds all bounds"
        );
        assert_eq!(totals.sum_ns, 61_000_500_000);
    }

    #[test]
    fn requests_in_flight_are_started_and_not_ended() {
        let metrics = RouteMetrics::new("orders", 1);
        metrics.begin(0);
        metrics.begin(0);
        metrics.end(0, 200, Duration::ZERO);
        assert_eq!(metrics.totals().in_flight, 1);
    }

    #[test]
    fn an_unknown_worker_is_ignored() {
        let metrics = RouteMetrics::new("orders", 1);
        metrics.begin(7);
        metrics.end(7, 200, Duration::ZERO);
        assert_eq!(metrics.totals(), Totals::default());
    }

    #[test]
    fn bounds_in_seconds_and_microseconds_are_equal() {
        for (s, us) in BUCKET_BOUNDS.iter().zip(BOUNDS_US) {
            assert_eq!((s * 1e6).round() as u64, us);
        }
    }

    #[test]
    fn the_shard_of_a_worker_fills_three_cache_lines() {
        assert_eq!(size_of::<Shard>(), 192);
    }
}
