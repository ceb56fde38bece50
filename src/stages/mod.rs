//! Stages: the processing of requests and responses by a route. Envoy calls them HTTP filters, nginx modules, ASP.NET
//! middleware.
//!
//! `table.rs` defines their order and, for the features that routes configure, generates documents, blueprints and
//! state. A feature's folder holds its options, their compiler, its configuration and its stages; `feature.rs` is the
//! contract. `plan::build` builds the stages of a route, `server` runs them for every request. [`StageState`]
//! outlives a reload.

pub mod ip_filter;
pub mod access_log;
pub mod ascii_headers;
pub mod authentication;
pub mod authorization;
pub mod cache;
pub mod claims;
pub mod client_certificate;
pub mod compression;
pub mod concurrency_limit;
pub mod cors;
pub mod custom;
pub mod feature;
#[cfg(test)]
pub mod fixture;
pub mod forwarded_headers;
pub mod header_transform;
mod key_hasher;
pub mod method;
pub mod partition_key;
pub mod program;
pub mod rate_limit;
pub mod request_id;
pub mod statements;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod trace_context;
pub mod request_size;
pub mod signalr;
pub mod websocket_limit;
pub mod via;
pub mod waf;

use program::subscription;
pub use table::{GatewayStages, StageConfigs, StageOrder, StageState, TABLE};
