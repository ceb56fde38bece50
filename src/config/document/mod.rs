//! The documents that users write, as plain serde types: every setting is optional, and every value has its source span.
//!
//! JSON names are Ocelot's (margay's own settings follow its style); Rust field names say client and backend, as the
//! floors above do. The doc comments become the descriptions of the JSON Schema and of docs/configuration.md.

mod aggregate;
mod cluster;
mod discovery;
mod global;
mod headers;
mod health;
mod listener;
mod options;
mod extensions;
mod nested;
mod policy;
mod route;
mod scheme;
mod values;

pub use aggregate::{AggregateDocument, RouteKeyConfigDocument};
pub use cluster::ClusterDocument;
pub use discovery::DiscoveryDocument;
pub use extensions::*;
pub use global::{GlobalDocument, MetadataOptions};
pub use headers::{HeaderEditDocument, HeaderEdits, HeaderForm};
pub use health::{ActiveHealthDocument, PassiveHealthDocument};
pub use listener::*;
pub use nested::*;
pub use options::*;
pub use policy::PolicyDocument;
pub use route::{DynamicRouteDocument, HostAndPort, RouteDocument};
pub use scheme::AuthenticationSchemeDocument;
pub use values::{BoxedSetting, DurationSetting, List, ListMap, OneOrMany, Setting, StringList};

use super::{Spanned, SpannedMap};
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
    /// Options that apply to every route, unless the route sets them itself. Source: Ocelot, Configuration.
    pub global_configuration: Setting<GlobalDocument>,
    /// The public address of the gateway if `GlobalConfiguration.BaseUrl` is absent. Source: Ocelot, Configuration.
    pub base_url: Setting<String>,
    /// The addresses on which requests are accepted. Default: one, `127.0.0.1:8080`.
    pub listeners: List<ListenerDocument>,
    /// The address of `/live`, `/ready`, `/metrics` and `/clusters`. Default: `127.0.0.1:8081`.
    pub administration: Setting<AdministrationDocument>,
    /// Size, count and time limits of the gateway.
    pub limits: Setting<LimitsDocument>,
    /// How host names of backends are resolved.
    pub dns: Setting<DnsDocument>,
    /// The memory of the response cache.
    pub cache: Setting<CacheDocument>,
    /// Which `X-Forwarded-*` fields are trusted, and which are added.
    pub forwarded_headers: Setting<ForwardedHeadersDocument>,
    /// Whether changes of the configuration files are applied without a restart. Default: true.
    pub reload_on_change: Setting<bool>,
    /// Whether one JSON line per request is written to standard output. Default: false.
    pub access_log: Setting<bool>,
    /// Distributed tracing (W3C Trace Context): `"Continue"` continues the trace of the client's `traceparent` with a
    /// span of the gateway, and starts a trace if there is none; `"Start"` always starts a trace; `"Off"` passes the
    /// field through unchanged. Without `RequestIdKey` the trace id is the request id in logs and errors. Default:
    /// `"Continue"`; `"Off"` under `"Compatibility": "Ocelot"`. Source: W3C Trace Context.
    pub trace_context: Setting<TraceContextMode>,
    /// How callers are authenticated: name → scheme; routes reference schemes in `AuthenticationOptions`.
    pub authentication_schemes: Setting<SpannedMap<Spanned<AuthenticationSchemeDocument>>>,
    /// Where the configuration is stored: `"Consul"` for Consul's KV store. Default: these files.
    pub configuration_store: Setting<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(schema: &serde_json::Value, name: &str) -> Vec<String> {
        let object = if name == "Document" { schema } else { &schema["$defs"][name] };
        object["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default()
    }

    #[test]
    fn a_route_is_small_because_there_may_be_ten_thousand() {
        let size = size_of::<RouteDocument>();
        assert!(size <= 1640, "{size} bytes");
    }

    #[test]
    fn the_schema_speaks_ocelots_words_and_describes_every_setting() {
        let schema = schemars::schema_for!(Document).to_value();
        let route = keys(&schema, "RouteDocument");
        assert!(route.contains(&"UpstreamPathTemplate".to_owned()), "{route:?}");
        assert!(keys(&schema, "QosOptions").contains(&"ExceptionsAllowedBeforeBreaking".to_owned()));
        assert!(keys(&schema, "GlobalQosOptions").contains(&"RouteKeys".to_owned()));
        assert!(keys(&schema, "Document").contains(&"ReloadOnChange".to_owned()));
        let objects = schema["$defs"].as_object().expect("definitions");
        for (name, object) in objects {
            for (key, setting) in object["properties"].as_object().expect(name) {
                assert!(setting["description"].is_string(), "{name}.{key} has no description");
            }
        }
    }
}
