//! What `explain` reports of an endpoint: address, health, and of one behind an agent whether the agent is connected.

use crate::{
    backend::{endpoint::Endpoint, health::HealthConfig},
    net::{agents::endpoint::AgentEndpoint, connect::ConnectAddr},
    pipeline::exchange::Exchange,
};
use std::time::Instant;

/// Scheme (if TLS), address and health (if not healthy) of an endpoint.
pub fn describe(endpoint: &Endpoint, health: &HealthConfig, exchange: &Exchange) -> String {
    let scheme = if endpoint.transport_for(exchange).transport.tls.is_some() { "https://" } else { "" };
    format!("{scheme}{}{}", label(endpoint), health_note(health, endpoint))
}

/// The status of an endpoint that is not healthy.
fn health_note(health: &HealthConfig, endpoint: &Endpoint) -> String {
    let status = endpoint.state.health.status(health, Instant::now());
    match status.name {
        "healthy" | "unknown" | "unchecked" => String::new(),
        name => format!(" ({name}: {})", status.reason),
    }
}

/// The label, with a note if the endpoint is behind an agent.
fn label(endpoint: &Endpoint) -> String {
    let ConnectAddr::Agent(AgentEndpoint { registry, address }) = &endpoint.primary.transport.addr else {
        return endpoint.label.to_string();
    };
    let config = registry.config();
    let Some(entry) = config.agent(&address.agent) else {
        return format!("{address} (no entry of Tunnels.Agents)");
    };
    let state = if registry.is_connected(&address.agent) { "connected" } else { "not connected" };
    format!("{address} (Tunnels.Agents \"{}\", {state})", entry.label())
}
