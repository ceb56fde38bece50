//! Settings of Consul.

use crate::backend::discovery::settings::ServerSettings;
use std::time::Duration;

/// A Consul agent, and which instances it selects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConsulSettings {
    pub server: ServerSettings,
    /// `PollConsul`: queries at intervals, even if the server supports blocking queries.
    pub polls: bool,
    /// Overrides the interval between queries without blocking.
    pub interval: Option<Duration>,
    /// Empty: the namespace of the service, or the default one.
    pub namespace: String,
    /// Empty: the datacenter of the agent.
    pub datacenter: String,
    /// Selects instances that have all of these tags.
    pub tags: Vec<String>,
    /// Selects instances whose service metadata contains all of these pairs.
    pub metadata: Vec<(String, String)>,
    /// The host is the name of the node if there is one, as in Ocelot.
    pub node_name: bool,
    /// Any server may respond, not only the leader.
    pub allow_stale: bool,
    /// Behaves exactly as Ocelot where the two differ.
    pub ocelot: bool,
}

impl ConsulSettings {
    /// The provider type of documents.
    pub fn kind_name(&self) -> &'static str {
        if self.polls { "PollConsul" } else { "Consul" }
    }
}
