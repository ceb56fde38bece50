//! The active configuration with its sources, and the outcome of the last reload, for the administration.

use super::candidate::Candidate;
use crate::telemetry::Reload;
use arc_swap::ArcSwapOption;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The active configuration. The reloader sets it, the administration reads it.
#[derive(Debug, Default)]
pub struct ActiveConfig {
    candidate: ArcSwapOption<Candidate>,
    last_reload: Mutex<Option<ReloadRecord>>,
}

/// The outcome of a reload.
#[derive(Clone, Copy, Debug)]
pub struct ReloadRecord {
    pub outcome: Reload,
    pub at: SystemTime,
}

impl ActiveConfig {
    /// The active candidate; `None` before the first one.
    pub fn candidate(&self) -> Option<Arc<Candidate>> {
        self.candidate.load_full()
    }

    /// Sets the candidate whose plan was activated.
    pub fn set(&self, candidate: Arc<Candidate>) {
        self.candidate.store(Some(candidate));
    }

    /// Records the outcome of a reload.
    pub fn record(&self, outcome: Reload) {
        let record = ReloadRecord { outcome, at: SystemTime::now() };
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }

    /// The outcome of the last reload; `None` before the first one.
    pub fn last_reload(&self) -> Option<ReloadRecord> {
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
