//! One endpoint of a cluster: how to connect to it, its connection pool, and its state.

use super::endpoint_state::EndpointState;
use crate::{
    base::weak_map::WeakMap,
    net::{
        agents::{address::AgentAddress, endpoint::AgentEndpoint},
        connect::{ConnectAddr, ConnectTarget},
        connection_limit::{ConnectionLimiter, PoolConfig},
        pool_key::PoolSlot,
        proxy_protocol::{ProxyAddresses, ProxyHeader, Version},
        resolver::Resolver,
        tls::client::{ClientTls, TlsConfigCache, TlsTarget},
        unix_address::UnixAddress,
    },
    pipeline::exchange::Exchange,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// The address of an instance, from the configuration or from service discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// A host name or an IP address, IPv6 with or without brackets; or `unix:` and the path of a Unix domain
    /// socket.
    pub host: String,
    /// 0: the port of the listener (Ocelot's port 0). Unused for Unix domain sockets.
    pub port: u16,
    /// The relative weight, at least 1.
    pub weight: u32,
}

impl Instance {
    /// An instance with weight 1.
    pub fn new(host: impl Into<String>, port: u16) -> Instance {
        Instance { host: host.into(), port, weight: 1 }
    }

    /// The label of its endpoint: host and port, the path of a Unix domain socket, or the service of an agent.
    pub fn label(&self) -> String {
        match UnixAddress::has_unix_scheme(&self.host) || AgentAddress::has_agent_scheme(&self.host) {
            true => self.host.clone(),
            false => format!("{}:{}", authority_host(&self.host), self.port),
        }
    }
}

/// Whether connections to the endpoints use TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    #[default]
    Plain,
    Always(Box<ClientTls>),
    /// TLS if the client's connection uses TLS.
    SameAsClient(Box<ClientTls>),
}

/// How to connect to an address, and its connections: shared by all clusters with this address and the same
/// settings.
#[derive(Debug)]
pub struct Transport {
    pub addr: ConnectAddr,
    /// The key of its connections in the pool of each worker.
    pub pool: PoolSlot,
    /// The version of the PROXY protocol header on each connection, if any.
    pub proxy_protocol: Option<Version>,
    /// `None`: plaintext.
    pub tls: Option<TlsTarget>,
    /// `None`: unlimited connections.
    pub limiter: Option<Arc<ConnectionLimiter>>,
    /// The maximum lifetime of a connection.
    pub max_lifetime: Option<Duration>,
}

impl Transport {
    /// The target of a new connection.
    pub fn connect_target(&self, port: u16, proxy_header: Option<ProxyHeader>) -> ConnectTarget<'_> {
        ConnectTarget { addr: &self.addr, port, proxy_header, tls: self.tls.as_ref(), client: None }
    }

    /// The PROXY protocol header of a connection for this exchange.
    pub fn proxy_header(&self, exchange: &Exchange) -> Option<ProxyHeader> {
        let version = self.proxy_protocol?;
        // The port is only known if the client is the peer of the connection.
        let is_direct = exchange.client.ip == exchange.client.peer.ip();
        let source =
            if is_direct { exchange.client.peer.address } else { SocketAddr::new(exchange.client.ip, 0) };
        Some(ProxyHeader {
            version,
            addresses: ProxyAddresses { source, destination: exchange.client.peer.local_address },
        })
    }
}

/// A transport, and the value of the Host header for it.
#[derive(Debug)]
pub struct EndpointTransport {
    pub transport: Arc<Transport>,
    pub authority: Box<[u8]>,
}

/// An endpoint of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// `None`: the port of the listener (Ocelot's port 0). 0 for a Unix domain socket.
    pub port: Option<u16>,
    /// Host and port, for operators and the access log.
    pub label: Arc<str>,
    pub weight: u32,
    pub primary: EndpointTransport,
    /// Used for clients with TLS, if [`TlsMode::SameAsClient`] decides.
    pub tls_variant: Option<EndpointTransport>,
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    /// The transport for this exchange.
    pub fn transport_for(&self, exchange: &Exchange) -> &EndpointTransport {
        match &self.tls_variant {
            Some(secure) if exchange.client.is_tls => secure,
            _ => &self.primary,
        }
    }
}

/// The pool settings that distinguish transports. A limited pool belongs to one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolIdentity {
    pooling: PoolConfig,
    cluster: Option<String>,
}

