//! What `explain` reports of endpoints behind agents: the entry of `Tunnels.Agents`, and whether the agent is connected.

use crate::{
    backend::{Cluster, endpoint::Endpoint},
    net::connect::{AgentEndpoint, ConnectAddr},
    pipeline::{error::GatewayError, exchange::Exchange},
    plan::{Route, Target},
};
use std::sync::Arc;

/// The cluster of a route whose path names the agent, before the path is rewritten; `None` for other routes.
pub fn named_cluster(route: &Route, exchange: &Exchange) -> Option<Result<Arc<Cluster>, GatewayError>> {
    let Target::Agent(agent) = &route.target else { return None };
    Some(agent.hosts(exchange).map(|hosts| agent.cluster(&hosts, exchange.now)))
}

/// A note about an endpoint behind an agent; empty for other endpoints.
pub fn note(endpoint: &Endpoint) -> String {
    let ConnectAddr::Agent(AgentEndpoint { registry, address }) = &endpoint.primary.transport.addr else {
        return String::new();
    };
    let config = registry.config();
    let Some(entry) = config.agent(&address.agent) else { return " (no entry of Tunnels.Agents)".to_owned() };
    let state = if registry.is_connected(&address.agent) { "connected" } else { "not connected" };
    format!(" (Tunnels.Agents \"{}\", {state})", entry.label())
}
