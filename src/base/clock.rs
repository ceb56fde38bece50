//! Time, as something that is given: tests give their own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Where cold paths take the time from; the warm path takes it from its exchange.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<Duration>>>);

impl Clock {
    /// A clock that can be moved on.
    pub fn mock() -> Clock {
        Clock(Some(Arc::default()))
    }

    /// Moves a manual clock on; the real one goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Some(moved) = &self.0 {
            *moved.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// For measuring.
    pub fn now(&self) -> Instant {
        Instant::now() + self.offset()
    }

    /// For comparing with what others wrote down.
    pub fn unix_time(&self) -> SystemTime {
        SystemTime::now() + self.offset()
    }

    fn offset(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |moved| *moved.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_is_moved_and_the_real_one_is_not() {
        let (manual, real) = (Clock::mock(), Clock::default());
        let hour = Duration::from_secs(3600);
        manual.advance(hour);
        real.advance(hour);
        assert!(manual.now() >= real.now() + hour - Duration::from_secs(60));
        assert!(real.unix_time() <= SystemTime::now() + Duration::from_secs(60));
    }
}
