//! Metrics and the access log (Envoy: stats and access loggers; nginx: `stub_status` and `access_log`; YARP:
//! `System.Diagnostics.Metrics`).
//!
//! Entry point: [`Metrics::new`] once per process; the other floors fetch handles ([`RouteMetrics`], [`StageMetrics`],
//! ...) when a plan is compiled and count with plain stores. [`Metrics::render`] is called by the metrics page,
//! [`AccessLog::log`] by `server`. Owns all counters and the thread that writes the access log. Counters outlive a
//! reload as long as the label of their route exists. This floor contains no routes and no sockets, only labels and
//! numbers.

pub mod access;
pub mod resilience;
pub mod caches;
pub mod changes;
pub mod compression;
pub mod counters;
pub mod discovery;
pub mod endpoints;
pub mod export;
mod families;
pub mod http2;
mod json;
pub mod metrics;
pub mod process_log;
mod registry;
pub mod removals;
pub mod stages;
pub mod tls;
pub mod websockets;

pub use access::{AccessLog, Record};
pub use caches::{CacheMemory, CacheMetrics, CacheOutcome, CacheTable};
pub use changes::{ConfigMetrics, RollbackReason};
pub use compression::CompressionMetrics;
pub use counters::RouteMetrics;
pub use discovery::DiscoveryMetrics;
pub use endpoints::EndpointMetrics;
pub use metrics::{Metrics, Reload};
pub use removals::{RemovalMetrics, Removed};
pub use resilience::{Event, ResilienceMetrics};
pub use stages::{StageMetrics, StageOutcome};
pub use tls::{CertificateExpiry, Handshake, TlsMetrics};
pub use websockets::{Direction, WebSocketMetrics};
