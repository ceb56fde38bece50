//! The blueprint: the result of compiling a document, everything checked and resolved, nothing running yet.
//!
//! A blueprint is plain data: the same document always results in the same blueprint. `build` makes the plan from it
//! and resolves what needs the running process (metric handles, balancer state, descriptor limits).

pub mod cluster;
pub mod discovery;
pub mod endpoint;
pub mod fabric;
pub mod https_redirect;
pub mod listener;
pub mod protocol;
pub mod sourced;
pub mod telemetry;

use super::administration::Administration;
use super::aggregate::{AggregateConfig, PartTerms};
use super::clusters::{buffering::BufferingConfig, data_rate::DataRateConfig};
use super::hubs::{HubRouteBlueprint, HubsBlueprint};
use super::roles::RolesBlueprint;
use super::route_tests::RouteTest;
use super::routing::{EscapedSeparators, RouteTable, RoutingRules, UrlTemplate, without_query_rest};
use super::transport::TransportRouteBlueprint;
pub use crate::backend::{balance::BalancerKind, health::HealthConfig};
use crate::base::{data_rate::MinDataRate, stream_limit::StreamLimits};
use crate::config::Span;
use crate::net::agents::config::TunnelsConfig;
use crate::net::dns::DnsSettings;
use crate::net::h1::client::ClientLimits;
use crate::net::h2;
pub use crate::pipeline::client_fields::{RequestTrailers, UnderscoresInHeaders};
pub use crate::stages::feature::UnservableRoute;
use crate::stages::{GatewayStages, StageConfigs};
use crate::state::SharedStateConfig;
pub use cluster::{ClusterBlueprint, RoleTarget};
pub use endpoint::Endpoint;
pub use https_redirect::HttpsRedirect;
pub use listener::{Listener, ListenerProtocol};
pub use protocol::{HttpVersion, Scheme};
pub use sourced::Sourced;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telemetry::TelemetryConfig;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Whether the document requests Ocelot's statuses, bodies and leniency.
    pub ocelot: bool,
    pub listeners: Vec<Listener>,
    pub administration: Arc<Administration>,
    /// How names are resolved.
    pub dns: DnsSettings,
    pub limits: Limits,
    pub telemetry: TelemetryConfig,
    /// The state that several gateways share.
    pub shared_state: Option<SharedStateConfig>,
    /// Agents, and who may reach them.
    pub tunnels: Arc<TunnelsConfig>,
    /// Maximum memory for cached responses.
    pub cache: crate::stages::cache::MemoryConfig,
    /// The stages that all routes have.
    pub stages: GatewayStages,
    pub reload_on_change: bool,
    /// The gateway's own public address.
    pub base_url: String,
    /// Whether any route caches by the rules of HTTP.
    pub has_http_cache: bool,
    /// In the order in which they are tried within one priority; aggregates follow the routes.
    pub routes: Vec<RouteBlueprint>,
    /// Finds the index in `routes` of the route that matches a request.
    pub table: Arc<RouteTable>,
    pub rules: RoutingRules,
    /// What is done with escaped separators in paths, unless the listener or the route differs.
    pub escaped_separators: EscapedSeparators,
    pub hubs: HubsBlueprint,
    /// Dynamic routing: the service that the path names is looked up in a registry.
    pub dynamic: Option<DynamicBlueprint>,
    /// The resolvers of services with partitions.
    pub resolvers: Vec<crate::backend::fabric::ResolverConfig>,
    /// Connections and datagrams that are forwarded as they are.
    pub transport_routes: Vec<TransportRouteBlueprint>,
    /// Roles, their endpoints, and the rules between them.
    pub roles: Arc<RolesBlueprint>,
    /// The configuration store, if the configuration is not in files.
    pub store: Option<discovery::StoreBlueprint>,
    /// The directory of what is kept between two starts.
    pub data_directory: PathBuf,
    /// API management; `None`: the document has neither APIs nor policy documents.
    pub apis: Option<Arc<super::apis::blueprint::ApisBlueprint<RouteBlueprint>>>,
    /// The tests of the configuration, and whether it must pass them before it is applied.
    pub tests: Vec<RouteTest>,
    pub tests_before_apply: bool,
}

