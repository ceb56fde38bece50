//! The token bucket, as the arithmetic of GCRA: one number, the time at which the bucket will be full again.
//!
//! The quota is `governor`'s; the number is kept in our own counters, because those of `governor` know neither the time
//! of an exchange nor a bound of memory. A test holds the two together.

use super::{fixed_window::Decision, store::Counter};
use governor::Quota;
use std::{num::NonZeroU32, time::Duration};

/// A bucket of so many tokens, refilled one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Nanoseconds for one token.
    emission_interval: u64,
    burst: u64,
}

impl TokenBucket {
    /// So many requests in a period, so many of them at once; none when it is nothing in no time.
    pub fn new(limit: NonZeroU32, period: Duration, burst: NonZeroU32) -> Option<TokenBucket> {
        let quota = Quota::with_period(period / limit.get())?.allow_burst(burst);
        let every = u64::try_from(quota.replenish_interval().as_nanos()).ok()?;
        Some(TokenBucket { emission_interval: every, burst: u64::from(quota.burst_size().get()) })
    }

    /// Takes a token: the bucket after that, and what it means.
    pub fn try_acquire(&self, cell: Option<Counter>, now: u64) -> (Counter, Decision) {
        let full = cell.map_or(now, |cell| cell.window_start.max(now));
        let capacity = self.emission_interval.saturating_mul(self.burst);
        let next = full.saturating_add(self.emission_interval);
        let admitted = next - now <= capacity;
        let full = if admitted { next } else { full };
        let standing = Decision {
            admitted,
            remaining: (capacity - (full - now).min(capacity)) / self.emission_interval,
            resets_at: full,
            retry_at: next.saturating_sub(capacity),
        };
        (Counter { window_start: full, exceeded: 0, count: 0, expires_at: full }, standing)
    }

    /// Puts a token back.
    pub fn refund(&self, cell: Counter) -> Counter {
        let full = cell.window_start.saturating_sub(self.emission_interval);
        Counter { window_start: full, expires_at: full, ..cell }
    }

    /// Tokens that fit in.
    pub fn burst(&self) -> u64 {
        self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::{RateLimiter, clock::FakeRelativeClock};
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn n(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    fn bucket(limit: u32, seconds: u64, burst: u32) -> TokenBucket {
        TokenBucket::new(n(limit), Duration::from_secs(seconds), n(burst)).expect("a bucket")
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_after_the_other() {
        let bucket = bucket(10, 10, 3);
        let mut cell = None;
        let mut at = |now| {
            let (next, standing) = bucket.try_acquire(cell, now);
            cell = Some(next);
            (standing.admitted, standing.remaining)
        };
        assert_eq!([at(0), at(0), at(0), at(0)], [(true, 2), (true, 1), (true, 0), (false, 0)]);
        assert_eq!([at(S - 1), at(S), at(S)], [(false, 0), (true, 0), (false, 0)]);
        assert_eq!(at(100 * S), (true, 2), "never more than the burst");
    }

    #[test]
    fn a_refusal_says_when_the_next_token_comes() {
        let bucket = bucket(2, 10, 1);
        let (cell, _) = bucket.try_acquire(None, 0);
        let (cell, refused) = bucket.try_acquire(Some(cell), S);
        assert_eq!((refused.admitted, refused.retry_at, refused.resets_at), (false, 5 * S, 5 * S));
        assert!(bucket.try_acquire(Some(cell), 5 * S).1.admitted);
    }

    #[test]
    fn a_token_put_back_is_there_again() {
        let bucket = bucket(1, 60, 1);
        let (cell, _) = bucket.try_acquire(None, 7);
        assert!(bucket.try_acquire(Some(bucket.refund(cell)), 7).1.admitted);
    }

    #[test]
    fn nothing_in_no_time_is_no_bucket() {
        assert_eq!(TokenBucket::new(n(1), Duration::ZERO, n(1)), None);
        assert_eq!(TokenBucket::new(n(u32::MAX), Duration::from_nanos(1), n(1)), None);
    }

    proptest! {
        #[test]
        fn it_admits_what_governor_admits(
            limit in 1u32..20,
            period in 1u64..1_000_000,
            burst in 1u32..20,
            steps in prop::collection::vec(0u64..100_000, 1..100),
        ) {
            let period = Duration::from_nanos(period.max(u64::from(limit)));
            let quota = Quota::with_period(period / limit).expect("not zero").allow_burst(n(burst));
            let clock = FakeRelativeClock::default();
            let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
            let ours = TokenBucket::new(n(limit), period, n(burst)).expect("a bucket");
            let (mut cell, mut now) = (None, 0);
            for step in steps {
                now += step;
                clock.advance(Duration::from_nanos(step));
                let (next, standing) = ours.try_acquire(cell, now);
                prop_assert_eq!(standing.admitted, theirs.check().is_ok());
                cell = Some(next).filter(|cell| now < cell.expires_at);
            }
        }
    }
}
