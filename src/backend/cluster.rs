//! A cluster is a set of endpoints with a balancer. Settings live in the plan; what is counted outlives it, by key.

use super::balance::{Balancer, Lease};
use crate::{
    base::keyed::Keyed,
    pipeline::cause::{Cause, Why},
    wire::{
        names::{Name, Names},
        pool::Slot,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize},
};

/// What outlives a plan about one endpoint.
#[derive(Debug)]
pub struct EndpointState {
    pub name: Arc<Name>,
    /// Its place in every worker's pool.
    pub pool: Slot,
    /// Which of its addresses answered last.
    pub preferred: AtomicUsize,
    /// Exchanges under way, where the balancer counts them.
    pub leases: AtomicU32,
}

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// `None`: the port that the client asked (Ocelot's port 0).
    pub port: Option<u16>,
    /// What the backend gets as Host.
    pub authority: Box<[u8]>,
    /// The same for people and for the access log.
    pub label: Arc<str>,
    pub state: Arc<EndpointState>,
}

/// A set of endpoints with a balancer.
#[derive(Debug)]
pub struct Cluster {
    pub endpoints: Box<[Arc<Endpoint>]>,
    pub balancer: Balancer,
}

/// What a plan says about a cluster.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// Under this key its balancer goes on counting when the plan changes.
    pub key: String,
    /// Host and port; port 0 is the port that the client asked.
    pub endpoints: Vec<(String, u16)>,
    pub balancer: BalancerKind,
}

/// The balancers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancerKind {
    First,
    RoundRobin,
    LeastConnection,
}

impl Cluster {
    /// Chooses an endpoint.
    pub fn pick(&self) -> Result<(&Arc<Endpoint>, Option<Lease>), Cause> {
        self.balancer
            .pick(&self.endpoints)
            .ok_or(Cause::new(Why::BackendNone, "the cluster of this route has no endpoint"))
    }
}

/// The states of all clusters and endpoints in use; unused ones vanish with the last plan that held them.
#[derive(Debug, Default)]
pub struct States {
    endpoints: Keyed<(String, u16), EndpointState>,
    turns: Keyed<String, AtomicUsize>,
}

impl States {
    /// Builds a cluster, taking over what is known of its endpoints and of its balancer.
    pub fn cluster(&self, spec: &ClusterSpec, names: &Names) -> Cluster {
        let endpoints =
            spec.endpoints.iter().map(|(host, port)| Arc::new(self.endpoint(host, *port, names))).collect();
        Cluster { endpoints, balancer: Balancer::new(spec.balancer, || self.turn(&spec.key)) }
    }

    fn endpoint(&self, host: &str, port: u16, names: &Names) -> Endpoint {
        let state = self.endpoints.get((host.to_owned(), port), || EndpointState {
            name: names.get(host),
            pool: Slot::claim(),
            preferred: AtomicUsize::new(0),
            leases: AtomicU32::new(0),
        });
        let label = format!("{}:{port}", bracketed(host));
        let authority = if port == 80 || port == 0 { bracketed(host) } else { label.clone() };
        Endpoint {
            port: (port != 0).then_some(port),
            authority: authority.into_bytes().into(),
            label: label.into(),
            state,
        }
    }

    fn turn(&self, key: &str) -> Arc<AtomicUsize> {
        self.turns.get(key.to_owned(), || AtomicUsize::new(0))
    }
}

/// An address of IPv6 stands in brackets before a port (RFC 3986 3.2.2).
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(balancer: BalancerKind) -> ClusterSpec {
        ClusterSpec {
            key: "k".into(),
            endpoints: vec![("127.0.0.1".into(), 1), ("::1".into(), 80)],
            balancer,
        }
    }

    #[test]
    fn a_new_plan_goes_on_where_the_old_one_was() {
        let (states, names) = (States::default(), Names::default());
        let old = states.cluster(&spec(BalancerKind::RoundRobin), &names);
        let first = old.pick().unwrap().0.label.clone();
        let new = states.cluster(&spec(BalancerKind::RoundRobin), &names);
        assert_ne!(new.pick().unwrap().0.label, first);
        assert!(Arc::ptr_eq(&old.endpoints[0].state, &new.endpoints[0].state));
    }

    #[test]
    fn authorities_leave_the_usual_port_out_and_bracket_ipv6() {
        let cluster = States::default().cluster(&spec(BalancerKind::First), &Names::default());
        assert_eq!(&*cluster.endpoints[0].authority, b"127.0.0.1:1");
        assert_eq!(&*cluster.endpoints[1].authority, b"[::1]");
    }

    #[test]
    fn a_cluster_without_endpoints_has_none_to_give() {
        let empty = ClusterSpec { endpoints: Vec::new(), ..spec(BalancerKind::LeastConnection) };
        let cluster = States::default().cluster(&empty, &Names::default());
        assert_eq!(cluster.pick().unwrap_err().why, Why::BackendNone);
    }
}
