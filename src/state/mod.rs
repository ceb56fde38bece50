//! The state that several gateways share, on Redis: the connection, its circuit, scripts and subscriptions.
//!
//! - Elsewhere: Envoy's global rate limit service, Kong's `redis` policies, ASP.NET's `IDistributedCache`.
//! - Entry points: [`SharedStates::get`] when a plan is built; [`SharedState`] for the features that use it.
//! - Callers: stages and hubs get a [`SharedState`] through the context in which they are built. What happens without a
//!   reply is theirs to define, by [`OnFailure`].
//! - Owns: one thread with its own runtime, and the connections to Redis. A worker waits for a reply at most for the
//!   deadline of its call and never for a connection.
//! - Outlives a reload: the connections, found again by their settings.
//!
//! ```no_run
//! use margay::state::{Script, SharedState, StateError, Value};
//!
//! static COUNT: Script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
//!
//! async fn count(state: &SharedState) -> Result<i64, StateError> {
//!     let key = state.key("example", b"hits");
//!     match state.script(&COUNT, &[key], &[b"1".to_vec()], state.timeout()).await? {
//!         Value::Int(count) => Ok(count),
//!         other => Err(StateError::unexpected(&other)),
//!     }
//! }
//! ```

mod circuit;
pub mod config;
pub mod contract;
pub mod database;
mod per_state;
mod redis;
mod runtime;
mod script;
mod script_batch;
mod shared_state;
mod states;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use ::redis::{Cmd, Pipeline, Value};
pub use config::{OnFailure, ServerAddress, SharedStateConfig, SharedStateMode};
pub use contract::{Notice, StateError, Subscription};
pub use per_state::PerState;
pub use script::Script;
pub use shared_state::SharedState;
pub use states::SharedStates;
