//! Everything the user may write, as plain serde types: every setting optional, every value with its place.
//!
//! The keys are Ocelot's (and, where the setting is ours, in Ocelot's style); the names of the Rust fields are ours,
//! so that the floors above say client and backend. The doc comments become the descriptions of the JSON Schema.

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

/// margay's configuration: Ocelot 25's vocabulary and our own sections beside it. Names are matched without regard
/// to case; comments and trailing commas are allowed; `${NAME}`, `${NAME:-default}` and `${file:/path}` are filled in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Document {
    /// The JSON Schema this file follows; only editors read it.
    #[serde(rename = "$schema")]
    pub schema: Setting<String>,
    /// The routes, in the order in which they are tried within one priority. Source: Ocelot, Routing.
    pub routes: List<RouteDocument>,
    /// Options for services that are found by discovery instead of by a route. Source: Ocelot, Service Discovery.
    pub dynamic_routes: List<DynamicRouteDocument>,
    /// Routes that call several routes and answer with all their bodies in one JSON object. Source: Ocelot, Aggregation.
    pub aggregates: List<AggregateDocument>,
    /// Services that several routes lead to: name → where it is and how it is called; routes name them in
    /// `DownstreamCluster`. Connections, balancing and health are those of the cluster, whichever route is used.
    pub clusters: Setting<SpannedMap<Spanned<ClusterDocument>>>,
    /// Options that hold for every route, unless the route says otherwise. Source: Ocelot, Configuration.
    pub global_configuration: Setting<GlobalDocument>,
    /// The gateway's own public address when `GlobalConfiguration.BaseUrl` is absent. Source: Ocelot, Configuration.
    pub base_url: Setting<String>,
    /// The addresses the gateway accepts requests on. Default: one, `127.0.0.1:8080`.
    pub listeners: List<ListenerDocument>,
    /// Where `/live`, `/ready`, `/metrics` and `/clusters` are served. Default: `127.0.0.1:8081`.
    pub administration: Setting<AdministrationDocument>,
    /// Sizes, counts and times beyond which the gateway refuses or closes.
    pub limits: Setting<LimitsDocument>,
    /// How the names of services are resolved.
    pub dns: Setting<DnsDocument>,
    /// The memory in which answers are kept.
    pub cache: Setting<CacheDocument>,
    /// What is believed of, and added to, the `X-Forwarded-*` fields.
    pub forwarded_headers: Setting<ForwardedHeadersDocument>,
    /// Whether a change of the files is taken over without a restart. Default: true.
    pub reload_on_change: Setting<bool>,
    /// Whether one JSON line per request is written to standard output. Default: false.
    pub access_log: Setting<bool>,
    /// The trace that a request belongs to (W3C Trace Context): `"Continue"` goes on with the client's `traceparent`, with
    /// a span of the gateway's own, and starts a trace where there is none; `"Start"` always starts one; `"Off"` passes
    /// the field on as it is. Without a `RequestIdKey` the trace id is the id of the request in logs and errors.
    /// Default: `"Continue"`; `"Off"` under `"Compatibility": "Ocelot"`. Source: W3C Trace Context.
    pub trace_context: Setting<TraceContextMode>,
    /// How callers prove who they are: name → scheme; routes name them in `AuthenticationOptions`.
    pub authentication_schemes: Setting<SpannedMap<Spanned<AuthenticationSchemeDocument>>>,
    /// Where the configuration itself is kept, `"Consul"` for Consul's KV store. Default: these files.
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
