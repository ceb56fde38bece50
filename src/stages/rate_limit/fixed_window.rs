//! Ocelot's fixed window with a penalty (docs/ocelot-behavior.md, section 13). All times are nanoseconds.

use super::store::Counter;

/// A limit per window, and how long a client is blocked after exceeding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    pub limit: u64,
    pub period_ns: u64,
    /// 0: blocked until the window ends.
    pub penalty_ns: u64,
}

/// The decision of a limit about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub admitted: bool,
    /// Remaining requests.
    pub remaining: u64,
    /// When the window resets, or the bucket is full.
    pub resets_at_ns: u64,
    /// When the next request is admitted, if this one is rejected.
    pub retry_at_ns: u64,
}

/// The limit is not exceeded yet.
const NEVER: u64 = u64::MAX;

impl FixedWindow {
    /// Counts a request; returns the new state and the decision.
    pub fn try_acquire(&self, counter: Option<Counter>, now_ns: u64) -> (Counter, Decision) {
        let mut counter = match counter {
            Some(counter) if now_ns < self.window_end(&counter) => {
                Counter { count: counter.count.saturating_add(1), ..counter }
            }
            _ => Counter { window_start_ns: now_ns, exceeded_at_ns: NEVER, count: 1, expires_at_ns: 0 },
        };
        let admitted = counter.count <= self.limit;
        if !admitted && counter.exceeded_at_ns == NEVER {
            counter.exceeded_at_ns = now_ns;
        }
        counter.expires_at_ns = self.window_end(&counter);
        let decision = Decision {
            admitted,
            remaining: self.limit.saturating_sub(counter.count),
            resets_at_ns: counter.window_start_ns.saturating_add(self.period_ns),
            retry_at_ns: counter.expires_at_ns,
        };
        (counter, decision)
    }

    /// Refunds a request that was counted in the window with this start.
    pub fn refund(counter: Counter, window_start_ns: u64) -> Counter {
        let same = counter.window_start_ns == window_start_ns && counter.exceeded_at_ns == NEVER;
        Counter { count: counter.count - u64::from(same && counter.count > 0), ..counter }
    }

