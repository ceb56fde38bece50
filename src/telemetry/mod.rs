//! What the gateway says about itself: counters that cost a request a handful of plain stores, and the access
//! record. Floor 1: knows nothing of routes or sockets, only labels and numbers.

pub mod access;
pub mod resilience;
pub mod caches;
pub mod compression;
pub mod counters;
pub mod discovery;
pub mod endpoints;
pub mod export;
mod families;
pub mod http2;
mod json;
pub mod metrics;
pub mod stages;
pub mod tls;
pub mod websockets;

pub use access::{AccessLog, Record};
pub use caches::{CacheMemory, CacheMetrics, CacheOutcome, CacheTable};
pub use compression::CompressionMetrics;
pub use counters::RouteMetrics;
pub use discovery::DiscoveryMetrics;
pub use endpoints::EndpointMetrics;
pub use metrics::{Metrics, Reload};
pub use resilience::{Event, ResilienceMetrics};
pub use stages::{StageMetrics, StageOutcome};
pub use tls::{CertificateExpiry, Handshake, TlsMetrics};
pub use websockets::{Direction, WebSocketMetrics};
