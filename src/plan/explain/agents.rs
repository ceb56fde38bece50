//! What `explain` reports of endpoints behind agents: the entry of `Tunnels.Agents`, and whether the agent is connected.

use crate::{
    backend::endpoint::Endpoint,
    net::connect::{AgentEndpoint, ConnectAddr},
};

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
