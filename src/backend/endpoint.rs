//! One address of a cluster: how it is dialled, which all who dial it the same way share, and what its cluster knows of it.

use super::{attempt::breaker::Breaker, balance::PeakEwma, health::Health};
use crate::{
    base::weak_map::WeakMap,
    net::{
        connect::{ConnectAddr, ConnectTarget},
        connection_limit::{ConnectionLimiter, PoolConfig},
        pool::PoolSlot,
        proxy_protocol::{ProxyAddresses, ProxyHeader, Version},
        resolver::Resolver,
        tls::client::{ClientTls, TlsConfigCache, TlsTarget},
        unix_address::UnixAddress,
    },
    pipeline::exchange::Exchange,
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
pub enum TlsMode {
    #[default]
    Plain,
    Always(ClientTls),
    /// As the client speaks to us.
    SameAsClient(ClientTls),
}

/// How an address is dialled, and the connections to it: the same for every cluster that names it.
#[derive(Debug)]
pub struct Transport {
    pub dial: ConnectAddr,
    /// Its place in every worker's pool.
    pub pool: PoolSlot,
    /// What is said on each connection of whose it is.
    pub proxy_protocol: Option<Version>,
    /// None: plain.
    pub tls: Option<TlsTarget>,
    /// None: as many connections as are needed.
    pub limiter: Option<Arc<ConnectionLimiter>>,
    /// How long a connection is kept at most.
    pub max_lifetime: Option<Duration>,
}

impl Transport {
    /// Where to dial, and what is said there.
    pub fn connect_target(&self, port: u16, said: Option<ProxyHeader>) -> ConnectTarget<'_> {
        ConnectTarget { addr: &self.dial, port, proxy_header: said, tls: self.tls.as_ref() }
    }

    /// What is said on a connection for this exchange.
    pub fn proxy_header(&self, exchange: &Exchange) -> Option<ProxyHeader> {
        let version = self.proxy_protocol?;
        // A port is known of those who are at the other end themselves.
        let near = exchange.client.ip == exchange.client.peer.ip();
        let from = if near { exchange.client.peer.address } else { SocketAddr::new(exchange.client.ip, 0) };
        Some(ProxyHeader {
            version,
            addresses: ProxyAddresses { source: from, destination: exchange.client.peer.local_address },
        })
    }
}

/// A transport, and what the backend gets as Host over it.
#[derive(Debug)]
pub struct EndpointTransport {
    pub transport: Arc<Transport>,
    pub authority: Box<[u8]>,
}

/// What outlives a plan about one endpoint of one cluster.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Exchanges under way, where the balancer counts them.
    pub in_flight: AtomicU32,
    /// How long it takes to answer, where the balancer asks.
    pub latency: PeakEwma,
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
    pub transport_for: EndpointTransport,
    /// Instead of the other way for clients that came over TLS, where that decides.
    pub secure: Option<EndpointTransport>,
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// How it is spoken to in this exchange.
    pub fn transport_for(&self, exchange: &Exchange) -> &EndpointTransport {
        match &self.secure {
            Some(secure) if exchange.client.is_tls => secure,
            _ => &self.transport_for,
        }
    }
}

/// How connections are kept, and, where their number is limited, whose limit that is: it is not shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolIdentity {
    pooling: PoolConfig,
    of: Option<String>,
}

/// The states of all endpoints in use; unused ones vanish with the last plan that held them.
#[derive(Debug)]
pub struct EndpointRegistry {
    names: Resolver,
    transports: WeakMap<(String, u16, Option<ClientTls>, PoolIdentity), Transport>,
    tls_configs: TlsConfigCache,
    states: WeakMap<(String, String, u16), EndpointState>,
}

impl EndpointRegistry {
    /// Endpoints whose names are resolved there.
    pub fn new(names: Resolver) -> EndpointRegistry {
        EndpointRegistry {
            names,
            transports: WeakMap::default(),
            tls_configs: TlsConfigCache::default(),
            states: WeakMap::default(),
        }
    }