/// The transports and states of all endpoints in use; unused ones are dropped with the last plan that uses
/// them.
#[derive(Debug)]
pub struct EndpointRegistry {
    resolver: Resolver,
    transports: WeakMap<(String, u16, Option<ClientTls>, PoolIdentity), Transport>,
    tls_configs: TlsConfigCache,
    states: WeakMap<(Arc<str>, String, u16), EndpointState>,
}

impl EndpointRegistry {
    /// A registry whose host names are resolved by `resolver`.
    pub fn new(resolver: Resolver) -> EndpointRegistry {
        EndpointRegistry {
            resolver,
            transports: WeakMap::default(),
            tls_configs: TlsConfigCache::default(),
            states: WeakMap::default(),
        }
    }

    /// The endpoint of a cluster for an instance, with the state of earlier plans.
    pub fn get(
        &self,
        cluster: impl Into<Arc<str>>,
        instance: &Instance,
        tls_mode: &TlsMode,
        pooling: PoolConfig,
    ) -> Arc<Endpoint> {
        let (Instance { host, port, weight }, cluster) = (instance, cluster.into());
        let identity = PoolIdentity { pooling, cluster: pooling.limit.map(|_| cluster.to_string()) };
        let transport = |tls: Option<&ClientTls>| self.transport_for(host, *port, tls, &identity);
        let (primary, tls_variant) = match tls_mode {
            TlsMode::Plain => (transport(None), None),
            TlsMode::Always(tls) => (transport(Some(tls)), None),
            TlsMode::SameAsClient(tls) => (transport(None), Some(transport(Some(tls)))),
        };
        let is_portless = UnixAddress::has_unix_scheme(host) || AgentAddress::has_agent_scheme(host);
        Arc::new(Endpoint {
            port: (is_portless || *port != 0).then_some(*port),
            label: instance.label().into(),
            weight: *weight,
            primary,
            tls_variant,
            state: self.states.get_or_insert_with((cluster, host.clone(), *port), EndpointState::default),
        })
    }

    fn transport_for(
        &self,
        host: &str,
        port: u16,
        tls: Option<&ClientTls>,
        identity: &PoolIdentity,
    ) -> EndpointTransport {
        let key = (host.to_owned(), port, tls.cloned(), identity.clone());
        // The configuration was checked, so a parse error cannot occur here; such a name would not resolve.
        let unix_path = UnixAddress::parse(host, None).and_then(Result::ok);
        let agent = AgentAddress::parse(host).zip(self.resolver.agents());
        let host_name = if unix_path.is_some() || agent.is_some() { "localhost" } else { host };
        let transport = self.transports.get_or_insert_with(key, || {
            let pool = PoolSlot::claim();
            Transport {
                limiter: identity.pooling.limit.map(|limit| ConnectionLimiter::new(limit, pool.key())),
                max_lifetime: identity.pooling.max_lifetime,
                proxy_protocol: identity.pooling.proxy_protocol,
                addr: match (unix_path, agent) {
                    (Some(path), _) => ConnectAddr::Unix(path),
                    (None, Some((address, registry))) => {
                        ConnectAddr::Agent(AgentEndpoint { registry: registry.clone(), address })
                    }
                    (None, None) => ConnectAddr::from_name(self.resolver.get(host)),
                },
                pool,
                tls: tls.map(|tls| self.tls_configs.target(tls, host_name)),
            }
        });
        let default_port = if tls.is_some() { 443 } else { 80 };
        let authority = match port {
            0 => authority_host(host_name),
            port if port == default_port => authority_host(host_name),
            port => format!("{}:{port}", authority_host(host_name)),
        };
        EndpointTransport { transport, authority: authority.into_bytes().into() }
    }
}

