//! Changes of the configuration: rollbacks, the watch of a change, the history.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a configuration was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackReason {
    /// The 5xx ratio of a changed route.
    Errors,
    /// The latency of a changed route.
    Latency,
    /// A request to the administration API.
    Request,
}

impl RollbackReason {
    /// All reasons, in the order they are exported.
    pub const ALL: [RollbackReason; 3] =
        [RollbackReason::Errors, RollbackReason::Latency, RollbackReason::Request];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            RollbackReason::Errors => "errors",
            RollbackReason::Latency => "latency",
            RollbackReason::Request => "request",
        }
    }
}

/// The counters of changes.
#[derive(Debug, Default)]
pub struct ConfigMetrics {
    rollbacks: [AtomicU64; 3],
    history_errors: AtomicU64,
    failed_tests: AtomicU64,
    is_watching: AtomicBool,
    is_unsaved: AtomicBool,
}

impl ConfigMetrics {
    /// Counts a rollback.
    pub fn record_rollback(&self, reason: RollbackReason) {
        self.rollbacks[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a failed write of the history.
    pub fn record_history_error(&self) {
        self.history_errors.fetch_add(1, Relaxed);
    }

    /// Counts a configuration that failed its tests.
    pub fn record_failed_tests(&self) {
        self.failed_tests.fetch_add(1, Relaxed);
    }

    /// Sets whether a change is being watched.
    pub fn set_watching(&self, is_watching: bool) {
        self.is_watching.store(is_watching, Relaxed);
    }

    /// Sets whether the active configuration differs from the files.
    pub fn set_unsaved(&self, is_unsaved: bool) {
        self.is_unsaved.store(is_unsaved, Relaxed);
    }

    pub(super) fn rollbacks(&self, reason: RollbackReason) -> u64 {
        self.rollbacks[reason as usize].load(Relaxed)
    }

    pub(super) fn history_errors(&self) -> u64 {
        self.history_errors.load(Relaxed)
    }

    pub(super) fn failed_tests(&self) -> u64 {
        self.failed_tests.load(Relaxed)
    }

    /// Whether a change is being watched.
    pub fn is_watching(&self) -> bool {
        self.is_watching.load(Relaxed)
    }

    /// Whether the active configuration differs from the files.
    pub fn is_unsaved(&self) -> bool {
        self.is_unsaved.load(Relaxed)
    }
}
