//! One address of a cluster: how it is dialled, which all who dial it the same way share, and what its cluster knows of it.

use crate::{
    base::keyed::Keyed,
    wire::{
        names::{Name, Names},
        pool::Slot,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize},
};

/// Where an instance of a service is, as the configuration or a registry says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// A name or an address; IPv6 with or without brackets.
    pub host: String,
    /// 0: the port that the client asked (Ocelot's port 0).
    pub port: u16,
    /// Its share beside the others, 1 and more.
    pub weight: u32,
}

impl Instance {
    /// An instance with the usual share.
    pub fn new(host: impl Into<String>, port: u16) -> Instance {
        Instance { host: host.into(), port, weight: 1 }
    }
}

/// How an address is dialled, and the connections to it: the same for every cluster that names it.
#[derive(Debug)]
pub struct Transport {
    pub name: Arc<Name>,
    /// Its place in every worker's pool.
    pub pool: Slot,
    /// Which of its addresses answered last.
    pub preferred: AtomicUsize,
}

/// What outlives a plan about one endpoint of one cluster.
#[derive(Debug, Default)]
pub struct EndpointState {
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
    pub weight: u32,
    pub transport: Arc<Transport>,
    pub state: Arc<EndpointState>,
}

/// The states of all endpoints in use; unused ones vanish with the last plan that held them.
#[derive(Debug)]
pub struct Endpoints {
    names: Names,
    transports: Keyed<(String, u16), Transport>,
    states: Keyed<(String, String, u16), EndpointState>,
}

impl Endpoints {
    /// Endpoints whose names are resolved there.
    pub fn new(names: Names) -> Endpoints {
        Endpoints { names, transports: Keyed::default(), states: Keyed::default() }
    }

    /// The endpoint of a cluster at that place, with all that is known of it.
    pub fn get(&self, cluster: &str, instance: &Instance) -> Arc<Endpoint> {
        let Instance { host, port, weight } = instance;
        let transport = self.transports.get((host.clone(), *port), || Transport {
            name: self.names.get(host),
            pool: Slot::claim(),
            preferred: AtomicUsize::new(0),
        });
        let state = self.states.get((cluster.to_owned(), host.clone(), *port), EndpointState::default);
        let label = format!("{}:{port}", bracketed(host));
        let authority = if *port == 80 || *port == 0 { bracketed(host) } else { label.clone() };
        Arc::new(Endpoint {
            port: (*port != 0).then_some(*port),
            authority: authority.into_bytes().into(),
            label: label.into(),
            weight: *weight,
            transport,
            state,
        })
    }
}

/// An address of IPv6 stands in brackets before a port (RFC 3986 3.2.2).
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_leave_the_usual_port_out_and_bracket_ipv6() {
        let endpoints = Endpoints::new(Names::default());
        assert_eq!(&*endpoints.get("c", &Instance::new("127.0.0.1", 1)).authority, b"127.0.0.1:1");
        assert_eq!(&*endpoints.get("c", &Instance::new("::1", 80)).authority, b"[::1]");
    }

    #[test]
    fn clusters_share_connections_to_an_address_and_nothing_else() {
        let endpoints = Endpoints::new(Names::default());
        let one = endpoints.get("one", &Instance::new("127.0.0.1", 1));
        let two = endpoints.get("two", &Instance::new("127.0.0.1", 1));
        assert!(Arc::ptr_eq(&one.transport, &two.transport));
        assert!(!Arc::ptr_eq(&one.state, &two.state));
    }
}
