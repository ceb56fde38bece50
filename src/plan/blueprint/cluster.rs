//! The clusters of a blueprint.

use super::{discovery::DiscoveredService, endpoint::Endpoint, protocol::Scheme, sourced::Sourced};
use crate::backend::{balance::BalancerKind, health::HealthConfig};
use crate::net::{connection_limit::PoolConfig, tls::client::ClientTls};

/// The endpoint of a role, or of one of its instances.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleTarget {
    pub role: String,
    pub endpoint: String,
}

/// Where requests are sent: a named cluster that routes share, or a route's own.
#[derive(Clone, Debug)]
pub struct ClusterBlueprint {
    /// The key under which its state outlives plans.
    pub key: String,
    /// The name in `Clusters`; `None`: a route's own.
    pub name: Option<String>,
    pub scheme: Scheme,
    /// The TLS settings of connections to the backend.
    pub tls: ClientTls,
    /// Pool settings: keep-alive, lifetime and number of connections.
    pub pooling: PoolConfig,
    pub endpoints: Vec<Endpoint>,
    pub balancer: Sourced<BalancerKind>,
    pub health: Sourced<HealthConfig>,
    /// The endpoints are discovered instead of configured.
    pub discovery: Option<DiscoveredService>,
    /// The endpoints are the instances of a role.
    pub role: Option<RoleTarget>,
}

impl ClusterBlueprint {
    /// The cluster of a route without one: an aggregate, which has parts, or an internal service.
    pub fn none() -> Self {
        ClusterBlueprint {
            key: String::new(),
            name: None,
            scheme: Scheme::SameAsClient,
            tls: ClientTls::default(),
            endpoints: Vec::new(),
            balancer: Sourced::new(BalancerKind::default(), None),
            health: Sourced::new(HealthConfig::default(), None),
            pooling: PoolConfig::default(),
            discovery: None,
            role: None,
        }
    }
}
