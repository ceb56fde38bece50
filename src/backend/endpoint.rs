//! One address of a cluster: how it is dialled, which all who dial it the same way share, and what its cluster knows of it.

use super::{attempt::breaker::Breaker, balance::Latency, health::Health};
use crate::{
    base::keyed::Keyed,
    pipeline::exchange::Exchange,
    wire::{
        dial::{Dial, Goal},
        gate::{Gate, Pooling},
        names::Names,
        place::Place,
        pool::Slot,
        proxy_protocol::{Announced, Ends, Version},
        tls::client::{ClientTls, Compiled, SecureHost},
    },
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

/// Where an instance of a service is, as the configuration or a registry says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// A name or an address, IPv6 with or without brackets; or `unix:` and a socket of this machine.
    pub host: String,
    /// 0: the port that the client asked (Ocelot's port 0); of a socket: nothing.
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

/// Whether instances are spoken to over TLS, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speech {
    #[default]
    Plain,
    Secure(ClientTls),
    /// As the client speaks to us.
    AsAsked(ClientTls),
}

/// How an address is dialled, and the connections to it: the same for every cluster that names it.
#[derive(Debug)]
pub struct Transport {
    pub dial: Dial,
    /// Its place in every worker's pool.
    pub pool: Slot,
    /// What is said on each connection of whose it is.
    pub announces: Option<Version>,
    /// None: plain.
    pub tls: Option<SecureHost>,
    /// None: as many connections as are needed.
    pub gate: Option<Arc<Gate>>,
    /// How long a connection is kept at most.
    pub lifetime: Option<Duration>,
}

impl Transport {
    /// Where to dial, and what is said there.
    pub fn goal(&self, port: u16, said: Option<Announced>) -> Goal<'_> {
        Goal { dial: &self.dial, port, said, tls: self.tls.as_ref() }
    }

    /// What is said on a connection for this exchange.
    pub fn said(&self, x: &Exchange) -> Option<Announced> {
        let version = self.announces?;
        // A port is known of those who are at the other end themselves.
        let near = x.client == x.peer.ip();
        let from = if near { x.peer.address } else { SocketAddr::new(x.client, 0) };
        Some(Announced { version, ends: Ends { from, to: x.peer.local } })
    }
}

/// A transport, and what the backend gets as Host over it.
#[derive(Debug)]
pub struct Way {
    pub transport: Arc<Transport>,
    pub authority: Box<[u8]>,
}

/// What outlives a plan about one endpoint of one cluster.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Exchanges under way, where the balancer counts them.
    pub leases: AtomicU32,
    /// How long it takes to answer, where the balancer asks.
    pub latency: Latency,
    /// Its circuit, for routes that have one before each endpoint.
    pub breaker: Breaker,
    /// Whether it is well.
    pub health: Health,
}

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// `None`: the port that the client asked (Ocelot's port 0); of a socket 0.
    pub port: Option<u16>,
    /// Host and port, for people and for the access log.
    pub label: Arc<str>,
    pub weight: u32,
    pub way: Way,
    /// Instead of the other way for clients that came over TLS, where that decides.
    pub secure: Option<Way>,
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// How it is spoken to in this exchange.
    pub fn way(&self, x: &Exchange) -> &Way {
        match &self.secure {
            Some(secure) if x.secure => secure,
            _ => &self.way,
        }
    }
}

/// How connections are kept, and, where their number is limited, whose limit that is: it is not shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    pooling: Pooling,
    of: Option<String>,
}

/// The states of all endpoints in use; unused ones vanish with the last plan that held them.
#[derive(Debug)]
pub struct Endpoints {
    names: Names,
    transports: Keyed<(String, u16, Option<ClientTls>, Kept), Transport>,
    compiled: Compiled,
    states: Keyed<(String, String, u16), EndpointState>,
}

impl Endpoints {
    /// Endpoints whose names are resolved there.
    pub fn new(names: Names) -> Endpoints {
        Endpoints {
            names,
            transports: Keyed::default(),
            compiled: Compiled::default(),
            states: Keyed::default(),
        }
    }

    /// The endpoint of a cluster at that place, with all that is known of it.
    pub fn get(
        &self,
        cluster: &str,
        instance: &Instance,
        speech: &Speech,
        pooling: Pooling,
    ) -> Arc<Endpoint> {
        let Instance { host, port, weight } = instance;
        let kept = Kept { pooling, of: pooling.limit.map(|_| cluster.to_owned()) };
        let way = |tls: Option<&ClientTls>| self.way(host, *port, tls, &kept);
        let (way, secure) = match speech {
            Speech::Plain => (way(None), None),
            Speech::Secure(tls) => (way(Some(tls)), None),
            Speech::AsAsked(tls) => (way(None), Some(way(Some(tls)))),
        };
        let is_unix = Place::is_meant(host);
        Arc::new(Endpoint {
            port: (is_unix || *port != 0).then_some(*port),
            label: if is_unix { host.as_str().into() } else { format!("{}:{port}", bracketed(host)).into() },
            weight: *weight,
            way,
            secure,
            state: self.states.get((cluster.to_owned(), host.clone(), *port), EndpointState::default),
        })
    }

