//! Token bucket, implemented as GCRA (generic cell rate algorithm): the state is one number, the time at which the
//! bucket is full again. All times are nanoseconds of the store's clock.
//!
//! The quota type is `governor`'s. Its counters are not used: they take neither the time of an exchange nor a memory
//! limit. A test compares the decisions of both.

use super::{fixed_window::Decision, store::Counter};
use governor::Quota;
use std::{num::NonZeroU32, time::Duration};

/// A bucket of `burst` tokens, refilled one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Nanoseconds per token.
    emission_interval_ns: u64,
    burst: u64,
}

impl TokenBucket {
    /// `limit` requests per period, `burst` of them at once; `None` if the interval is zero.
    pub fn new(limit: NonZeroU32, period: Duration, burst: NonZeroU32) -> Option<TokenBucket> {
        let quota = Quota::with_period(period / limit.get())?.allow_burst(burst);
        let emission_interval = u64::try_from(quota.replenish_interval().as_nanos()).ok()?;
        Some(TokenBucket {
            emission_interval_ns: emission_interval,
            burst: u64::from(quota.burst_size().get()),
        })
    }

    /// Takes a token; returns the new state and the decision.
    pub fn try_acquire(&self, counter: Option<Counter>, now_ns: u64) -> (Counter, Decision) {
        let full_at_ns = counter.map_or(now_ns, |counter| counter.window_start_ns.max(now_ns));
        let capacity = self.emission_interval_ns.saturating_mul(self.burst);
        let next = full_at_ns.saturating_add(self.emission_interval_ns);
        let admitted = next - now_ns <= capacity;
        let full_at_ns = if admitted { next } else { full_at_ns };
        let decision = Decision {
            admitted,
            remaining: (capacity - (full_at_ns - now_ns).min(capacity)) / self.emission_interval_ns,
            resets_at_ns: full_at_ns,
            retry_at_ns: next.saturating_sub(capacity),
        };
        (
            Counter { window_start_ns: full_at_ns, exceeded_at_ns: 0, count: 0, expires_at_ns: full_at_ns },
            decision,
        )
    }

    /// Returns a token.
    pub fn refund(&self, counter: Counter) -> Counter {
        let full_at_ns = counter.window_start_ns.saturating_sub(self.emission_interval_ns);
        Counter { window_start_ns: full_at_ns, expires_at_ns: full_at_ns, ..counter }
    }

    /// Nanoseconds per token.
    pub fn emission_interval_ns(&self) -> u64 {
        self.emission_interval_ns
    }

    /// The capacity in tokens.
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
    fn a_burst_is_admitted_and_then_one_request_per_interval() {
        let bucket = bucket(10, 10, 3);
        let mut counter = None;
        let mut at = |now_ns| {
            let (next, decision) = bucket.try_acquire(counter, now_ns);
            counter = Some(next);
            (decision.admitted, decision.remaining)
        };
        assert_eq!([at(0), at(0), at(0), at(0)], [(true, 2), (true, 1), (true, 0), (false, 0)]);
        assert_eq!([at(S - 1), at(S), at(S)], [(false, 0), (true, 0), (false, 0)]);
        assert_eq!(at(100 * S), (true, 2), "never more than the burst");
    }

    #[test]
    fn a_rejection_has_the_time_of_the_next_token() {
        let bucket = bucket(2, 10, 1);
        let (counter, _) = bucket.try_acquire(None, 0);
        let (counter, rejected) = bucket.try_acquire(Some(counter), S);
        assert_eq!((rejected.admitted, rejected.retry_at_ns, rejected.resets_at_ns), (false, 5 * S, 5 * S));
        assert!(bucket.try_acquire(Some(counter), 5 * S).1.admitted);
    }

    #[test]
    fn a_refunded_token_is_available_again() {
        let bucket = bucket(1, 60, 1);
        let (counter, _) = bucket.try_acquire(None, 7);
        assert!(bucket.try_acquire(Some(bucket.refund(counter)), 7).1.admitted);
    }

    #[test]
    fn a_zero_interval_is_not_a_bucket() {
        assert_eq!(TokenBucket::new(n(1), Duration::ZERO, n(1)), None);
        assert_eq!(TokenBucket::new(n(u32::MAX), Duration::from_nanos(1), n(1)), None);
    }

    proptest! {
        #[test]
        fn decisions_equal_those_of_governor(
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
            let (mut counter, mut now_ns) = (None, 0);
            for step in steps {
                now_ns += step;
                clock.advance(Duration::from_nanos(step));
                let (next, decision) = ours.try_acquire(counter, now_ns);
                prop_assert_eq!(decision.admitted, theirs.check().is_ok());
                counter = Some(next).filter(|counter| now_ns < counter.expires_at_ns);
            }
        }
    }
}
