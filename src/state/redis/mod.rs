//! The client of Redis.
//!
//! The library is `redis` (redis-rs), because its multiplexed connection runs on any stream, so that TLS is that of the
//! gateway, and pipelines the commands of all tasks without a queue that outlives the connection: a command
//! fails at once while there is no connection. `fred` keeps commands and sends them again after a reconnect, which a rate
//! limit must not do. Reconnects, Sentinel and the circuit are here.

pub(super) mod connect;
mod dial;
pub(super) mod errors;
pub(super) mod link;
pub(super) mod subscriber;
