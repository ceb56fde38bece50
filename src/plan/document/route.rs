//! `Routes[]` and `DynamicRoutes[]`.

use crate::config::values::{
    BoxedSetting, DurationSetting, List, ListMap, Setting, StageSettings, StringList,
};
use crate::stages::cache::CacheOptions;
use crate::stages::header_transform::options::HeaderEditMap;
use crate::stages::rate_limit::RateLimitOptions;
use schemars::JsonSchema;
use serde::Deserialize;

document! { route:
    /// A route: which requests it matches, which backend they are sent to, and what is applied to them on the way. Settings
    /// that are absent are inherited from the policies of the route, then from `GlobalConfiguration`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct RouteDocument {
        /// The path to match, with `{placeholders}`, and a query template after `?`. Required. Source: Ocelot, Routing.
        #[serde(rename = "UpstreamPathTemplate")]
        pub client_path: Setting<String>,
        /// The methods to match, case-insensitive. Default: `[]`, every method. Source: Ocelot, Routing.
        #[serde(rename = "UpstreamHttpMethod")]
        pub methods: List<String>,
        /// The value that the request's `Host` field must have, case-sensitive, without port. Default: any. Source: Ocelot,
        /// Routing.
        #[serde(rename = "UpstreamHost")]
        pub host: Setting<String>,
        /// Header name → template with `{header:name}` placeholders; all templates must match. Default: `{}`. Source:
        /// Ocelot, Routing (since 23.3).
        #[serde(rename = "UpstreamHeaderTemplates")]
        pub header_templates: StringList,
        /// Names of the listeners on which requests are accepted; a listener without `Name` is referenced by its address.
        /// Default: all listeners.
        pub listeners: List<String>,
        /// Whether the path and the header templates are matched case-sensitively. Default: false. Source: Ocelot, Routing.
        #[serde(rename = "RouteIsCaseSensitive")]
        pub case_sensitive: Setting<bool>,
        /// Higher priorities are matched first, equal priorities in the order of the file; `/{anything}` always has
        /// priority 0. Default: 1. Source: Ocelot, Routing.
        pub priority: Setting<i32>,
        /// The path of the request to the backend; may contain `{placeholders}` and a query. Required. Source: Ocelot,
        /// Routing.
        #[serde(rename = "DownstreamPathTemplate")]
        pub backend_path: Setting<String>,
        /// `http`, `https`, `ws` or `wss`. Default: the scheme of the incoming request. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        /// Host and port of each endpoint. Required, unless `ServiceName`, `DownstreamCluster` or
        /// `DownstreamService` is set. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamHostAndPorts")]
        pub endpoints: List<HostAndPort>,
        /// The name of one of `Clusters`, to which the requests are sent; replaces the endpoints of the route and all
        /// options about them. Default: none.
        #[serde(rename = "DownstreamCluster")]
        pub cluster: Setting<String>,
        /// The name of a service of the gateway itself that responds, instead of a backend: `administration`, the pages
        /// `/live`, `/ready` and `/metrics`. Names are case-sensitive. Default: none.
        #[serde(rename = "DownstreamService")]
        pub service: Setting<String>,
        /// The method of the request to the backend. Default: the method of the incoming request. Source: Ocelot, Method
        /// Transformation.
        #[serde(rename = "DownstreamHttpMethod")]
        pub backend_method: Setting<String>,
        /// The HTTP version of requests to the backend, such as `1.1` or `2.0`. Default: `1.1`. Source: Ocelot, Routing.
        #[serde(rename = "DownstreamHttpVersion")]
        pub http_version: Setting<String>,
        /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`. Default: `RequestVersionOrLower`.
        /// Source: Ocelot, Routing (since 23.3).
        #[serde(rename = "DownstreamHttpVersionPolicy")]
        pub http_version_policy: Setting<String>,
        /// The name by which aggregates and the `RouteKeys` of global options reference the route. Default: none. Source:
        /// Ocelot, Aggregation.
        pub key: Setting<String>,
        /// The service name in the discovery provider; replaces the list of endpoints. Default: none. Source: Ocelot,
        /// Service Discovery.
        pub service_name: Setting<String>,
        /// The namespace of the service in the discovery provider. Default: that of the provider. Source: Ocelot,
        /// Kubernetes.
        pub service_namespace: Setting<String>,
        /// Claim type → the value that the caller must have, or a list of values of which one suffices. All entries must be
        /// satisfied. `"{name}"` is the value of the path placeholder. Default: `{}`. Source: Ocelot, Authorization.
        #[serde(rename = "RouteClaimsRequirement")]
        pub claims_required: ListMap,
        /// A CEL (Common Expression Language) condition that the caller must satisfy; 403 if it is false or cannot be
        /// evaluated. Variables: `claims` (claim type → first value), `claim_values` (claim type → list), `scopes` (list),
        /// `path` (placeholder → value), `method`, `headers` (lowercase name → value) and `client` (address). At most 4096
        /// bytes. Default: none.
        #[serde(rename = "RouteClaimsExpression")]
        pub claims_expression: Setting<String>,
        /// Claim type → the source of its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddClaimsToRequest")]
        pub add_claims: StringList,
        /// Request header name → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddHeadersToRequest")]
        pub add_headers: StringList,
        /// Query parameter → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddQueriesToRequest")]
        pub add_queries: StringList,
        /// Placeholder of `DownstreamPathTemplate` → the claim that replaces its value. Default: `{}`. Source: Ocelot,
        /// Claims Transformation.
        #[serde(rename = "ChangeDownstreamPathTemplate")]
        pub path_claims: StringList,
        /// Header name → how the request header is changed before the request is sent to the backend: `value` sets it,
        /// `find,replace` edits it, `null` removes it; an object is the long form. `{placeholders}` of the route are
        /// replaced. Default: `{}`. Source: Ocelot, Headers Transformation.
        #[serde(rename = "UpstreamHeaderTransform")]
        pub request_headers: HeaderEditMap,
        /// Header name → how the response header is changed before the response is sent to the client: `value` adds it if
        /// the backend did not send it (and sets `Content-...` headers), `find,replace` edits it, `null` removes it; an
        /// object is the long form. Error responses of the gateway are not changed. Default: `{}`. Source: Ocelot, Headers
        /// Transformation.
        #[serde(rename = "DownstreamHeaderTransform")]
        pub response_headers: HeaderEditMap,
        /// Legacy name of `CacheOptions`; takes precedence if both are present. Source: Ocelot, Caching.
        #[serde(rename = "FileCacheOptions")]
        pub old_cache: BoxedSetting<CacheOptions>,
        /// The request header that carries the remaining milliseconds of `Timeout` to the backend; `grpc-timeout` is
        /// written in the format of gRPC. Routes inherit the global value. Default: none.
        pub deadline_header: Setting<String>,
        /// Time limit for the start of the backend's response, all attempts included: whole seconds, or a duration such as
        /// `"1s"`. Routes inherit the global value. Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
        pub timeout: Setting<DurationSetting>,
        /// Whether every certificate of the backend is accepted, without verification. Default: false. Source: Ocelot,
        /// Configuration.
        #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
        pub accept_any_certificate: Setting<bool>,
        /// Names of the custom stages that the route runs, in this order. Default: `[]`. Source: Ocelot, Delegating
        /// Handlers.
        #[serde(rename = "DelegatingHandlers")]
        pub handlers: List<String>,
        /// Settings of the custom stages named in `DelegatingHandlers`: stage name → object. Default: `{}`, the defaults of
        /// each stage. Source: margay, docs/custom-stages.md.
        pub handler_settings: Setting<StageSettings>,
        /// The header that carries the request id. Routes inherit the global value. Default: none. Source: Ocelot, Logging.
        pub request_id_key: Setting<String>,
        /// Free key-value pairs for custom stages. Routes inherit global entries, key by key. Default: `{}`. Source:
        /// Ocelot, Metadata (since 23.3).
        pub metadata: StringList,
        /// Names of policy files whose options are applied; later ones override earlier ones, and the document's own
        /// settings override all of them. Default: `[]`.
        pub policies: List<String>,
        /// Whether the `Host` field of the client is sent to the backend instead of the backend's own host. Routes inherit
        /// the global value. Default: false.
        pub preserve_host: Setting<bool>,
    }
}

/// One endpoint of a backend.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostAndPort {
    /// A host name or IP address, without scheme and port; or a Unix domain socket: `unix:/run/app.sock` (relative
    /// paths are resolved against the configuration file), `unix:@name` for a name in the abstract namespace. Required.
    pub host: Setting<String>,
    /// The port, 1 to 65535; not used with a Unix domain socket. Default: 0, the port of the incoming request.
    pub port: Setting<i32>,
    /// Load-balancing weight: an endpoint of weight 2 gets twice as many requests as one of weight 1. 1 to 1000. Not
    /// used by `NoLoadBalancer`. Default: 1.
    pub weight: Setting<i64>,
}

document! { dynamic:
    /// Options for one discovered service that has no route of its own. Settings that are absent are inherited from the
    /// policies, then from `GlobalConfiguration`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct DynamicRouteDocument {
        /// The discovered service that these options apply to. Required. Source: Ocelot, Service Discovery.
        pub service_name: Setting<String>,
        /// The namespace of the service. Default: any. Source: Ocelot, Service Discovery.
        pub service_namespace: Setting<String>,
        /// The name by which the `RouteKeys` of global options reference it. Default: none. Source: Ocelot, Configuration.
        pub key: Setting<String>,
        /// `http`, `https`, `ws` or `wss`. Default: the global one. Source: Ocelot, Service Discovery.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        /// The HTTP version of requests to the service, such as `1.1` or `2.0`. Default: the global one. Source: Ocelot,
        /// Routing.
        #[serde(rename = "DownstreamHttpVersion")]
        pub http_version: Setting<String>,
        /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`. Default: the global one. Source:
        /// Ocelot, Routing (since 23.3).
        #[serde(rename = "DownstreamHttpVersionPolicy")]
        pub http_version_policy: Setting<String>,
        /// Legacy name of `RateLimitOptions`; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        #[serde(rename = "RateLimitRule")]
        pub old_rate_limit: BoxedSetting<RateLimitOptions>,
        /// Time limit for the start of the backend's response, all attempts included: whole seconds, or a duration such as
        /// `"1s"`. Routes inherit the global value. Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
        pub timeout: Setting<DurationSetting>,
        /// Free key-value pairs for custom stages. Routes inherit global entries, key by key. Default: `{}`. Source:
        /// Ocelot, Metadata (since 23.3).
        pub metadata: StringList,
        /// Names of policy files whose options are applied; later ones override earlier ones, and the document's own
        /// settings override all of them. Default: `[]`.
        pub policies: List<String>,
    }
}

impl RouteDocument {
    /// Moves options under legacy names to the current ones; the legacy name takes precedence.
    pub(super) fn fold_old_names(&mut self) {
        self.cache = self.old_cache.take().or(self.cache.take());
    }
}

impl DynamicRouteDocument {
    /// Moves options under legacy names to the current ones; the legacy name takes precedence.
    pub(super) fn fold_old_names(&mut self) {
        self.rate_limit = self.old_rate_limit.take().or(self.rate_limit.take());
    }
}
