//! `RateLimitOptions`: rate limits by fixed window (docs/ocelot-behavior.md, section 13) or token bucket, partitioned
//! by client, address, header or claim.
//!
//! - Elsewhere: nginx's `limit_req`, Envoy's local rate limit filter, ASP.NET's rate limiter.
//! - Entry point: [`RateLimit`], the stage. There are two of it: before authentication, and after it for limits by
//!   claim.
//! - Callers: the table of stages builds them; `compile` checks the options.
//! - Owns: the counters ([`store::CounterStore`]), swept by a background task.
//! - Outlives a reload: the counters, found again by the name of the limit.
//! - Shared by several gateways: limits with `"Scope": "Shared"`, in `shared`.

mod compile;
mod config;
pub mod inspect;
mod message;
mod options;
pub(super) mod period;
mod resolved;
mod rule;
pub mod scope;
mod shared;
mod stage;
mod state;
pub mod token_bucket;
pub mod store;
pub mod format;
mod response_headers;
pub mod fixed_window;

pub use config::{Algorithm, Fields, Limit, RateLimitConfig};
pub use options::{GlobalRateLimitOptions, RateLimitDocument, RateLimitOptions};
pub use shared::{LeaseSize, Scope};
pub use stage::{NAME, NAME_BY_CLAIM, RateLimit};
pub use state::RateLimitState;

use crate::{
    base::clock::Clock,
    net::background::BackgroundRuntime,
    pipeline::stage::BoxStage,
    stages::feature::{BuildContext, StageConfig},
};
use std::sync::Arc;

impl StageConfig for RateLimitConfig {
    type State = RateLimitState;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        let stages = stage::stages(self, state, context.shared_state);
        stages.into_iter().map(|stage| Box::new(stage) as BoxStage).collect()
    }

    fn maintain(state: &Self::State, background: &BackgroundRuntime, clock: &Clock) {
        background.spawn(store::sweep_task(Arc::downgrade(&state.counters), clock.clone()));
    }
}

#[cfg(test)]
mod tests;
