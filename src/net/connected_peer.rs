//! What a connection to a backend is connected to, for as long as it is kept.

use super::{agents::entry::AgentConnection, resolver::ResolvedPeer};
use std::sync::Arc;

/// The peer of a connection to a backend.
#[derive(Clone, Debug)]
pub enum ConnectedPeer {
    /// A Unix domain socket.
    Fixed,
    /// An address of a name.
    Resolved(ResolvedPeer),
    /// An agent: the connection that carries the stream.
    Agent(Arc<AgentConnection>),
}

impl ConnectedPeer {
    /// Whether an idle connection keeps the peer from leaving.
    pub fn is_leaving(&self) -> bool {
        matches!(self, ConnectedPeer::Agent(connection) if !connection.is_open())
    }
}
