//! The status of a cluster for operators (administration API).

use super::{cluster::Cluster, endpoint::Endpoint, health::state::HealthStatus};
use serde::Serialize;
use std::{sync::atomic::Ordering::Relaxed, time::Instant};

/// A cluster: which of its endpoints are used, and the reasons of those that are not.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ClusterStatus {
    /// The name of the cluster, or of the route that it belongs to.
    pub cluster: String,
    /// The type of load balancing.
    pub balancer: String,
    /// False until service discovery responds for the first time.
    pub resolved: bool,
    /// Whether health is ignored because too few endpoints are eligible.
    pub panic: bool,
    /// The name in the discovery provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EndpointStatus {
    /// Host and port, or the path of a Unix domain socket.
    pub endpoint: String,
    pub weight: u32,
    /// `healthy`, `unhealthy`, `ejected`, `drained`, `unknown` (not probed yet) or `unchecked` (no health checks).
    pub health: String,
    /// Whether new requests may be sent to it.
    pub eligible: bool,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_for_seconds: Option<u64>,
    /// Requests in flight, if the load balancer or health checks count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
}

impl Cluster {
    /// The endpoints, which of them are used, and the reasons of those that are not.
    pub fn status(&self, now: Instant) -> ClusterStatus {
        let members = self.members();
        ClusterStatus {
            cluster: self.label.to_string(),
            balancer: self.balancer().name().to_owned(),
            resolved: members.is_known,
            panic: members.is_panic,
            service: self.source.get().map(|source| source.service.name.to_string()),
            endpoints: members
                .endpoints
                .iter()
                .map(|endpoint| self.endpoint_status(endpoint, members.is_panic, now))
                .collect(),
        }
    }

    fn endpoint_status(&self, endpoint: &Endpoint, is_panic: bool, now: Instant) -> EndpointStatus {
        let HealthStatus { name, reason, remaining } = endpoint.state.health.status(self.health(), now);
        EndpointStatus {
            endpoint: endpoint.label.to_string(),
            weight: endpoint.weight,
            health: name.to_owned(),
            eligible: is_panic || endpoint.state.health.is_eligible(self.health()),
            reason: (!reason.is_empty()).then_some(reason),
            ejected_for_seconds: remaining.map(|remaining| remaining.as_secs()),
            in_flight: self.tracks_in_flight().then(|| endpoint.state.in_flight.load(Relaxed)),
        }
    }
}
