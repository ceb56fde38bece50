//! State of one endpoint of one cluster, which outlives the plans that use it.

use super::{attempt::breaker::Breaker, balance::peak_ewma::PeakEwma, health::state::Health};
use crate::base::memory::OnDemand;
use std::sync::atomic::AtomicU32;

/// What is measured at one endpoint; shared by the clusters of all plans with the same key.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Exchanges in flight, if the balancer or health checks count them.
    pub in_flight: AtomicU32,
    /// Response times, if the balancer uses them.
    pub latency: PeakEwma,
    /// The circuit breaker of this endpoint, for routes with one breaker per endpoint.
    pub breaker: OnDemand<Breaker>,
    pub health: Health,
}
