//! Counts of the last while: how many, and how many of them bad.

use std::time::{Duration, Instant};

/// In how many parts the time is cut: what is counted is between nine and ten of them old at most.
const PARTS: usize = 10;

/// Counts over a time that moves along.
#[derive(Debug, Default)]
pub struct Window {
    parts: [Counts; PARTS],
    /// The part that is counted in now, since `origin`.
    last: u128,
    origin: Option<Instant>,
    length: Duration,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub all: u32,
    pub bad: u32,
}

impl Window {
    /// Counts one.
    pub fn add(&mut self, now: Instant, length: Duration, one: Counts) {
        self.move_on(now, length);
        let part = &mut self.parts[(self.last % PARTS as u128) as usize];
        part.all = part.all.saturating_add(one.all);
        part.bad = part.bad.saturating_add(one.bad);
    }

    /// What was counted within the time.
    pub fn sum(&mut self, now: Instant, length: Duration) -> Counts {
        self.move_on(now, length);
        self.parts.iter().fold(Counts::default(), |sum, part| Counts {
            all: sum.all.saturating_add(part.all),
            bad: sum.bad.saturating_add(part.bad),
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Window::default();
    }

    /// Forgets what is too old; of a window of another length, everything.
    fn move_on(&mut self, now: Instant, length: Duration) {
        let origin = match self.origin {
            Some(origin) if self.length == length => origin,
            _ => {
                *self = Window { origin: Some(now), length, ..Window::default() };
                now
            }
        };
        let part = (length.as_nanos() / PARTS as u128).max(1);
        let at = now.saturating_duration_since(origin).as_nanos() / part;
        let passed = at.saturating_sub(self.last).min(PARTS as u128);
        for gone in 1..=passed {
            self.parts[((self.last + gone) % PARTS as u128) as usize] = Counts::default();
        }
        if passed == PARTS as u128 {
            self.parts = Default::default();
        }
        self.last = self.last.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BAD: Counts = Counts { all: 1, bad: 1 };
    const GOOD: Counts = Counts { all: 1, bad: 0 };

    #[test]
    fn what_is_older_than_the_window_is_forgotten_part_by_part() {
        let (mut window, start) = (Window::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        window.add(at(0), SECOND, BAD);
        window.add(at(450), SECOND, GOOD);
        assert_eq!(window.sum(at(899), SECOND), Counts { all: 2, bad: 1 });
        assert_eq!(window.sum(at(1000), SECOND), Counts { all: 1, bad: 0 });
        assert_eq!(window.sum(at(1400), SECOND), Counts::default());
        window.add(at(9_999_950), SECOND, BAD);
        assert_eq!(window.sum(at(9_999_960), SECOND), BAD);
    }

    #[test]
    fn a_clock_that_lags_behind_another_worker_counts_in_the_present() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.add(start + SECOND, SECOND, GOOD);
        window.add(start, SECOND, BAD);
        assert_eq!(window.sum(start + SECOND, SECOND), Counts { all: 2, bad: 1 });
    }

    #[test]
    fn another_length_begins_anew() {
        let (mut window, start) = (Window::default(), Instant::now());
        window.add(start, SECOND, BAD);
        assert_eq!(window.sum(start, 2 * SECOND), Counts::default());
    }
}
