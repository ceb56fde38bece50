//! Exponential backoff with jitter: the bound doubles with each failure, up to a maximum.

use std::time::Duration;

/// Beyond this many doublings the bound no longer grows.
const MAX_DOUBLINGS: u32 = 20;

/// A random delay of up to `base · 2^failures`, at most `max` (full jitter). `failures` counts from 0.
pub fn full_jitter(base: Duration, max: Duration, failures: u32) -> Duration {
    bound(base, max, failures).mul_f64(fastrand::f64())
}

/// The upper bound of [`full_jitter`].
pub fn bound(base: Duration, max: Duration, failures: u32) -> Duration {
    base.saturating_mul(1 << failures.min(MAX_DOUBLINGS)).min(max)
}

/// A random delay between half of `interval` and all of it, so that many gateways do not act in step.
pub fn half_jitter(interval: Duration) -> Duration {
    interval / 2 + (interval / 2).mul_f64(fastrand::f64())
}

/// The backoff of a loop that repeats an operation until it succeeds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff without failures so far.
    pub const fn new(base: Duration, max: Duration) -> Backoff {
        Backoff { base, max, failures: 0 }
    }

    /// The delay after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let delay = full_jitter(self.base, self.max, self.failures);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(1);

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let bounds = [0, 1, 2, 3, 4, 40].map(|failures| bound(BASE, MAX, failures).as_millis());
        assert_eq!(bounds, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(bound(Duration::MAX, Duration::MAX, 9), Duration::MAX);
        assert_eq!(full_jitter(Duration::ZERO, MAX, 3), Duration::ZERO);
    }

    #[test]
    fn full_jitter_covers_everything_below_the_bound() {
        let delays: Vec<_> = (0..200).map(|_| full_jitter(BASE, MAX, 1)).collect();
        let quarter = Duration::from_millis(50);
        assert!(delays.iter().all(|delay| *delay <= 2 * BASE));
        assert!(delays.iter().any(|d| *d < quarter) && delays.iter().any(|d| *d > 2 * BASE - quarter));
        assert!((0..200).map(|_| half_jitter(MAX)).all(|delay| delay >= MAX / 2 && delay <= MAX));
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(BASE, MAX);
        (0..10).for_each(|_| assert!(backoff.next_delay() <= MAX));
        backoff.reset();
        assert!(backoff.next_delay() <= BASE);
    }
}
