//! The endpoint that load balancing selected for one attempt.

use super::{endpoint::Endpoint, endpoint_state::EndpointState};
use std::sync::{Arc, atomic::Ordering};

/// A selected endpoint.
#[derive(Debug)]
pub struct Selection {
    pub endpoint: Arc<Endpoint>,
    /// Counts the exchange as in flight until it is dropped; absent if nothing counts.
    pub in_flight: Option<InFlightGuard>,
}

impl Selection {
    /// A selection that is not counted.
    pub fn uncounted(endpoint: &Arc<Endpoint>) -> Selection {
        Selection { endpoint: endpoint.clone(), in_flight: None }
    }

    /// A selection that is counted from now on.
    pub fn counted(endpoint: &Arc<Endpoint>) -> Selection {
        Selection { endpoint: endpoint.clone(), in_flight: Some(InFlightGuard::new(endpoint)) }
    }
}

/// Whether no attempt of this exchange was made with the endpoint.
pub fn is_untried(endpoint: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
    !tried.iter().any(|other| Arc::ptr_eq(&other.state, &endpoint.state))
}

/// Counts one exchange of an endpoint as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard(Arc<EndpointState>);

impl InFlightGuard {
    /// Counts one more exchange.
    pub fn new(endpoint: &Endpoint) -> InFlightGuard {
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(endpoint.state.clone())
    }

    /// Counts one more exchange if exactly `seen` are in flight; otherwise another worker was faster.
    pub fn compare_and_count(endpoint: &Endpoint, seen: u32) -> Option<InFlightGuard> {
        let next = seen.checked_add(1)?;
        let counter = &endpoint.state.in_flight;
        let counted = counter.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed);
        counted.is_ok().then(|| InFlightGuard(endpoint.state.clone()))
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
