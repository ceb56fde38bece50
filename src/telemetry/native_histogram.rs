//! Native histograms of Prometheus: exponential buckets, eight per power of two (schema 3), kept only if enabled.

use super::shard::LocalCounter;
use std::{sync::OnceLock, time::Duration};

/// Buckets grow by 2^(1/8).
pub(super) const SCHEMA: i32 = 3;
/// The index of the first bucket: everything up to 2^-20 s, less than a microsecond.
pub(super) const MIN_INDEX: i32 = -160;
/// The index of the last bucket: everything above 2^7.875 s.
const MAX_INDEX: i32 = 64;
const BUCKET_COUNT: usize = (MAX_INDEX - MIN_INDEX + 1) as usize;

/// The bounds of the buckets within a power of two: 2^(n/8) / 2.
const FRACTIONS: [f64; 8] = [
    0.5,
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_5,
    0.917_004_043_204_671_2,
];

/// The buckets that one worker writes; allocated by the first duration.
#[derive(Debug, Default)]
pub(super) struct LocalNativeHistogram(OnceLock<Box<[LocalCounter]>>);

impl LocalNativeHistogram {
    #[cold]
    pub(super) fn record(&self, duration: Duration) {
        let buckets = self.0.get_or_init(|| (0..BUCKET_COUNT).map(|_| LocalCounter::default()).collect());
        let at = usize::try_from(bucket_index(duration.as_secs_f64()) - MIN_INDEX).unwrap_or(0);
        if let Some(bucket) = buckets.get(at) {
            bucket.add(1);
        }
    }

    /// Adds the counts to totals, from the bucket `MIN_INDEX` on.
    pub(super) fn add_to(&self, totals: &mut Vec<u64>) {
        let Some(buckets) = self.0.get() else { return };
        totals.resize(BUCKET_COUNT, 0);
        for (to, from) in totals.iter_mut().zip(buckets.iter()) {
            *to += from.get();
        }
    }
}

/// The index of the bucket whose upper bound is 2^(index/8).
fn bucket_index(seconds: f64) -> i32 {
    if seconds <= 0.0 {
        return MIN_INDEX;
    }
    // seconds = fraction * 2^exponent, with a fraction of at least 0.5 and less than 1.
    let bits = seconds.to_bits();
    let exponent = (bits >> 52) as i32 - 1022;
    let fraction = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1022 << 52);
    let within = FRACTIONS.iter().position(|bound| *bound >= fraction).unwrap_or(FRACTIONS.len());
    ((exponent - 1) * 8 + within as i32).clamp(MIN_INDEX, MAX_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_within_the_bounds_of_its_bucket() {
        for us in [1_u64, 3, 250, 499, 1_000, 12_345, 999_999, 1_000_000, 60_000_000] {
            let seconds = us as f64 / 1e6;
            let index = bucket_index(seconds);
            let bound = |index: i32| 2_f64.powf(f64::from(index) / 8.0);
            assert!(seconds <= bound(index) * 1.000_000_1, "{us}");
            assert!(seconds > bound(index - 1) * 0.999_999_9, "{us}");
        }
    }

    #[test]
    fn durations_outside_of_the_range_are_in_the_first_and_the_last_bucket() {
        assert_eq!(
            (bucket_index(0.0), bucket_index(1e-9), bucket_index(1e6)),
            (MIN_INDEX, MIN_INDEX, MAX_INDEX)
        );
        assert_eq!(bucket_index(1.0), 0);
    }
}
