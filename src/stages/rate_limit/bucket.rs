//! The token bucket, as the arithmetic of GCRA: one number, the time at which the bucket will be full again.
//!
//! The quota is `governor`'s; the number is kept in our own counters, because those of `governor` know neither the time
//! of an exchange nor a bound of memory. A test holds the two together.

use super::{counters::Cell, window::Standing};
use governor::Quota;
use std::{num::NonZeroU32, time::Duration};

/// A bucket of so many tokens, refilled one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds for one token.
    every: u64,
    burst: u64,
}

impl Bucket {
    /// So many requests in a period, so many of them at once; none when it is nothing in no time.
    pub fn new(limit: NonZeroU32, period: Duration, burst: NonZeroU32) -> Option<Bucket> {
        let quota = Quota::with_period(period / limit.get())?.allow_burst(burst);
        let every = u64::try_from(quota.replenish_interval().as_nanos()).ok()?;
        Some(Bucket { every, burst: u64::from(quota.burst_size().get()) })
    }

    /// Takes a token: the bucket after that, and what it means.
    pub fn count(&self, cell: Option<Cell>, now: u64) -> (Cell, Standing) {
        let full = cell.map_or(now, |cell| cell.began.max(now));
        let capacity = self.every.saturating_mul(self.burst);
        let next = full.saturating_add(self.every);
        let admitted = next - now <= capacity;
        let full = if admitted { next } else { full };
        let standing = Standing {
            admitted,
            left: (capacity - (full - now).min(capacity)) / self.every,
            resets: full,
            retry: next.saturating_sub(capacity),
        };
        (Cell { began: full, exceeded: 0, total: 0, ends: full }, standing)
    }

    /// Puts a token back.
    pub fn uncount(&self, cell: Cell) -> Cell {
        let full = cell.began.saturating_sub(self.every);
        Cell { began: full, ends: full, ..cell }
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

    fn bucket(limit: u32, seconds: u64, burst: u32) -> Bucket {
        Bucket::new(n(limit), Duration::from_secs(seconds), n(burst)).expect("a bucket")
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_after_the_other() {
        let bucket = bucket(10, 10, 3);
        let mut cell = None;
        let mut at = |now| {
            let (next, standing) = bucket.count(cell, now);
            cell = Some(next);
            (standing.admitted, standing.left)
        };
        assert_eq!([at(0), at(0), at(0), at(0)], [(true, 2), (true, 1), (true, 0), (false, 0)]);
        assert_eq!([at(S - 1), at(S), at(S)], [(false, 0), (true, 0), (false, 0)]);
        assert_eq!(at(100 * S), (true, 2), "never more than the burst");
    }

    #[test]
    fn a_refusal_says_when_the_next_token_comes() {
        let bucket = bucket(2, 10, 1);
        let (cell, _) = bucket.count(None, 0);
        let (cell, refused) = bucket.count(Some(cell), S);
        assert_eq!((refused.admitted, refused.retry, refused.resets), (false, 5 * S, 5 * S));
        assert!(bucket.count(Some(cell), 5 * S).1.admitted);
    }

    #[test]
    fn a_token_put_back_is_there_again() {
        let bucket = bucket(1, 60, 1);
        let (cell, _) = bucket.count(None, 7);
        assert!(bucket.count(Some(bucket.uncount(cell)), 7).1.admitted);
    }

    #[test]
    fn nothing_in_no_time_is_no_bucket() {
        assert_eq!(Bucket::new(n(1), Duration::ZERO, n(1)), None);
        assert_eq!(Bucket::new(n(u32::MAX), Duration::from_nanos(1), n(1)), None);
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
            let ours = Bucket::new(n(limit), period, n(burst)).expect("a bucket");
            let (mut cell, mut now) = (None, 0);
            for step in steps {
                now += step;
                clock.advance(Duration::from_nanos(step));
                let (next, standing) = ours.count(cell, now);
                prop_assert_eq!(standing.admitted, theirs.check().is_ok());
                cell = Some(next).filter(|cell| now < cell.ends);
            }
        }
    }
}
