//! What compiling a document yields: everything checked and resolved, nothing running yet.
//!
//! A blueprint is plain data: the same document always gives the same one. The plan is made from it by resolving
//! what needs the running process (metric handles, balancer state, descriptor limits).

pub mod discovery;
pub mod endpoint;
pub mod transforms;

use super::aggregate::{AggregateConfig, PartTerms};
use super::routing::{RouteTable, RoutingRules, UrlTemplate};
pub use crate::backend::{balance::BalancerKind, health::HealthConfig};
use crate::base::ip_set::IpSet;
use crate::config::Span;
use crate::net::connection_limit::PoolConfig;
use crate::net::dns::DnsSettings;
use crate::net::listener::Address;
use crate::net::proxy_protocol::ProxyProtocolConfig;
use crate::net::tls::{client::ClientTls, server::ServerTls};
use crate::stages::StageConfigs;
use crate::stages::custom::CustomStage;
pub use crate::stages::feature::UnservableRoute;
pub use crate::stages::trace_context::Mode as TraceMode;
pub use endpoint::Endpoint;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Whether the document asks for Ocelot's statuses, bodies and leniency.
    pub ocelot: bool,
    pub listeners: Vec<Listener>,
    pub administration: Address,
    /// How names are resolved.
    pub dns: DnsSettings,
    pub limits: Limits,
    pub forwarded: Forwarded,
    pub access_log: bool,
    /// The memory in which answers are kept.
    pub cache: crate::stages::cache::MemoryConfig,
    /// What is done with the client's trace; none: it is passed on as it is.
    pub trace_context: Option<TraceMode>,
    pub reload_on_change: bool,
    /// The gateway's own public address.
    pub base_url: String,
    /// Whether any route caches by the rules of HTTP.
    pub has_http_cache: bool,
    /// In the order in which they are tried within one priority; aggregates stand behind the routes.
    pub routes: Vec<RouteBlueprint>,
    /// Finds the place in `routes` that a request belongs to.
    pub table: Arc<RouteTable>,
    pub rules: RoutingRules,
    /// What the path names is looked up in a registry.
    pub dynamic: Option<DynamicBlueprint>,
    /// Where the configuration itself is kept, if not in files.
    pub store: Option<discovery::StoreBlueprint>,
}

/// An address the gateway accepts requests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub address: Address,
    /// Of the file that stands for it; none: as the process makes files.
    pub mode: Option<u32>,
    /// Who may say first for whom he comes; none: nobody.
    pub proxy: Option<Arc<ProxyProtocolConfig>>,
    /// None: the listener that is there when none is written.
    pub span: Option<Span>,
    /// None: plain http.
    pub tls: Option<ListenerTls>,
    /// The https port to which every request is sent on.
    pub redirect: Option<u16>,
}

impl Listener {
    /// One that speaks plain http and serves.
    pub fn plain(name: String, address: impl Into<Address>, span: Option<Span>) -> Listener {
        Listener { name, address: address.into(), mode: None, proxy: None, span, tls: None, redirect: None }
    }
}

impl Blueprint {
    /// Whether any route answers on some listeners only.
    pub fn by_listener(&self) -> bool {
        self.routes.iter().any(|route| !route.matcher.listeners.is_empty())
    }
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    pub server: Arc<ServerTls>,
    /// What answers say in `Strict-Transport-Security`.
    pub hsts: Option<String>,
}

/// Sizes, counts and times beyond which the gateway refuses or closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line.
    pub request_line: usize,
    /// Bytes of all header fields of a request.
    pub headers_total: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// Bytes of a request body; none: no limit.
    pub body: Option<u64>,
    pub headers_timeout: Duration,
    pub keep_alive_timeout: Duration,
    pub body_idle_timeout: Duration,
    pub connect_timeout: Duration,
    pub backend_idle_timeout: Duration,
    pub drain_timeout: Duration,
    /// Client connections at one time; none: the descriptor limit less 512.
    pub max_connections: Option<u64>,
    /// Connections of one client address at one time; none: no limit.
    pub connections_per_client: Option<u64>,
    /// The longest silence of a WebSocket connection.
    pub websocket_idle_timeout: Duration,
    /// WebSocket connections of one client address at one time; none: no limit.
    pub max_websockets_per_client: Option<u64>,
    /// Bytes of memory that encoders of streams may take together.
    pub compression: u64,
    /// Requests of one client connection; none: no limit.
    pub requests_per_connection: Option<u64>,
    pub http2: Http2Limits,
}

/// The same for what only HTTP/2 makes possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests of one client connection at one time.
    pub streams: u32,
    /// Bytes of a request body that may be on their way.
    pub window: u32,
    /// Requests given up in one second.
    pub stream_resets_per_second: u32,
    /// Frames that carry nothing in one second.
    pub control_frames_per_second: u32,
}

/// What is believed of the `X-Forwarded-*` fields, and what is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Proxies whose fields are believed; empty: nobody's.
    pub trusted: IpSet,
    pub believe_for: bool,
    pub believe_proto: bool,
    pub believe_host: bool,
    /// Whether the fields are sent to services.
    pub add_to_request: bool,
}

/// A value and where it was written; none: the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub origin: Option<Span>,
}

impl<T> Sourced<T> {
    /// `origin` is where the document sets the value; `None` for a default.
    pub fn new(value: T, origin: Option<Span>) -> Self {
        Sourced { value, origin }
    }
}

/// The scheme spoken with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// That of the incoming request.
    SameAsClient,
    Http,
    Https,
}

/// The HTTP version spoken with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
    /// HTTP/2 over TLS if the service agrees; else 1.1.
    Http2OverTls,
    /// Nothing but HTTP/2; without TLS it is begun without asking.
    Http2,
}

