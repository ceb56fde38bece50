//! Settings of a route for its attempts.

use super::resilience::Resilience;
use crate::{
    backend::cluster::Cluster,
    base::budget::{Budget, BufferCharge},
    pipeline::{collect::BodyPace, exchange::Exchange, grpc, head::Version},
};
use std::{sync::Arc, time::Duration};

/// When backends are called with HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Never,
    /// Over TLS, if negotiated with ALPN.
    IfNegotiated,
    /// Always; without TLS with prior knowledge (h2c).
    Always,
}

/// Settings of a route for its attempts.
#[derive(Clone, Debug)]
pub struct AttemptConfig {
    /// From dispatch to the response head, all attempts included; restarts while upload bytes move.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// How long an upload may stall.
    pub body_idle_timeout: Duration,
    /// How much of a request body is received before a limited connection is taken.
    pub request_buffer_bytes: usize,
    /// Memory for request bodies that are buffered.
    pub buffering_memory: Arc<Budget>,
    /// Maximum number of informational (1xx) responses.
    pub max_informational: u32,
    /// Sends the client's Host instead of the endpoint's authority.
    pub preserve_host: bool,
    /// The HTTP version of requests without HTTP/2.
    pub version: Version,
    pub http2: Http2,
    /// Retries, circuit breaker and fallback, if configured.
    pub resilience: Option<Arc<Resilience>>,
}

impl AttemptConfig {
    /// How fast the body of a request must arrive. A gRPC call may be silent.
    pub fn body_pace(&self, exchange: &Exchange) -> BodyPace {
        let min_rate = exchange.body.min_rate.filter(|_| !grpc::is_grpc(&exchange.request));
        BodyPace::new(self.timeout.min(self.body_idle_timeout), min_rate)
    }

    /// The charge for a buffered request body; the client pays for it.
    pub fn buffer_charge(&self, exchange: &Exchange) -> BufferCharge {
        BufferCharge::new(self.buffering_memory.clone(), exchange.client.ip)
    }

    /// The cluster that is called when all attempts failed.
    pub fn fallback(&self) -> Option<&Arc<Cluster>> {
        self.resilience.as_ref()?.fallback.as_ref()?.cluster.as_ref()
    }
}
