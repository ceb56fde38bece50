//! What outlives a reload: the counters of this gateway, and the limiters of shared states.

use super::{shared::limiter::SharedLimiter, store::CounterStore};
use crate::state::{PerState, SharedState};
use std::sync::Arc;

/// The counters of this gateway, and the limiters of shared states.
#[derive(Debug, Default)]
pub struct RateLimitState {
    pub counters: Arc<CounterStore>,
    limiters: PerState<SharedLimiter>,
}

impl RateLimitState {
    /// The limiter of a shared state, started unless a plan holds it.
    pub fn limiter(&self, state: &Arc<SharedState>) -> Arc<SharedLimiter> {
        self.limiters.get_or_insert_with(state, || SharedLimiter::start(state, self.counters.epoch()))
    }
}