impl HttpVersion {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
            HttpVersion::Http2OverTls => "2 over https if the service agrees, else 1.1",
            HttpVersion::Http2 => "2",
        }
    }
}

/// Where requests go: a service under a name that routes share, or a route's own.
#[derive(Clone, Debug)]
pub struct ClusterBlueprint {
    /// Under this key its state outlives plans.
    pub key: String,
    /// As `Clusters` names it; none: a route's own.
    pub name: Option<String>,
    pub scheme: Scheme,
    /// How the service is spoken to where that is over TLS.
    pub tls: ClientTls,
    /// How connections are kept, and how many there may be.
    pub pooling: PoolConfig,
    pub endpoints: Vec<Endpoint>,
    pub balancer: Sourced<BalancerKind>,
    pub health: Sourced<HealthConfig>,
    /// Its addresses are found, not written down.
    pub discovery: Option<discovery::DiscoveredService>,
}

impl ClusterBlueprint {
    /// That of a route without a cluster: an aggregate, which has parts, or an internal service.
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
        }
    }
}

/// Which requests a route takes.
#[derive(Clone, Debug)]
pub struct Match {
    /// `UpstreamPathTemplate` as written.
    pub client_path: Sourced<String>,
    pub case_sensitive: bool,
    pub priority: i32,
    /// KnownHeader methods in capitals; empty: every method.
    pub methods: Vec<String>,
    pub host: Option<String>,
    /// Header name and template as written.
    pub header_templates: Vec<(String, String)>,
    /// The names of the listeners; empty: all of them.
    pub listeners: Vec<String>,
}

/// One route, everything resolved.
#[derive(Clone, Debug)]
pub struct RouteBlueprint {
    /// Its place among `Routes` or `Aggregates`, from 0.
    pub index: usize,
    /// Where the route is written.
    pub span: Span,
    /// A name for logs and metrics, unique within the blueprint.
    pub name: String,
    pub key: Option<String>,
    /// Stages of the user's own, in the order in which they are named.
    pub handlers: Vec<CustomStage>,
    /// Which requests it takes.
    pub matcher: Match,
    /// `DownstreamPathTemplate` as written.
    pub backend_path: Sourced<String>,
    /// Where its requests go.
    pub cluster: Arc<ClusterBlueprint>,
    /// The internal service that responds instead of a cluster.
    pub service: Option<Sourced<String>>,
    /// The name under which the reverse proxy of Service Fabric knows the service; stands before the path.
    pub service_fabric_path: Option<Sourced<String>>,
    /// What identifies the route's counters across plans: Ocelot's LoadBalancerKey.
    pub state_key: String,
    /// None: the method of the request.
    pub backend_method: Option<String>,
    pub http_version: Sourced<HttpVersion>,
    pub timeout: Sourced<Duration>,
    /// What is done about a service that fails.
    pub attempts: crate::backend::attempt::ResilienceConfig,
    /// The cluster that is asked when all attempts failed.
    pub fallback: Option<Arc<ClusterBlueprint>>,
    pub preserve_host: Sourced<bool>,
    /// The header that carries the request id.
    pub request_id_key: Option<Sourced<String>>,
    /// Authorisation and transformation.
    pub transforms: transforms::Transforms,
    /// The policies it names, weakest first.
    pub policies: Vec<String>,
    /// The route's and the global ones, the route's first.
    pub metadata: Vec<(String, String)>,
    /// The configurations of its stages.
    pub stages: StageConfigs,
    /// Set only under Ocelot compatibility.
    pub broken: Option<UnservableRoute>,
    /// An aggregate has parts and no service of its own.
    pub aggregate: Option<Box<AggregateBlueprint>>,
}

impl RouteBlueprint {
    /// What the service is asked for; `names` are those of the route's values.
    pub fn url(&self, names: &[Box<str>], rules: &RoutingRules) -> UrlTemplate {
        match &self.service_fabric_path {
            Some(service) => UrlTemplate::with_prefix(&service.value, &self.backend_path.value, names, rules),
            None => UrlTemplate::compile(&self.backend_path.value, names, rules),
        }
    }
}

/// An aggregate, everything resolved; plain data.
#[derive(Clone, Debug)]
pub struct AggregateBlueprint {
    /// In the order of `RouteKeys`, which is that of the answer.
    pub parts: Vec<PartBlueprint>,
    pub shape: AggregateConfig,
}

/// A part of an aggregate: a route, and what the aggregate says about calling it.
#[derive(Clone, Debug)]
pub struct PartBlueprint {
    /// The route as it is within the aggregate: its placeholders are those of the aggregate.
    pub route: Box<RouteBlueprint>,
    /// The names of the values that it is given: the aggregate's, then its parameter.
    pub placeholder_names: Vec<Box<str>>,
    pub terms: PartTerms,
}

/// Services that have no routes: the first segment of the path names them.
#[derive(Clone, Debug)]
pub struct DynamicBlueprint {
    pub registry: Arc<crate::backend::discovery::ProviderSettings>,
    /// For services without an entry of their own.
    pub defaults: RouteBlueprint,
    pub entries: Vec<DynamicEntry>,
}

/// The options of one service.
#[derive(Clone, Debug)]
pub struct DynamicEntry {
    pub service: String,
    /// Empty: it has none.
    pub namespace: String,
    pub route: RouteBlueprint,
}

impl DynamicBlueprint {
    /// The options of a service: its name is compared with regard to case, its namespace only if the request has one.
    pub fn of(&self, namespace: &str, service: &str) -> Option<&DynamicEntry> {
        let fits = |entry: &&DynamicEntry| {
            entry.service == service && (namespace.is_empty() || entry.namespace == namespace)
        };
        self.entries.iter().find(fits)
    }
}
