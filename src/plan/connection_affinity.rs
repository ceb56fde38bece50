//! The affinity of a route to SignalR servers.

use super::{blueprint::RouteBlueprint, process_state::ProcessState};
use crate::backend::affinity::ConnectionAffinity;
use std::time::Duration;

/// For requests of connections, unless the route has a timeout: SignalR servers hold a long poll for 90 to 100 seconds.
const DEFAULT_POLL_TIMEOUT: Duration = Duration::from_secs(120);

/// The affinity of a route with `SignalROptions`.
pub fn build(route: &RouteBlueprint, process_state: &ProcessState) -> Option<ConnectionAffinity> {
    let config = route.stages.signalr.as_ref()?;
    let key = config.affinity_key(&process_state.stage_state.signalr);
    let timeout = match route.timeout.origin {
        Some(_) => route.timeout.value,
        None => route.timeout.value.max(DEFAULT_POLL_TIMEOUT),
    };
    let (template, metrics) = (&route.matcher.client_path.value, process_state.metrics.hubs().clone());
    Some(ConnectionAffinity::new(config.mode.clone(), key, template, timeout, metrics))
}
