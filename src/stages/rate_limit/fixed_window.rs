//! Ocelot's fixed window with a wait (docs/ocelot-behavior.md, section 13), as arithmetic on nanoseconds.

use super::store::Counter;

/// How much in which time, and how long a client waits that wanted more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    pub limit: u64,
    pub period: u64,
    /// 0: until the window ends.
    pub penalty: u64,
}

/// What a limit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub admitted: bool,
    /// Requests left.
    pub remaining: u64,
    /// When the count begins anew, or the bucket is full.
    pub resets_at: u64,
    /// When a request will be admitted again, if this one is not.
    pub retry_at: u64,
}

/// No first excess yet.
const NEVER: u64 = u64::MAX;

impl FixedWindow {
    /// Counts a request in: the count after it, and what it means.
    pub fn try_acquire(&self, cell: Option<Counter>, now: u64) -> (Counter, Decision) {
        let mut cell = match cell {
            Some(cell) if now < self.window_end(&cell) => {
                Counter { count: cell.count.saturating_add(1), ..cell }
            }
            _ => Counter { window_start: now, exceeded: NEVER, count: 1, expires_at: 0 },
        };
        let admitted = cell.count <= self.limit;
        if !admitted && cell.exceeded == NEVER {
            cell.exceeded = now;
        }
        cell.expires_at = self.window_end(&cell);
        let standing = Decision {
            admitted,
            remaining: self.limit.saturating_sub(cell.count),
            resets_at: cell.window_start.saturating_add(self.period),
            retry_at: cell.expires_at,
        };
        (cell, standing)
    }

    /// Takes a request back that was counted in the window which began then.
    pub fn refund(cell: Counter, began: u64) -> Counter {
        let same = cell.window_start == began && cell.exceeded == NEVER;
        Counter { count: cell.count - u64::from(same && cell.count > 0), ..cell }
    }

    /// When the count begins anew: with a wait that has begun, when that is over, however long the window is.
    fn window_end(&self, cell: &Counter) -> u64 {
        match (self.penalty, cell.exceeded) {
            (0, _) | (_, NEVER) => cell.window_start.saturating_add(self.period),
            (wait, exceeded) => exceeded.saturating_add(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    /// Counts requests at these times (in tenths of seconds): which were admitted.
    fn admitted(window: FixedWindow, times: &[u64]) -> Vec<bool> {
        let mut cell = None;
        let mut count = |at: &u64| {
            let (next, standing) = window.try_acquire(cell, at * S / 10);
            cell = Some(next);
            standing.admitted
        };
        times.iter().map(&mut count).collect()
    }

    fn window(limit: u64, period: u64, wait: u64) -> FixedWindow {
        FixedWindow { limit, period: period * S / 10, penalty: wait * S / 10 }
    }

    #[test]
    fn the_first_request_starts_the_window_and_requests_within_it_are_counted() {
        assert_eq!(admitted(window(2, 10, 0), &[3, 4, 5]), [true, true, false]);
        let (_, standing) = window(3, 10, 0).try_acquire(None, 7);
        assert_eq!((standing.remaining, standing.resets_at), (2, 7 + S));
    }

    #[test]
    fn without_a_wait_a_client_is_blocked_until_the_window_ends() {
        assert_eq!(admitted(window(1, 10, 0), &[0, 1, 9, 10, 11]), [true, false, false, true, false]);
    }

    #[test]
    fn with_a_wait_it_is_blocked_from_the_first_excess_even_if_the_window_ends_before() {
        assert_eq!(admitted(window(1, 10, 20), &[0, 5, 10, 24, 25]), [true, false, false, false, true]);
    }

    #[test]
    fn with_a_wait_that_is_shorter_than_the_window_it_begins_anew_before_the_window_ends() {
        assert_eq!(admitted(window(1, 100, 5), &[0, 1, 5, 6, 7]), [true, false, false, true, false]);
    }

    #[test]
    fn requests_during_the_wait_do_not_extend_it() {
        assert_eq!(admitted(window(1, 10, 10), &[0, 1, 5, 10, 11]), [true, false, false, false, true]);
    }

    #[test]
    fn after_the_wait_the_count_restarts_with_that_request_as_the_first() {
        let times = [0, 1, 2, 12, 13, 14];
        assert_eq!(admitted(window(2, 10, 10), &times), [true, true, false, true, true, false]);
    }

    #[test]
    fn a_window_that_is_over_and_was_not_exceeded_restarts() {
        assert_eq!(admitted(window(2, 10, 30), &[0, 1, 10, 11, 12]), [true, true, true, true, false]);
    }

    #[test]
    fn a_limit_of_nothing_blocks_every_request_and_again_after_the_wait() {
        assert_eq!(admitted(window(0, 10, 0), &[0, 10, 25]), [false; 3]);
        assert_eq!(admitted(window(0, 10, 5), &[0, 5, 50]), [false; 3]);
    }

    #[test]
    fn a_window_of_no_time_counts_every_request_alone() {
        assert_eq!(admitted(window(1, 0, 0), &[0, 0, 0, 1]), [true; 4]);
    }

    #[test]
    fn the_time_to_come_again_is_what_is_left_of_the_wait_or_of_the_window() {
        let refused = |w: FixedWindow| {
            let (cell, _) = w.try_acquire(None, 0);
            w.try_acquire(Some(cell), 3 * S).1
        };
        assert_eq!(refused(window(1, 100, 0)).retry_at, 10 * S);
        assert_eq!(refused(window(1, 100, 20)).retry_at, 5 * S);
    }

    #[test]
    fn a_request_is_taken_back_only_from_the_window_it_was_counted_in() {
        let w = window(5, 10, 0);
        let (one, _) = w.try_acquire(None, 0);
        let (two, _) = w.try_acquire(Some(one), 1);
        assert_eq!(FixedWindow::refund(two, 0).count, 1);
        assert_eq!(FixedWindow::refund(two, 99), two);
    }

    /// Section 13, sentence by sentence, with no attempt at being clever.
    #[derive(Default)]
    struct Model {
        began: Option<u64>,
        exceeded: Option<u64>,
        total: u64,
    }

    impl Model {
        fn admits(&mut self, w: &FixedWindow, now: u64) -> bool {
            let restart = match (self.began, self.exceeded) {
                (None, _) => true,
                (Some(_), Some(exceeded)) if w.penalty > 0 => now >= exceeded + w.penalty,
                (Some(began), _) => now >= began + w.period,
            };
            if restart {
                *self = Model { began: Some(now), exceeded: None, total: 0 };
            }
            self.total += 1;
            if self.total > w.limit && self.exceeded.is_none() {
                self.exceeded = Some(now);
            }
            self.total <= w.limit
        }
    }

    proptest! {
        #[test]
        fn the_window_does_what_the_sentences_say(
            limit in 0u64..6,
            period in 0u64..30,
            wait in 0u64..40,
            steps in prop::collection::vec(0u64..12, 1..80),
        ) {
            let window = FixedWindow { limit, period, penalty: wait };
            let (mut model, mut cell, mut now) = (Model::default(), None, 0);
            for step in steps {
                now += step;
                let (next, standing) = window.try_acquire(cell, now);
                prop_assert_eq!(standing.admitted, model.admits(&window, now));
                prop_assert!(standing.admitted || standing.retry_at > now || period == 0 && wait == 0);
                // What the sweep may forget is what would restart anyway.
                cell = Some(next).filter(|cell| now < cell.expires_at);
            }
        }
    }
}
