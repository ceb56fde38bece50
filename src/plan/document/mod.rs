//! The documents that users write, as plain serde types: every setting is optional, and every value has its source
//! span.
//!
//! JSON names are Ocelot's (margay's own settings follow its style); Rust field names say client and backend, as in
//! the higher floors. The doc comments become the descriptions of the JSON Schema and of docs/configuration.md. Entry
//! points: [`load`], called by `control` and `cli`, and [`gateway_schema`]. A document lives for one load; nothing in
//! it outlives the compilation.

#[macro_use]
mod assemble;

mod administration;
mod aggregate;
pub mod apis;
pub mod backends;
mod cluster;
mod discovery;
mod fabric;
mod global;
mod listener;
mod extensions;
mod policy;
mod route;
mod route_tests;
pub mod schema_lookup;
mod shared;
mod shared_state;
mod roles;
mod telemetry;
mod tunnels;
mod transport;

pub use crate::config::options::{GlobalOptions, Options};
pub use crate::config::values::{
    BoxedSetting, DurationSetting, List, ListMap, OneOrMany, Setting, StringList,
};
use crate::plan::hubs::documents::{HubServiceDocument, RealtimeDocument};
pub use crate::stages::authentication::AuthenticationSchemeDocument;
pub use crate::stages::cache::CacheDocument;
pub use crate::stages::waf::options::{WafEngineDocument, WafPolicyDocument};
pub use administration::{AdminRole, AdminTokenDocument, AdministrationDocument, HealthDocument};
pub use aggregate::{AggregateDocument, RouteKeyConfigDocument};
use apis::*;
use backends::*;
pub use cluster::ClusterDocument;
pub use discovery::DiscoveryDocument;
pub use extensions::*;
pub use fabric::*;
pub use global::{GlobalDocument, MetadataOptions};
pub use listener::*;
pub use policy::PolicyDocument;
pub use roles::*;
pub use route::{DynamicRouteDocument, HostAndPort, RouteDocument};
pub use route_tests::{ExpectDocument, ExpectedRequestDocument, TestDocument};
pub use shared_state::{OnFailureDocument, SharedStateDocument, SharedStateModeDocument, SharedStateType};
pub use telemetry::*;
pub use transport::*;
pub use tunnels::*;

