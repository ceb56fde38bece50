//! The agents of the process: those with an entry in `Tunnels.Agents`, and the others that are connected.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::base::date::Timestamp;
use crate::net::agents::{entry::AgentConnection, registry::AgentSummary};
use axum::extract::State;
use serde::Serialize;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// The agents, in the order of their ids; at most 10000.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AgentList {
    pub agents: Vec<AgentStatus>,
}

/// An agent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AgentStatus {
    pub agent: String,
    pub connected: bool,
    /// The processes that are this agent.
    pub instances: usize,
    /// When the oldest connection was opened, RFC 3339; absent if it is not connected.
    pub since: Option<String>,
    /// The services that it offers.
    pub services: Vec<String>,
    /// Open streams.
    pub streams: usize,
    /// The last measured round trip, in milliseconds.
    pub rtt_ms: f64,
    pub connections: Vec<AgentConnectionStatus>,
}

/// A connection of an agent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AgentConnectionStatus {
    pub instance: String,
    /// The address of the agent.
    pub peer: String,
    pub since: String,
    pub streams: usize,
    /// Bytes moved in the last second.
    pub recent_bytes: u64,
}

/// Most agents of the page.
const MAX_AGENTS: usize = 10_000;

impl From<&Arc<AgentConnection>> for AgentConnectionStatus {
    fn from(connection: &Arc<AgentConnection>) -> AgentConnectionStatus {
        AgentConnectionStatus {
            instance: connection.instance.to_string(),
            peer: connection.peer.to_string(),
            since: Timestamp(connection.opened_at).to_string(),
            streams: connection.streams.load(Relaxed),
            recent_bytes: connection.recent_bytes.load(Relaxed),
        }
    }
}

impl From<AgentSummary> for AgentStatus {
    fn from(summary: AgentSummary) -> AgentStatus {
        AgentStatus {
            agent: summary.agent.to_string(),
            connected: summary.instances > 0,
            instances: summary.instances,
            since: summary.since.map(|since| Timestamp(since).to_string()),
            services: summary.services.iter().map(ToString::to_string).collect(),
            streams: summary.streams,
            rtt_ms: summary.round_trip_ms,
            connections: summary.connections.iter().map(AgentConnectionStatus::from).collect(),
        }
    }
}

/// The agents that are configured or connected.
#[utoipa::path(get, path = "/agents", tag = "agents", responses((status = 200, body = AgentList)))]
pub async fn agents(State(context): State<AdminContext>) -> Result<JsonPage<AgentList>, AdminError> {
    let summaries = context.gateway()?.shared_state.agents.summaries();
    let agents = summaries.into_iter().take(MAX_AGENTS).map(AgentStatus::from).collect();
    Ok(JsonPage(AgentList { agents }))
}