impl Blueprint {
    /// Whether any route is restricted to some listeners, or inspected by listener.
    pub fn by_listener(&self) -> bool {
        let policies =
            |route: &RouteBlueprint| route.stages.waf.as_ref().is_some_and(|waf| waf.is_by_listener());
        self.routes.iter().any(|route| !route.matcher.listeners.is_empty() || policies(route))
            || self.dynamic.as_ref().is_some_and(|dynamic| policies(&dynamic.defaults))
    }

    /// Whether requests need the name of their listener, for their route or for the log of the firewall.
    pub fn uses_listener_names(&self) -> bool {
        let is_inspected = |route: &RouteBlueprint| route.stages.waf.is_some();
        let is_inspected_dynamic = |dynamic: &DynamicBlueprint| {
            is_inspected(&dynamic.defaults) || dynamic.entries.iter().any(|entry| is_inspected(&entry.route))
        };
        self.by_listener()
            || self.routes.iter().any(is_inspected)
            || self.dynamic.as_ref().is_some_and(is_inspected_dynamic)
            || self.apis.iter().flat_map(|apis| &apis.apis).any(|api| is_inspected(&api.route))
    }
}

/// Limits and timeouts of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub client: ClientLimits,
    pub http2: h2::Limits,
    pub body_idle: Duration,
    pub connect_timeout: Duration,
    /// The minimum rates of bodies; `None`: no minimum.
    pub min_request_rate: Option<MinDataRate>,
    pub min_response_rate: Option<MinDataRate>,
    /// Maximum bytes of memory for responses that are received ahead of slow clients.
    pub buffering_memory: usize,
    pub backend_idle: Duration,
    /// Not ready, but still accepting.
    pub shutdown_delay: Duration,
    pub drain: Duration,
    pub tunnel_idle: Duration,
    /// Maximum concurrent client connections; `None`: a part of the descriptors.
    pub connections: Option<usize>,
    /// The same for one client address; `usize::MAX`: a part of the default, or no limit.
    pub connections_per_client: usize,
    /// Maximum number of UDP sessions; `None`: half of the descriptors.
    pub udp_sessions: Option<usize>,
    pub udp_sessions_per_client: usize,
    pub streams: StreamLimits,
    pub requests_per_connection: u32,
    /// Maximum bytes of memory for all streaming encoders together.
    pub compression: u64,
    /// Maximum number of options of `Connection`.
    pub connection_options: usize,
    /// Maximum number of informational (1xx) responses to a request.
    pub max_informational: u32,
    pub underscores: UnderscoresInHeaders,
    pub trailers: RequestTrailers,
}

/// Descriptors that UDP sessions leave free by default.
const UDP_RESERVE: usize = 512;

impl Limits {
    /// The limits in a process that may have `max_connections` client connections.
    pub fn in_process(self, max_connections: usize) -> Limits {
        let connections = self.connections.unwrap_or(max_connections);
        let connections_per_client = match self.connections_per_client {
            // Half of a resource of the process is what one address may hold.
            usize::MAX if self.connections.is_none() => max_connections / 2,
            limit => limit,
        };
        let streams = StreamLimits { capacity: connections, ..self.streams };
        // Clients may use 90 % of the descriptors.
        let half = (max_connections / 9 * 5).saturating_sub(UDP_RESERVE).max(1);
        let udp_sessions = Some(self.udp_sessions.unwrap_or(half));
        Limits { connections: Some(connections), connections_per_client, streams, udp_sessions, ..self }
    }
}

/// Which requests a route matches.
#[derive(Clone, Debug)]
pub struct Match {
    /// `UpstreamPathTemplate` as written.
    pub client_path: Sourced<String>,
    pub case_sensitive: bool,
    pub priority: i32,
    /// Methods in upper case; empty: every method.
    pub methods: Vec<String>,
    pub host: Option<String>,
    /// Header name and template as written.
    pub header_templates: Vec<(String, String)>,
    /// Empty: all.
    pub listeners: Vec<String>,
}

/// The minimum rates of a route; what is absent is that of the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct MinRates {
    pub request: DataRateConfig,
    pub response: DataRateConfig,
}

