//! A clock that tests can replace.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Source of the time on cold paths; hot paths use `Exchange::now`.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<Duration>>>);

impl Clock {
    /// A mock clock, moved with [`Clock::advance`].
    pub fn mock() -> Clock {
        Clock(Some(Arc::default()))
    }

    /// Advances a mock clock; the real clock ignores this.
    pub fn advance(&self, by: Duration) {
        if let Some(offset) = &self.0 {
            *offset.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// Monotonic time, for measuring durations.
    pub fn now(&self) -> Instant {
        Instant::now() + self.offset()
    }

    /// Wall-clock time, for comparing with timestamps from other systems.
    pub fn unix_time(&self) -> SystemTime {
        SystemTime::now() + self.offset()
    }

    fn offset(&self) -> Duration {
        self.0
            .as_ref()
            .map_or(Duration::ZERO, |offset| *offset.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mock_clock_can_be_advanced() {
        let (mock, real) = (Clock::mock(), Clock::default());
        let hour = Duration::from_secs(3600);
        mock.advance(hour);
        real.advance(hour);
        assert!(mock.now() >= real.now() + hour - Duration::from_secs(60));
        assert!(real.unix_time() <= SystemTime::now() + Duration::from_secs(60));
    }
}
