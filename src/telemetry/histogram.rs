//! A latency histogram of one worker, its totals, and quantiles.

use super::native_histogram::LocalNativeHistogram;
use super::shard::LocalCounter;
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds; slower requests count in `+Inf`.
pub const BUCKET_BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// The same bounds in microseconds, for comparison with durations.
const BOUNDS_US: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// The index of the bucket of a duration; 15: slower than all bounds. Searches from the fastest bucket, where most
/// requests end.
pub(super) fn bucket_index(duration: Duration) -> usize {
    bucket_of_ns(duration_ns(duration))
}

fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket_of_ns(ns: u64) -> usize {
    let us = ns / 1_000;
    BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len())
}

/// The histogram that one worker writes.
#[derive(Debug, Default)]
pub(super) struct LocalHistogram {
    sum_ns: LocalCounter,
    buckets: [LocalCounter; 16],
    native: LocalNativeHistogram,
}

impl LocalHistogram {
    /// Counts a duration, in native buckets too if they are enabled.
    pub(super) fn record(&self, duration: Duration, is_native: bool) {
        if is_native {
            self.native.record(duration);
        }
        let ns = duration_ns(duration);
        self.sum_ns.add(ns);
        self.buckets[bucket_of_ns(ns)].add(1);
    }

    /// Adds the native buckets to totals.
    pub(super) fn add_native_to(&self, totals: &mut Vec<u64>) {
        self.native.add_to(totals);
    }

    /// Adds the counts to totals.
    pub(super) fn add_to(&self, totals: &mut HistogramTotals) {
        totals.sum_ns += self.sum_ns.get();
        for (to, from) in totals.buckets.iter_mut().zip(&self.buckets) {
            *to += from.get();
        }
    }
}

/// A snapshot of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramTotals {
    /// Durations by bucket, in the order of [`BUCKET_BOUNDS`], not cumulative; the last bucket has no bound.
    pub buckets: [u64; 16],
    /// The sum of all durations.
    pub sum_ns: u64,
}

impl HistogramTotals {
    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was recorded since an earlier snapshot.
    #[must_use]
    pub fn since(&self, earlier: &HistogramTotals) -> HistogramTotals {
        let mut difference = *self;
        difference.sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
        for (now, before) in difference.buckets.iter_mut().zip(earlier.buckets) {
            *now = now.saturating_sub(before);
        }
        difference
    }

    /// A quantile such as 0.99, interpolated within its bucket as Prometheus' `histogram_quantile` does; the largest bound
    /// if it lies beyond all bounds, `None` without any duration.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = quantile.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (in_bucket, upper) in self.buckets.iter().zip(BUCKET_BOUNDS) {
            let in_bucket = *in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= rank {
                let share = (rank - below) / in_bucket;
                return Some(Duration::from_secs_f64(lower + (upper - lower) * share));
            }
            (below, lower) = (below + in_bucket, upper);
        }
        Some(Duration::from_secs_f64(lower))
    }

    /// The mean duration.
    pub fn mean(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.sum_ns.checked_div(self.count())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(durations: &[u64]) -> HistogramTotals {
        let (histogram, mut totals) = (LocalHistogram::default(), HistogramTotals::default());
        durations.iter().for_each(|us| histogram.record(Duration::from_micros(*us), false));
        histogram.add_to(&mut totals);
        totals
    }

    #[test]
    fn bounds_in_seconds_and_microseconds_are_equal() {
        for (s, us) in BUCKET_BOUNDS.iter().zip(BOUNDS_US) {
            assert_eq!((s * 1e6).round() as u64, us);
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let totals = totals(&[500, 501, 61_000_000]);
        assert_eq!((totals.buckets[0], totals.buckets[1], totals.buckets[15]), (1, 1, 1));
        assert_eq!((totals.count(), totals.sum_ns), (3, 61_001_001_000));
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let totals = totals(&[600; 100]);
        assert_eq!(totals.quantile(0.5), Some(Duration::from_micros(750)));
        assert_eq!(totals.quantile(1.0), Some(Duration::from_millis(1)));
        assert_eq!(totals.mean(), Some(Duration::from_micros(600)));
        assert_eq!(HistogramTotals::default().quantile(0.5), None);
    }

    #[test]
    fn a_quantile_beyond_all_bounds_is_the_largest_bound() {
        assert_eq!(totals(&[90_000_000]).quantile(0.99), Some(Duration::from_secs(60)));
    }

    #[test]
    fn the_difference_of_two_snapshots_is_what_happened_between_them() {
        let (earlier, later) = (totals(&[600]), totals(&[600, 2_000, 2_000]));
        assert_eq!(later.since(&earlier), totals(&[2_000, 2_000]));
    }
}
