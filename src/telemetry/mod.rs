//! Metrics, the access log and traces (Envoy: stats, access loggers and tracers; nginx: `stub_status` and `access_log`;
//! YARP: `System.Diagnostics.Metrics`).
//!
//! Entry point: [`Metrics::new`] once per process; the other floors fetch handles ([`RouteMetrics`], [`StageMetrics`],
//! ...) when a plan is compiled and count with plain stores. [`Metrics::render`] is called by the metrics page,
//! [`AccessLog::log`] by `server`. Owns all counters and the thread that writes the access log. Counters outlive a
//! reload as long as the label of their route exists. This floor contains no routes and no sockets, only labels and
//! numbers.

pub mod access;
pub mod agents;
pub mod clusters;
pub mod resilience;
pub mod caches;
pub mod changes;
pub mod compression;
mod connection_record;
pub mod counters;
pub mod discovery;
pub mod endpoints;
mod exemplar;
pub mod fabric;
pub mod export;
mod families;
mod forwarding;
pub mod feed;
pub mod header_values;
pub mod histogram;
pub mod http2;
pub mod hubs;
mod json;
mod leg;
pub mod metrics;
mod native_histogram;
pub mod open_metrics;
pub mod otlp;
mod otlp_counts;
pub mod process_log;
mod protobuf;
pub mod record;
mod record_format;
mod registry;
pub mod firewall;
pub mod removals;
pub mod roles;
mod samples;
mod shard;
pub mod shared_state;
mod shared_handles;
pub mod stages;
pub mod state;
pub mod tls;
pub mod trace;
pub mod trace_ids;
pub mod transport;
pub mod policies;
pub mod websockets;

pub use access::{AccessLog, AccessLogConfig};
pub use caches::{CacheMemory, CacheMetrics, CacheOutcome, CacheTable};
pub use changes::{ConfigMetrics, RollbackReason};
pub use clusters::{AttemptOutcome, ClusterMetrics};
pub use compression::CompressionMetrics;
pub use connection_record::ConnectionRecord;
pub use counters::{RequestEnd, RouteMetrics, Totals};
pub use discovery::DiscoveryMetrics;
pub use endpoints::EndpointMetrics;
pub use exemplar::Exemplar;
pub use fabric::{FabricMetrics, FabricResolve, FabricRetry, FabricRouteMetrics};
pub use feed::{RecordBatch, RecordFeed, RecordFilter, Subscription};
pub use header_values::HeaderValues;
pub use histogram::HistogramTotals;
pub use leg::Leg;
pub use metrics::{Metrics, Reload};
pub use record::Record;
pub use record_format::ClientAddressPolicy;
pub use removals::{RemovalMetrics, Removed};
pub use resilience::{Event, ResilienceMetrics};
pub use roles::{RoleDecision, RoleDecisionCounter, RoleMetrics};
pub use shared_state::{SharedCacheEvent, SharedDecision, SharedStateMetrics};
pub use stages::{StageMetrics, StageOutcome};
pub use state::{PushConfig, TelemetryState};
pub use tls::{CertificateExpiry, Handshake, TlsMetrics};
pub use trace_ids::{SpanId, TraceId, TraceIds};
pub use transport::{DropReason, ForwardedTo, TransportMetrics, TransportTable};
pub use websockets::{Direction, WebSocketMetrics};