    /// When the count restarts: after a penalty that has begun, regardless of the window.
    fn window_end(&self, counter: &Counter) -> u64 {
        match (self.penalty_ns, counter.exceeded_at_ns) {
            (0, _) | (_, NEVER) => counter.window_start_ns.saturating_add(self.period_ns),
            (penalty, exceeded_at_ns) => exceeded_at_ns.saturating_add(penalty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    /// Whether requests at these times (in tenths of seconds) are admitted.
    fn admitted(window: FixedWindow, times: &[u64]) -> Vec<bool> {
        let mut counter = None;
        let mut count = |at: &u64| {
            let (next, decision) = window.try_acquire(counter, at * S / 10);
            counter = Some(next);
            decision.admitted
        };
        times.iter().map(&mut count).collect()
    }

    fn window(limit: u64, period: u64, penalty: u64) -> FixedWindow {
        FixedWindow { limit, period_ns: period * S / 10, penalty_ns: penalty * S / 10 }
    }

    #[test]
    fn the_first_request_starts_the_window_and_requests_within_it_are_counted() {
        assert_eq!(admitted(window(2, 10, 0), &[3, 4, 5]), [true, true, false]);
        let (_, decision) = window(3, 10, 0).try_acquire(None, 7);
        assert_eq!((decision.remaining, decision.resets_at_ns), (2, 7 + S));
    }

    #[test]
    fn without_a_penalty_a_client_is_blocked_until_the_window_ends() {
        assert_eq!(admitted(window(1, 10, 0), &[0, 1, 9, 10, 11]), [true, false, false, true, false]);
    }

    #[test]
    fn with_a_penalty_it_is_blocked_from_the_first_excess_on() {
        assert_eq!(admitted(window(1, 10, 20), &[0, 5, 10, 24, 25]), [true, false, false, false, true]);
    }

    #[test]
    fn a_penalty_shorter_than_the_window_restarts_the_count_early() {
        assert_eq!(admitted(window(1, 100, 5), &[0, 1, 5, 6, 7]), [true, false, false, true, false]);
    }

    #[test]
    fn requests_during_the_penalty_do_not_extend_it() {
        assert_eq!(admitted(window(1, 10, 10), &[0, 1, 5, 10, 11]), [true, false, false, false, true]);
    }

    #[test]
    fn after_the_penalty_the_count_restarts() {
        let times = [0, 1, 2, 12, 13, 14];
        assert_eq!(admitted(window(2, 10, 10), &times), [true, true, false, true, true, false]);
    }

    #[test]
    fn an_expired_window_restarts() {
        assert_eq!(admitted(window(2, 10, 30), &[0, 1, 10, 11, 12]), [true, true, true, true, false]);
    }

    #[test]
    fn a_limit_of_zero_blocks_every_request() {
        assert_eq!(admitted(window(0, 10, 0), &[0, 10, 25]), [false; 3]);
        assert_eq!(admitted(window(0, 10, 5), &[0, 5, 50]), [false; 3]);
    }

    #[test]
    fn a_window_of_zero_length_counts_each_request_alone() {
        assert_eq!(admitted(window(1, 0, 0), &[0, 0, 0, 1]), [true; 4]);
    }

    #[test]
    fn retry_at_is_the_end_of_the_penalty_or_of_the_window() {
        let rejected = |w: FixedWindow| {
            let (counter, _) = w.try_acquire(None, 0);
            w.try_acquire(Some(counter), 3 * S).1
        };
        assert_eq!(rejected(window(1, 100, 0)).retry_at_ns, 10 * S);
        assert_eq!(rejected(window(1, 100, 20)).retry_at_ns, 5 * S);
    }

    #[test]
    fn a_request_is_refunded_only_in_its_window() {
        let w = window(5, 10, 0);
        let (one, _) = w.try_acquire(None, 0);
        let (two, _) = w.try_acquire(Some(one), 1);
        assert_eq!(FixedWindow::refund(two, 0).count, 1);
        assert_eq!(FixedWindow::refund(two, 99), two);
    }

    /// Section 13 of docs/ocelot-behavior.md, implemented literally.
    #[derive(Default)]
    struct Model {
        window_start_ns: Option<u64>,
        exceeded_at_ns: Option<u64>,
        total: u64,
    }

    impl Model {
        fn admits(&mut self, window: &FixedWindow, now_ns: u64) -> bool {
            let restart = match (self.window_start_ns, self.exceeded_at_ns) {
                (None, _) => true,
                (Some(_), Some(exceeded_at_ns)) if window.penalty_ns > 0 => {
                    now_ns >= exceeded_at_ns + window.penalty_ns
                }
                (Some(window_start_ns), _) => now_ns >= window_start_ns + window.period_ns,
            };
            if restart {
                *self = Model { window_start_ns: Some(now_ns), exceeded_at_ns: None, total: 0 };
            }
            self.total += 1;
            if self.total > window.limit && self.exceeded_at_ns.is_none() {
                self.exceeded_at_ns = Some(now_ns);
            }
            self.total <= window.limit
        }
    }

    proptest! {
        #[test]
        fn decisions_equal_those_of_the_model(
            limit in 0u64..6,
            period in 0u64..30,
            penalty in 0u64..40,
            steps in prop::collection::vec(0u64..12, 1..80),
        ) {
            let window = FixedWindow { limit, period_ns: period, penalty_ns: penalty };
            let (mut model, mut counter, mut now_ns) = (Model::default(), None, 0);
            for step in steps {
                now_ns += step;
                let (next, decision) = window.try_acquire(counter, now_ns);
                prop_assert_eq!(decision.admitted, model.admits(&window, now_ns));
                prop_assert!(decision.admitted || decision.retry_at_ns > now_ns || period == 0 && penalty == 0);
                // The sweep only removes counters that would restart anyway.
                counter = Some(next).filter(|counter| now_ns < counter.expires_at_ns);
            }
        }
    }
}