    /// The endpoint of a cluster at that place, with all that is known of it.
    pub fn get(
        &self,
        cluster: &str,
        instance: &Instance,
        speech: &TlsMode,
        pooling: PoolConfig,
    ) -> Arc<Endpoint> {
        let Instance { host, port, weight } = instance;
        let kept = PoolIdentity { pooling, of: pooling.limit.map(|_| cluster.to_owned()) };
        let way = |tls: Option<&ClientTls>| self.transport_for(host, *port, tls, &kept);
        let (way, secure) = match speech {
            TlsMode::Plain => (way(None), None),
            TlsMode::Always(tls) => (way(Some(tls)), None),
            TlsMode::SameAsClient(tls) => (way(None), Some(way(Some(tls)))),
        };
        let is_unix = UnixAddress::has_unix_scheme(host);
        Arc::new(Endpoint {
            port: (is_unix || *port != 0).then_some(*port),
            label: if is_unix {
                host.as_str().into()
            } else {
                format!("{}:{port}", authority_host(host)).into()
            },
            weight: *weight,
            transport_for: way,
            secure,
            state: self
                .states
                .get_or_insert_with((cluster.to_owned(), host.clone(), *port), EndpointState::default),
        })
    }

    fn transport_for(
        &self,
        host: &str,
        port: u16,
        tls: Option<&ClientTls>,
        kept: &PoolIdentity,
    ) -> EndpointTransport {
        let key = (host.to_owned(), port, tls.cloned(), kept.clone());
        // Checked long ago; a name that is none leads nowhere.
        let place = UnixAddress::parse(host, None).and_then(Result::ok);
        let named = if place.is_some() { "localhost" } else { host };
        let transport = self.transports.get_or_insert_with(key, || Transport {
            limiter: kept.pooling.limit.map(ConnectionLimiter::new),
            max_lifetime: kept.pooling.max_lifetime,
            proxy_protocol: kept.pooling.proxy_protocol,
            dial: place.map_or_else(|| ConnectAddr::from_name(self.names.get(host)), ConnectAddr::Unix),
            pool: PoolSlot::claim(),
            tls: tls.map(|tls| self.tls_configs.target(tls, named)),
        });
        let usual = if tls.is_some() { 443 } else { 80 };
        let authority = match port {
            0 => authority_host(named),
            port if port == usual => authority_host(named),
            port => format!("{}:{port}", authority_host(named)),
        };
        EndpointTransport { transport, authority: authority.into_bytes().into() }
    }
}

