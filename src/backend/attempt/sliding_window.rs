//! Counts of the last while: how many, and how many of them bad.

use std::time::{Duration, Instant};

/// In how many parts the time is cut: what is counted is between nine and ten of them old at most.
const BUCKETS: usize = 10;

/// Counts over a time that moves along.
#[derive(Debug, Default)]
pub struct SlidingWindow {
    buckets: [Counts; BUCKETS],
    /// The part that is counted in now, since `origin`.
    current_bucket: u128,
    origin: Option<Instant>,
    length: Duration,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub failures: u32,
}

impl SlidingWindow {
    /// Counts one.
    pub fn add(&mut self, now: Instant, length: Duration, one: Counts) {
        self.advance(now, length);
        let part = &mut self.buckets[(self.current_bucket % BUCKETS as u128) as usize];
        part.total = part.total.saturating_add(one.total);
        part.failures = part.failures.saturating_add(one.failures);
    }

    /// What was counted within the time.
    pub fn sum(&mut self, now: Instant, length: Duration) -> Counts {
        self.advance(now, length);
        self.buckets.iter().fold(Counts::default(), |sum, part| Counts {
            total: sum.total.saturating_add(part.total),
            failures: sum.failures.saturating_add(part.failures),
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = SlidingWindow::default();
    }

    /// Forgets what is too old; of a window of another length, everything.
    fn advance(&mut self, now: Instant, length: Duration) {
        let origin = match self.origin {
            Some(origin) if self.length == length => origin,
            _ => {
                *self = SlidingWindow { origin: Some(now), length, ..SlidingWindow::default() };
                now
            }
        };
        let part = (length.as_nanos() / BUCKETS as u128).max(1);
        let at = now.saturating_duration_since(origin).as_nanos() / part;
        let passed = at.saturating_sub(self.current_bucket).min(BUCKETS as u128);
        for gone in 1..=passed {
            self.buckets[((self.current_bucket + gone) % BUCKETS as u128) as usize] = Counts::default();
        }
        if passed == BUCKETS as u128 {
            self.buckets = Default::default();
        }
        self.current_bucket = self.current_bucket.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BAD: Counts = Counts { total: 1, failures: 1 };
    const GOOD: Counts = Counts { total: 1, failures: 0 };

    #[test]
    fn what_is_older_than_the_window_is_forgotten_part_by_part() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        window.add(at(0), SECOND, BAD);
        window.add(at(450), SECOND, GOOD);
        assert_eq!(window.sum(at(899), SECOND), Counts { total: 2, failures: 1 });
        assert_eq!(window.sum(at(1000), SECOND), Counts { total: 1, failures: 0 });
        assert_eq!(window.sum(at(1400), SECOND), Counts::default());
        window.add(at(9_999_950), SECOND, BAD);
        assert_eq!(window.sum(at(9_999_960), SECOND), BAD);
    }

    #[test]
    fn a_clock_that_lags_behind_another_worker_counts_in_the_present() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        window.add(start + SECOND, SECOND, GOOD);
        window.add(start, SECOND, BAD);
        assert_eq!(window.sum(start + SECOND, SECOND), Counts { total: 2, failures: 1 });
    }

    #[test]
    fn another_length_begins_anew() {
        let (mut window, start) = (SlidingWindow::default(), Instant::now());
        window.add(start, SECOND, BAD);
        assert_eq!(window.sum(start, 2 * SECOND), Counts::default());
    }
}
