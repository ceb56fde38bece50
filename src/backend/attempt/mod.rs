//! The call of an exchange to a backend: retries, reconnects, timeouts, circuit breaker, fallback.
//!
//! Called router filter with retry and hedge policies by Envoy, `proxy_next_upstream` by nginx, forwarder by YARP. Entry
//! point: [`run`] in `retry_loop.rs` and, for services with partitions, [`run_fabric`] in `fabric_loop.rs`, called by the
//! dispatcher of `server` for each exchange. Read `retry_loop.rs` top
//! to bottom for retries and fallback, and `endpoint_call.rs` for one attempt. Circuit breakers (by route or endpoint)
//! and retry budgets (by cluster) outlive a reload in [`ResilienceState`]; the settings do not.

pub mod breaker;
mod config;
mod deadlines;
mod endpoint_call;
mod fabric_call;
mod fabric_loop;
mod fabric_outcome;
pub mod fallback;
mod outcome;
mod request_buffer;
mod resilience;
pub mod retry;
mod retry_loop;
mod single;
mod span;

pub use config::{AttemptConfig, Http2};
pub use fabric_loop::run_fabric;
pub use resilience::{QosConfig, Resilience, ResilienceConfig, ResilienceState, Scope};
pub use retry::is_idempotent;
pub use retry_loop::run;
pub use single::run_at;
