//! A level of the process log for a limited time.

use log::LevelFilter;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// The change of the level that is in effect, if there is one.
#[derive(Clone, Debug, Default)]
pub struct LogOverride(Arc<Mutex<Option<LevelChange>>>);

/// A change of the level, until it is reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange {
    /// The level after it.
    pub previous: LevelFilter,
    pub until: Instant,
}

impl LogOverride {
    /// Sets the level; the first of several changes remembers the level before them.
    pub fn set(&self, level: LevelFilter, until: Instant) {
        let mut change = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = change.map_or_else(log::max_level, |change| change.previous);
        *change = Some(LevelChange { previous, until });
        log::set_max_level(level);
    }

    /// Reverts the change if its time is over; returns whether it did.
    pub fn revert(&self, now: Instant) -> bool {
        let mut change = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(over) = change.take_if(|change| change.until <= now) else { return false };
        log::set_max_level(over.previous);
        true
    }

    /// The change that is in effect.
    pub fn current(&self) -> Option<LevelChange> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_of_several_changes_reverts_to_the_level_before_the_first() {
        let (before, state, now) = (log::max_level(), LogOverride::default(), Instant::now());
        state.set(LevelFilter::Debug, now + Duration::from_secs(1));
        state.set(LevelFilter::Trace, now + Duration::from_secs(9));
        assert!(!state.revert(now + Duration::from_secs(1)), "the later change lasts longer");
        let until = now + Duration::from_secs(9);
        assert_eq!(state.current(), Some(LevelChange { previous: before, until }));
        assert!(state.revert(until));
        assert_eq!((log::max_level(), state.current()), (before, None));
    }
}
