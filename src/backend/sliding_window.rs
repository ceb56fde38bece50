//! Sliding-window counters: requests and failures of the last period, for circuit breakers, outlier detection
//! and retry budgets.

use std::time::{Duration, Instant};

/// The number of buckets of a window: it covers between nine and ten tenths of its length.
const BUCKETS: usize = 10;

/// Counts over a sliding window; without memory until something is counted.
#[derive(Debug, Default)]
pub struct SlidingWindow(Option<Box<Window>>);

#[derive(Debug, Default)]
struct Window {
    buckets: [Counts; BUCKETS],
    /// The current bucket, counted from `origin`.
    current_bucket: u64,
    origin: Option<Instant>,
    length: Duration,
}

/// The counts of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub failures: u32,
}

impl SlidingWindow {
    /// Adds to the current bucket.
    pub fn add(&mut self, now: Instant, length: Duration, counts: Counts) {
        let window = self.0.get_or_insert_default();
        window.advance(now, length);
        let bucket = &mut window.buckets[(window.current_bucket % BUCKETS as u64) as usize];
        bucket.total = bucket.total.saturating_add(counts.total);
        bucket.failures = bucket.failures.saturating_add(counts.failures);
    }

    /// The counts within the window.
    pub fn sum(&mut self, now: Instant, length: Duration) -> Counts {
        let Some(window) = &mut self.0 else { return Counts::default() };
        window.advance(now, length);
        window.buckets.iter().fold(Counts::default(), |sum, bucket| Counts {
            total: sum.total.saturating_add(bucket.total),
            failures: sum.failures.saturating_add(bucket.failures),
        })
    }

    /// Resets all counts.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl Window {
    /// Drops expired buckets; a changed length resets the window.
    fn advance(&mut self, now: Instant, length: Duration) {
        let origin = match self.origin {
            Some(origin) if self.length == length => origin,
            _ => {
                *self = Window { origin: Some(now), length, ..Window::default() };
                now
            }
        };
        let bucket_ns = (nanoseconds(length) / BUCKETS as u64).max(1);
        let at = nanoseconds(now.saturating_duration_since(origin)) / bucket_ns;
        let passed = at.saturating_sub(self.current_bucket).min(BUCKETS as u64);
        for expired in 1..=passed {
            self.buckets[((self.current_bucket + expired) % BUCKETS as u64) as usize] = Counts::default();
        }
        if passed == BUCKETS as u64 {
            self.buckets = Default::default();
        }
        self.current_bucket = self.current_bucket.max(at);
    }
}

/// Not `as_nanos`: a division of 128 bits costs more than everything else here. Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FAILURE: Counts = Counts { total: 1, failures: 1 };
    const SUCCESS: Counts = Counts { total: 1, failures: 0 };

    #[test]
    fn old_buckets_expire_one_by_one() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        window.add(at(0), SECOND, FAILURE);
        window.add(at(450), SECOND, SUCCESS);
        assert_eq!(window.sum(at(899), SECOND), Counts { total: 2, failures: 1 });
        assert_eq!(window.sum(at(1000), SECOND), Counts { total: 1, failures: 0 });
        assert_eq!(window.sum(at(1400), SECOND), Counts::default());
        window.add(at(9_999_950), SECOND, FAILURE);
        assert_eq!(window.sum(at(9_999_960), SECOND), FAILURE);
    }

    #[test]
    fn an_earlier_time_from_another_worker_counts_in_the_current_bucket() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        window.add(start + SECOND, SECOND, SUCCESS);
        window.add(start, SECOND, FAILURE);
        assert_eq!(window.sum(start + SECOND, SECOND), Counts { total: 2, failures: 1 });
    }

    #[test]
    fn a_changed_length_resets_the_window() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        window.add(start, SECOND, FAILURE);
        assert_eq!(window.sum(start, 2 * SECOND), Counts::default());
    }
}
