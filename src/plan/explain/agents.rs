//! What `explain` reports of endpoints behind agents: the entry of `Tunnels.Agents`, and whether the agent is connected.

use crate::{
    backend::endpoint::Endpoint,
    net::connect::{AgentEndpoint, ConnectAddr},
};

/// The label of an endpoint, with a note if it is behind an agent.
pub fn label(endpoint: &Endpoint) -> String {
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