    fn way(&self, host: &str, port: u16, tls: Option<&ClientTls>, kept: &Kept) -> Way {
        let key = (host.to_owned(), port, tls.cloned(), kept.clone());
        // Checked long ago; a name that is none leads nowhere.
        let place = Place::parse(host, None).and_then(Result::ok);
        let named = if place.is_some() { "localhost" } else { host };
        let transport = self.transports.get(key, || Transport {
            gate: kept.pooling.limit.map(Gate::new),
            lifetime: kept.pooling.lifetime,
            announces: kept.pooling.announces,
            dial: place.map_or_else(|| Dial::tcp(self.names.get(host)), Dial::Unix),
            pool: Slot::claim(),
            tls: tls.map(|tls| self.compiled.host(tls, named)),
        });
        let usual = if tls.is_some() { 443 } else { 80 };
        let authority = match port {
            0 => bracketed(named),
            port if port == usual => bracketed(named),
            port => format!("{}:{port}", bracketed(named)),
        };
        Way { transport, authority: authority.into_bytes().into() }
    }
}

/// An address of IPv6 stands in brackets before a port (RFC 3986 3.2.2).
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use crate::wire::tls::trust::Trust;

    fn authority(port: u16, speech: &Speech) -> String {
        let endpoint = Endpoints::new(Names::default()).get(
            "c",
            &Instance::new("::1", port),
            speech,
            Pooling::default(),
        );
        String::from_utf8_lossy(&endpoint.way.authority).into_owned()
    }

    #[test]
    fn authorities_leave_the_usual_port_out_and_bracket_ipv6() {
        let secure = Speech::Secure(ClientTls::default());
        let seen =
            [(1, &Speech::Plain), (80, &Speech::Plain), (443, &Speech::Plain), (443, &secure), (80, &secure)]
                .map(|(port, speech)| authority(port, speech));
        assert_eq!(seen, ["[::1]:1", "[::1]", "[::1]:443", "[::1]", "[::1]:80"]);
    }

    #[test]
    fn a_socket_has_no_port_and_its_service_is_called_localhost() {
        let (endpoints, spot) = (Endpoints::new(Names::default()), Instance::new("unix:/run/app.sock", 0));
        let secure = Speech::Secure(ClientTls::default());
        for speech in [Speech::Plain, secure] {
            let endpoint = endpoints.get("c", &spot, &speech, Pooling::default());
            assert_eq!((&*endpoint.label, endpoint.port), ("unix:/run/app.sock", Some(0)));
            assert_eq!(&*endpoint.way.authority, b"localhost");
            assert!(endpoint.way.transport.dial.is_resolved(), "nobody has to be asked for it");
        }
    }

    #[test]
    fn the_client_is_announced_as_routes_see_it() {
        let pooling = Pooling { announces: Some(Version::V1), ..Pooling::default() };
        let endpoints = Endpoints::new(Names::default());
        let get = |pooling| endpoints.get("c", &Instance::new("127.0.0.1", 1), &Speech::Plain, pooling);
        let [near, to] = ["192.0.2.1:5", "198.51.100.1:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        let mut x = Exchange::new(Peer::new(near, to, false), 0, std::time::Instant::now());
        let said =
            |x: &Exchange| get(pooling).way.transport.said(x).map(|said| (said.ends.from, said.ends.to));
        assert_eq!(said(&x), Some((near, to)));
        x.client = "2001:db8::1".parse().unwrap();
        assert_eq!(said(&x), Some((SocketAddr::new(x.client, 0), to)), "nobody knows its port");
        assert!(get(Pooling::default()).way.transport.said(&x).is_none());
    }

    #[test]
    fn clusters_share_connections_to_an_address_and_nothing_else() {
        let endpoints = Endpoints::new(Names::default());
        let one = endpoints.get("one", &Instance::new("127.0.0.1", 1), &Speech::Plain, Pooling::default());
        let two = endpoints.get("two", &Instance::new("127.0.0.1", 1), &Speech::Plain, Pooling::default());
        assert!(Arc::ptr_eq(&one.way.transport, &two.way.transport));
        assert!(!Arc::ptr_eq(&one.state, &two.state));
    }

    #[test]
    fn a_limit_of_connections_is_one_clusters_own() {
        let endpoints = Endpoints::new(Names::default());
        let limit = crate::wire::gate::Limit { connections: 2, queue: 0, wait: None };
        let pooling = Pooling { limit: Some(limit), ..Pooling::default() };
        let get = |cluster: &str| {
            endpoints
                .get(cluster, &Instance::new("127.0.0.1", 1), &Speech::Plain, pooling)
                .way
                .transport
                .clone()
        };
        let (one, two) = (get("one"), get("two"));
        assert!(Arc::ptr_eq(&one, &get("one")) && !Arc::ptr_eq(&one, &two));
        assert_eq!(one.gate.as_ref().map(|gate| gate.limit()), Some(limit));
    }

    #[test]
    fn connections_of_different_tls_are_never_mixed() {
        let endpoints = Endpoints::new(Names::default());
        let get =
            |speech: &Speech| endpoints.get("c", &Instance::new("127.0.0.1", 1), speech, Pooling::default());
        let verified = ClientTls::default();
        let any = ClientTls { trust: Trust::Anyone, ..ClientTls::default() };
        let all =
            [Speech::Plain, Speech::Secure(verified.clone()), Speech::Secure(any)].map(|speech| get(&speech));
        for (at, endpoint) in all.iter().enumerate() {
            let same = all
                .iter()
                .filter(|other| other.way.transport.pool.key() == endpoint.way.transport.pool.key());
            assert_eq!(same.count(), 1, "{at}");
        }
        let asked = get(&Speech::AsAsked(verified));
        assert!(Arc::ptr_eq(&asked.way.transport, &all[0].way.transport));
        let secure = asked.secure.as_ref().map(|way| &way.transport);
        assert!(secure.is_some_and(|transport| Arc::ptr_eq(transport, &all[1].way.transport)));
        assert!(all.iter().all(|endpoint| Arc::ptr_eq(&endpoint.state, &asked.state)), "the endpoint is one");
    }
}