/// An address of IPv6 stands in brackets before a port (RFC 3986 3.2.2).
fn authority_host(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::trust::TrustAnchors;
    use crate::pipeline::exchange::Peer;

    fn authority(port: u16, speech: &TlsMode) -> String {
        let endpoint = EndpointRegistry::new(Resolver::default()).get(
            "c",
            &Instance::new("::1", port),
            speech,
            PoolConfig::default(),
        );
        String::from_utf8_lossy(&endpoint.transport_for.authority).into_owned()
    }

    #[test]
    fn authorities_leave_the_usual_port_out_and_bracket_ipv6() {
        let secure = TlsMode::Always(ClientTls::default());
        let seen = [
            (1, &TlsMode::Plain),
            (80, &TlsMode::Plain),
            (443, &TlsMode::Plain),
            (443, &secure),
            (80, &secure),
        ]
        .map(|(port, speech)| authority(port, speech));
        assert_eq!(seen, ["[::1]:1", "[::1]", "[::1]:443", "[::1]", "[::1]:80"]);
    }

    #[test]
    fn a_socket_has_no_port_and_its_service_is_called_localhost() {
        let (endpoints, spot) =
            (EndpointRegistry::new(Resolver::default()), Instance::new("unix:/run/app.sock", 0));
        let secure = TlsMode::Always(ClientTls::default());
        for speech in [TlsMode::Plain, secure] {
            let endpoint = endpoints.get("c", &spot, &speech, PoolConfig::default());
            assert_eq!((&*endpoint.label, endpoint.port), ("unix:/run/app.sock", Some(0)));
            assert_eq!(&*endpoint.transport_for.authority, b"localhost");
            assert!(endpoint.transport_for.transport.dial.is_resolved(), "nobody has to be asked for it");
        }
    }

    #[test]
    fn the_client_is_announced_as_routes_see_it() {
        let pooling = PoolConfig { proxy_protocol: Some(Version::V1), ..PoolConfig::default() };
        let endpoints = EndpointRegistry::new(Resolver::default());
        let get = |pooling| endpoints.get("c", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, pooling);
        let [near, to] = ["192.0.2.1:5", "198.51.100.1:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        let mut x = Exchange::new(Peer::new(near, to, false), 0, std::time::Instant::now());
        let said = |exchange: &Exchange| {
            get(pooling)
                .transport_for
                .transport
                .proxy_header(exchange)
                .map(|said| (said.addresses.source, said.addresses.destination))
        };
        assert_eq!(said(&x), Some((near, to)));
        x.client.ip = "2001:db8::1".parse().unwrap();
        assert_eq!(said(&x), Some((SocketAddr::new(x.client.ip, 0), to)), "nobody knows its port");
        assert!(get(PoolConfig::default()).transport_for.transport.proxy_header(&x).is_none());
    }

    #[test]
    fn clusters_share_connections_to_an_address_and_nothing_else() {
        let endpoints = EndpointRegistry::new(Resolver::default());
        let one =
            endpoints.get("one", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, PoolConfig::default());
        let two =
            endpoints.get("two", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, PoolConfig::default());
        assert!(Arc::ptr_eq(&one.transport_for.transport, &two.transport_for.transport));
        assert!(!Arc::ptr_eq(&one.state, &two.state));
    }

    #[test]
    fn a_limit_of_connections_is_one_clusters_own() {
        let endpoints = EndpointRegistry::new(Resolver::default());
        let limit = crate::net::connection_limit::ConnectionLimit {
            max_connections: 2,
            max_pending: 0,
            pending_timeout: None,
        };
        let pooling = PoolConfig { limit: Some(limit), ..PoolConfig::default() };
        let get = |cluster: &str| {
            endpoints
                .get(cluster, &Instance::new("127.0.0.1", 1), &TlsMode::Plain, pooling)
                .transport_for
                .transport
                .clone()
        };
        let (one, two) = (get("one"), get("two"));
        assert!(Arc::ptr_eq(&one, &get("one")) && !Arc::ptr_eq(&one, &two));
        assert_eq!(one.limiter.as_ref().map(|gate| gate.limit()), Some(limit));
    }

    #[test]
    fn connections_of_different_tls_are_never_mixed() {
        let endpoints = EndpointRegistry::new(Resolver::default());
        let get = |speech: &TlsMode| {
            endpoints.get("c", &Instance::new("127.0.0.1", 1), speech, PoolConfig::default())
        };
        let verified = ClientTls::default();
        let any = ClientTls { trust: TrustAnchors::DangerousAcceptAny, ..ClientTls::default() };
        let all = [TlsMode::Plain, TlsMode::Always(verified.clone()), TlsMode::Always(any)]
            .map(|speech| get(&speech));
        for (at, endpoint) in all.iter().enumerate() {
            let same = all.iter().filter(|other| {
                other.transport_for.transport.pool.key() == endpoint.transport_for.transport.pool.key()
            });
            assert_eq!(same.count(), 1, "{at}");
        }
        let asked = get(&TlsMode::SameAsClient(verified));
        assert!(Arc::ptr_eq(&asked.transport_for.transport, &all[0].transport_for.transport));
        let secure = asked.secure.as_ref().map(|way| &way.transport);
        assert!(secure.is_some_and(|transport| Arc::ptr_eq(transport, &all[1].transport_for.transport)));
        assert!(all.iter().all(|endpoint| Arc::ptr_eq(&endpoint.state, &asked.state)), "the endpoint is one");
    }
}