use crate::config::{
    Diagnostics, Environment, InMemoryFiles, Loaded, Node, Request, Spanned, SpannedMap, Vocabulary, codes,
    de, schema,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration of margay: the vocabulary of Ocelot 25 plus margay's own sections. Names are case-insensitive;
/// comments and trailing commas are allowed; `${NAME}`, `${NAME:-default}` and `${file:/path}` are interpolated.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Document {
    /// The JSON Schema of this file; used by editors only.
    #[serde(rename = "$schema")]
    pub schema: Setting<String>,
    /// The routes; equal priorities are matched in this order. Source: Ocelot, Routing.
    pub routes: List<RouteDocument>,
    /// Options for discovered services without a route. Source: Ocelot, Service Discovery.
    pub dynamic_routes: List<DynamicRouteDocument>,
    /// Routes that call several routes and respond with all their bodies in one JSON object. Source: Ocelot,
    /// Aggregation.
    pub aggregates: List<AggregateDocument>,
    /// Named backends that several routes share: name → endpoints and options; routes reference them in
    /// `DownstreamCluster`. Connection pool, load balancing and health belong to the cluster, whichever route is used.
    pub clusters: Setting<SpannedMap<Spanned<ClusterDocument>>>,
    /// APIs by their ids: a path prefix with a backend, operations, and policy documents. In addition to the settings of an API they
    /// have the options of routes.
    pub apis: Entities<ApiObject>,
    /// Products by their ids: APIs that are subscribed to.
    pub products: Entities<ProductDocument>,
    /// Subscriptions by their ids: pairs of keys that open a product, an API or all APIs.
    pub subscriptions: Entities<SubscriptionDocument>,
    /// Users by their ids: the owners of subscriptions.
    pub users: Entities<ApiUserDocument>,
    /// Groups of users by their ids. `Administrators`, `Developers` and `Guests` exist always.
    pub groups: Entities<GroupDocument>,
    /// Texts for policy documents: `{{name}}`.
    pub named_values: Entities<NamedValueDocument>,
    /// Services that APIs and statements name.
    pub backends: Entities<BackendDocument>,
    /// Sets of APIs that are versions of each other.
    pub version_sets: Entities<VersionSetDocument>,
    /// Loggers for `log-to-eventhub`.
    pub loggers: Entities<LoggerDocument>,
    /// Token sources for `authentication-managed-identity`.
    pub identities: Entities<IdentityDocument>,
    /// Client certificates for services.
    pub certificates: Entities<ServiceCertificateDocument>,
    /// What holds for all APIs.
    pub api_management: Setting<ApiManagementDocument>,
    /// Options that apply to every route, unless the route sets them itself. Source: Ocelot, Configuration.
    pub global_configuration: Setting<GlobalDocument>,
    /// Realtime hubs that run in the gateway: name → keys, public addresses and hubs; routes reference services in
    /// `DownstreamHubService`. Default: none.
    pub hub_services: Setting<SpannedMap<Spanned<HubServiceDocument>>>,
    /// What all hubs of the process share.
    pub realtime: Setting<RealtimeDocument>,
    /// The public address of the gateway if `GlobalConfiguration.BaseUrl` is absent. Source: Ocelot, Configuration.
    pub base_url: Setting<String>,
    /// Where the connections and datagrams of TCP and UDP listeners are forwarded.
    pub transport_routes: List<TransportRouteDocument>,
    /// Roles: named sets of instances with public, per-instance and internal endpoints. Each endpoint is also a cluster
    /// `Role.Endpoint`.
    pub roles: Setting<SpannedMap<Spanned<RoleDocument>>>,
    /// What all roles have in common.
    pub role_options: Setting<RoleOptionsDocument>,
    /// Which roles may reach which internal endpoints. Default: every role reaches every internal endpoint.
    pub traffic_rules: Setting<TrafficRulesDocument>,
    /// The addresses on which requests are accepted. Default: one, `127.0.0.1:8080`.
    pub listeners: List<ListenerDocument>,
    /// The address of the administration API, and who may use it. Default: `127.0.0.1:8081`.
    pub administration: Setting<AdministrationDocument>,
    /// An address of `/live`, `/ready` and `/metrics` only. Default: none.
    pub health: Setting<HealthDocument>,
    /// Size, count and time limits of the gateway.
    pub limits: Setting<LimitsDocument>,
    /// How host names of backends are resolved.
    pub dns: Setting<DnsDocument>,
    /// The memory of the response cache.
    pub cache: Setting<CacheDocument>,
    /// The state that several gateways share, on Redis. Default: none, each gateway has its own.
    pub shared_state: Setting<SharedStateDocument>,
    /// Which `X-Forwarded-*` fields are trusted, and which are added.
    pub forwarded_headers: Setting<ForwardedHeadersDocument>,
    /// Whether changes of the configuration files are applied without a restart. Default: true.
    pub reload_on_change: Setting<bool>,
    /// The access log: `true` writes one JSON line per request to standard output; an object sets form and destination.
    /// Default: false.
    pub access_log: Setting<AccessLogDocument>,
    /// Which requests are traced; the spans are sent to the collector in `Otlp`. Default: none.
    pub tracing: Setting<TracingDocument>,
    /// What metrics contain, and where they are sent. Default: they are scraped from the administration address.
    pub metrics: Setting<MetricsDocument>,
    /// The OpenTelemetry collector that gets traces, metrics and logs. Default: none.
    pub otlp: Setting<OtlpDocument>,
    /// Distributed tracing (W3C Trace Context): `"Continue"` continues the trace of the client's `traceparent` with a
    /// span of the gateway, and starts a trace if there is none; `"Start"` always starts a trace; `"Off"` passes the
    /// field through unchanged. Without `RequestIdKey` the trace id is the request id in logs and errors. Default:
    /// `"Continue"`; `"Off"` under `"Compatibility": "Ocelot"`. Source: W3C Trace Context.
    pub trace_context: Setting<TraceContextMode>,
    /// How callers are authenticated: name → scheme; routes reference schemes in `AuthenticationOptions`.
    pub authentication_schemes: Setting<SpannedMap<Spanned<AuthenticationSchemeDocument>>>,
    /// Services behind firewalls: their agents keep outbound connections, and routes reach them as `agent:ID/SERVICE`.
    /// Default: none.
    pub tunnels: Setting<TunnelsDocument>,
    /// Policies of the web application firewall: name → what is inspected; documents name them in `Waf`.
    pub waf_policies: Setting<SpannedMap<Spanned<WafPolicyDocument>>>,
    /// The engine of the web application firewall.
    pub waf_engine: Setting<WafEngineDocument>,
    /// Services with names, partitions and replicas, as in Azure Service Fabric: the resolvers that know them.
    pub service_fabric: Setting<ServiceFabricDocument>,
    /// Where the configuration is stored: `"Consul"` for Consul's KV store. Default: these files.
    pub configuration_store: Setting<String>,
    /// The directory of what the gateway keeps between two starts, such as the history of configurations; a relative path
    /// is resolved against the configuration file. It is created with mode 0700. A change takes effect at the next start.
    /// Default: `data`.
    pub data_directory: Setting<String>,
    /// Tests of this configuration: requests, and what is expected of the gateway. Default: `[]`.
    pub tests: List<TestDocument>,
    /// Whether the tests run at startup, before every reload and before every change by the administration API; a
    /// configuration that fails one of them is rejected. Default: false.
    pub tests_before_apply: Setting<bool>,
}

/// Loads the files that the request names.
pub fn load(request: &Request, environment: Environment) -> Loaded {
    crate::config::load(request, environment, &vocabulary())
}

/// Loads a configuration from texts in memory.
pub fn load_texts(texts: &InMemoryFiles, environment: Environment) -> Loaded {
    crate::config::load_texts(texts, environment, &vocabulary())
}

/// The document of a tree; options under legacy names are moved to the current ones.
pub fn read(root: &Node, diagnostics: &mut Diagnostics, options: de::Options) -> Document {
    let mut document: Document = de::read(root, diagnostics, options);
    diagnostics.merge_repeated(codes::UNKNOWN_KEY);
    let routes = document.routes.iter_mut().flat_map(|list| list.value.iter_mut());
    routes.for_each(|route| route.value.fold_old_names());
    let dynamic = document.dynamic_routes.iter_mut().flat_map(|list| list.value.iter_mut());
    dynamic.for_each(|route| route.value.fold_old_names());
    document
}

fn vocabulary() -> Vocabulary {
    Vocabulary {
        transport_route: crate::config::de::field_names::<TransportRouteDocument>(),
        ..Vocabulary::of::<Document, GlobalDocument, RouteDocument, DynamicRouteDocument, PolicyDocument>()
    }
}

/// The JSON Schema of `gateway.json`.
pub fn gateway_schema() -> serde_json::Value {
    schema::schema::<Document>("margay: gateway.json")
}

/// The JSON Schema of `policies/NAME.json`.
pub fn policy_schema() -> serde_json::Value {
    schema::schema::<PolicyDocument>("margay: a policy")
}

#[cfg(test)]
mod tests;