/// One route, everything resolved.
#[derive(Clone, Debug)]
pub struct RouteBlueprint {
    /// Its index in `Routes` or `Aggregates`, from 0.
    pub index: usize,
    /// Where the route is written.
    pub span: Span,
    /// A name for logs and metrics, unique within the blueprint.
    pub name: String,
    pub key: Option<String>,
    /// Which requests it matches.
    pub matcher: Match,
    /// `DownstreamPathTemplate` as written.
    pub backend_path: Sourced<String>,
    /// The cluster of its backend.
    pub cluster: Arc<ClusterBlueprint>,
    /// The internal or the hub service that responds instead of a cluster.
    pub service: Option<Sourced<String>>,
    /// The naming interface that the internal service stands for.
    pub naming: Option<fabric::NamingBlueprint>,
    /// The services with partitions that the route leads to, instead of a cluster.
    pub fabric: Option<Box<fabric::FabricBlueprint>>,
    pub hub: Option<Box<HubRouteBlueprint>>,
    /// The name of the service in the reverse proxy of Service Fabric; it precedes the path.
    pub service_fabric_path: Option<Sourced<String>>,
    /// The key of the route's counters across plans: Ocelot's LoadBalancerKey.
    pub state_key: String,
    pub http_version: Sourced<HttpVersion>,
    pub timeout: Sourced<Duration>,
    pub buffering: BufferingConfig,
    pub min_rates: MinRates,
    /// How failures of the backend are handled.
    pub attempts: crate::backend::attempt::ResilienceConfig,
    /// The cluster that receives the request when all attempts failed.
    pub fallback: Option<Arc<ClusterBlueprint>>,
    pub preserve_host: Sourced<bool>,
    /// `None`: as the listener or the document has it.
    pub escaped_separators: Option<EscapedSeparators>,
    /// The policies it names, weakest first.
    pub policies: Vec<String>,
    /// The metadata of the route, followed by the global one.
    pub metadata: Vec<(String, String)>,
    /// The settings of its stages.
    pub stages: StageConfigs,
    /// Set only under Ocelot compatibility.
    pub broken: Option<UnservableRoute>,
    /// The program of the policy documents that the route names.
    pub documents: Option<Arc<crate::stages::program::Program>>,
    /// An aggregate has parts instead of a backend.
    pub aggregate: Option<Box<AggregateBlueprint>>,
}

impl RouteBlueprint {
    /// The URL of requests to the backend; `names` are those of the route's values.
    pub fn url(&self, names: &[Box<str>], rules: &RoutingRules) -> UrlTemplate {
        let client_path = &self.matcher.client_path.value;
        // The query of a request for a service with partitions is forwarded byte for byte.
        let byte_for_byte = RoutingRules { ocelot_value_extraction: false, ..*rules };
        let rules = if self.fabric.is_some() { &byte_for_byte } else { rules };
        let backend_path = match rules.ocelot_value_extraction {
            true => self.backend_path.value.as_str().into(),
            false => without_query_rest(&self.backend_path.value, client_path),
        };
        let url = match &self.service_fabric_path {
            Some(service) => UrlTemplate::with_prefix(&service.value, &backend_path, names, rules),
            None => UrlTemplate::compile(&backend_path, names, rules),
        };
        url.with_client_template(client_path)
    }
}

/// An aggregate, everything resolved; plain data.
#[derive(Clone, Debug)]
pub struct AggregateBlueprint {
    /// In the order of `RouteKeys`, which is the order in the response.
    pub parts: Vec<PartBlueprint>,
    pub shape: AggregateConfig,
}

/// A part of an aggregate: a route, and the settings of its calls.
#[derive(Clone, Debug)]
pub struct PartBlueprint {
    /// The route within the aggregate: its placeholders are those of the aggregate.
    pub route: Box<RouteBlueprint>,
    /// The names of its values: the aggregate's, then its parameter.
    pub placeholder_names: Vec<Box<str>>,
    pub terms: PartTerms,
}

/// Dynamic routing: services without routes; the first segment of the path names them.
#[derive(Clone, Debug)]
pub struct DynamicBlueprint {
    pub registry: Arc<crate::backend::discovery::ProviderSettings>,
    /// For services without an entry.
    pub defaults: RouteBlueprint,
    pub entries: Vec<DynamicEntry>,
}

/// The options of one service.
#[derive(Clone, Debug)]
pub struct DynamicEntry {
    pub service: String,
    /// Empty: no namespace.
    pub namespace: String,
    pub route: RouteBlueprint,
}

impl DynamicBlueprint {
    /// The options of a service. The name is case-sensitive; the namespace is compared only if the request has one.
    pub fn of(&self, namespace: &str, service: &str) -> Option<&DynamicEntry> {
        let fits = |entry: &&DynamicEntry| {
            entry.service == service && (namespace.is_empty() || entry.namespace == namespace)
        };
        self.entries.iter().find(fits)
    }
}