/// IPv6 addresses are bracketed before a port (RFC 3986 3.2.2).
fn authority_host(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::trust::TrustAnchors;
    use crate::pipeline::exchange::Peer;

    fn authority(port: u16, tls_mode: &TlsMode) -> String {
        let endpoint = EndpointRegistry::new(Resolver::default()).get(
            "c",
            &Instance::new("::1", port),
            tls_mode,
            PoolConfig::default(),
        );
        String::from_utf8_lossy(&endpoint.primary.authority).into_owned()
    }

    #[test]
    fn authorities_omit_the_default_port_and_bracket_ipv6() {
        let secure = TlsMode::Always(Box::default());
        let seen = [
            (1, &TlsMode::Plain),
            (80, &TlsMode::Plain),
            (443, &TlsMode::Plain),
            (443, &secure),
            (80, &secure),
        ]
        .map(|(port, tls_mode)| authority(port, tls_mode));
        assert_eq!(seen, ["[::1]:1", "[::1]", "[::1]:443", "[::1]", "[::1]:80"]);
    }

    #[test]
    fn a_unix_domain_socket_has_no_port_and_its_authority_is_localhost() {
        let (endpoints, instance) =
            (EndpointRegistry::new(Resolver::default()), Instance::new("unix:/run/app.sock", 0));
        let secure = TlsMode::Always(Box::default());
        for tls_mode in [TlsMode::Plain, secure] {
            let endpoint = endpoints.get("c", &instance, &tls_mode, PoolConfig::default());
            assert_eq!((&*endpoint.label, endpoint.port), ("unix:/run/app.sock", Some(0)));
            assert_eq!(&*endpoint.primary.authority, b"localhost");
            assert!(endpoint.primary.transport.addr.is_resolved(), "no name is resolved");
        }
    }

    #[test]
    fn the_proxy_header_contains_the_client_address() {
        let pooling = PoolConfig { proxy_protocol: Some(Version::V1), ..PoolConfig::default() };
        let endpoints = EndpointRegistry::new(Resolver::default());
        let get = |pooling| endpoints.get("c", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, pooling);
        let [client, to] = ["192.0.2.1:5", "198.51.100.1:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        let mut exchange = Exchange::new(Peer::new(client, to, false), 0, std::time::Instant::now());
        let header = |exchange: &Exchange| {
            get(pooling)
                .primary
                .transport
                .proxy_header(exchange)
                .map(|header| (header.addresses.source, header.addresses.destination))
        };
        assert_eq!(header(&exchange), Some((client, to)));
        exchange.client.ip = "2001:db8::1".parse().unwrap();
        assert_eq!(
            header(&exchange),
            Some((SocketAddr::new(exchange.client.ip, 0), to)),
            "its port is unknown"
        );
        assert!(get(PoolConfig::default()).primary.transport.proxy_header(&exchange).is_none());
    }

    #[test]
    fn clusters_share_the_transport_of_an_address_but_not_its_state() {
        let endpoints = EndpointRegistry::new(Resolver::default());
        let one =
            endpoints.get("one", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, PoolConfig::default());
        let two =
            endpoints.get("two", &Instance::new("127.0.0.1", 1), &TlsMode::Plain, PoolConfig::default());
        assert!(Arc::ptr_eq(&one.primary.transport, &two.primary.transport));
        assert!(!Arc::ptr_eq(&one.state, &two.state));
    }

    #[test]
    fn a_connection_limit_belongs_to_one_cluster() {
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
                .primary
                .transport
                .clone()
        };
        let (one, two) = (get("one"), get("two"));
        assert!(Arc::ptr_eq(&one, &get("one")) && !Arc::ptr_eq(&one, &two));
        assert_eq!(one.limiter.as_ref().map(|limiter| limiter.limit()), Some(limit));
    }

    #[test]
    fn connections_with_different_tls_settings_are_never_mixed() {
        let endpoints = EndpointRegistry::new(Resolver::default());
        let get = |tls_mode: &TlsMode| {
            endpoints.get("c", &Instance::new("127.0.0.1", 1), tls_mode, PoolConfig::default())
        };
        let verified = ClientTls::default();
        let any = ClientTls { trust: TrustAnchors::DangerousAcceptAny, ..ClientTls::default() };
        let all = [TlsMode::Plain, TlsMode::Always(verified.clone().into()), TlsMode::Always(any.into())]
            .map(|tls_mode| get(&tls_mode));
        for (at, endpoint) in all.iter().enumerate() {
            let same = all
                .iter()
                .filter(|other| other.primary.transport.pool.key() == endpoint.primary.transport.pool.key());
            assert_eq!(same.count(), 1, "{at}");
        }
        let same_as_client = get(&TlsMode::SameAsClient(verified.into()));
        assert!(Arc::ptr_eq(&same_as_client.primary.transport, &all[0].primary.transport));
        let secure = same_as_client.tls_variant.as_ref().map(|tls| &tls.transport);
        assert!(secure.is_some_and(|transport| Arc::ptr_eq(transport, &all[1].primary.transport)));
        assert!(
            all.iter().all(|endpoint| Arc::ptr_eq(&endpoint.state, &same_as_client.state)),
            "all share the state of the endpoint"
        );
    }
}
