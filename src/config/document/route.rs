//! `Routes[]` and `DynamicRoutes[]`.

use super::headers::HeaderEdits;
use super::nested::SecurityOptions;
use super::options::*;
use super::values::{BoxedSetting, DurationSetting, List, ListMap, ScalarText, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// A route: which requests it takes, where they go, and what happens on the way.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteDocument {
    /// The path that clients ask for, with `{placeholders}`, and a query template if it contains `?`. Required.
    /// Source: Ocelot, Routing.
    #[serde(rename = "UpstreamPathTemplate")]
    pub client_path: Setting<String>,
    /// The methods the route takes, without regard to case. Default: `[]`, every method. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHttpMethod")]
    pub methods: List<String>,
    /// The value of the Host field, without port and with regard to case, that the route asks for. Default: any.
    /// Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHost")]
    pub host: Setting<String>,
    /// Header name → template with `{header:name}` placeholders; all must match. Default: `{}`.
    /// Source: Ocelot, Routing (since 23.3).
    #[serde(rename = "UpstreamHeaderTemplates")]
    pub header_templates: StringList,
    /// The names of the listeners that it answers on; one without a `Name` is called by its address. Default: all.
    pub listeners: List<String>,
    /// Whether the path and the header templates are matched with regard to case. Default: false.
    /// Source: Ocelot, Routing.
    #[serde(rename = "RouteIsCaseSensitive")]
    pub case_sensitive: Setting<bool>,
    /// Higher is tried first; within one priority the order of the file decides; `/{anything}` is always 0.
    /// Default: 1. Source: Ocelot, Routing.
    pub priority: Setting<i32>,
    /// The path that the service is asked for; may hold `{placeholders}` and a query. Required.
    /// Source: Ocelot, Routing.
    #[serde(rename = "DownstreamPathTemplate")]
    pub backend_path: Setting<String>,
    /// `http`, `https`, `ws` or `wss`. Default: the scheme of the incoming request. Source: Ocelot, Routing.
    #[serde(rename = "DownstreamScheme")]
    pub scheme: Setting<String>,
    /// The addresses of the service. Required, unless `ServiceName` or `DownstreamCluster` is set.
    /// Source: Ocelot, Routing.
    #[serde(rename = "DownstreamHostAndPorts")]
    pub endpoints: List<HostAndPort>,
    /// The name of one of `Clusters`, where the requests go: instead of addresses and of options of its own about them.
    /// Default: none.
    #[serde(rename = "DownstreamCluster")]
    pub cluster: Setting<String>,
    /// The method that the service is asked with. Default: the method of the request.
    /// Source: Ocelot, Method Transformation.
    #[serde(rename = "DownstreamHttpMethod")]
    pub backend_method: Setting<String>,
    /// The HTTP version spoken with the service, such as `1.1` or `2.0`. Default: `1.1`. Source: Ocelot, Routing.
    #[serde(rename = "DownstreamHttpVersion")]
    pub http_version: Setting<String>,
    /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`. Default: `RequestVersionOrLower`.
    /// Source: Ocelot, Routing (since 23.3).
    #[serde(rename = "DownstreamHttpVersionPolicy")]
    pub http_version_policy: Setting<String>,
    /// A name for the route, by which aggregates and the `RouteKeys` of global options find it. Default: none.
    /// Source: Ocelot, Aggregation.
    pub key: Setting<String>,
    /// The name under which discovery knows the service; replaces `DownstreamHostAndPorts`. Default: none.
    /// Source: Ocelot, Service Discovery.
    pub service_name: Setting<String>,
    /// The namespace of the service in Kubernetes. Default: that of the provider. Source: Ocelot, Kubernetes.
    pub service_namespace: Setting<String>,
    /// How one of several addresses is chosen. Default: always the first. Source: Ocelot, Load Balancer.
    #[serde(rename = "LoadBalancerOptions")]
    pub load_balancer: BoxedSetting<LoadBalancerOptions>,
    /// Which of several addresses are well enough to be asked. Default: all are.
    #[serde(rename = "HealthCheckOptions")]
    pub health: BoxedSetting<HealthCheckOptions>,
    /// Who may call. Default: everyone. Source: Ocelot, Authentication.
    #[serde(rename = "AuthenticationOptions")]
    pub authentication: BoxedSetting<AuthenticationOptions>,
    /// Claim type → value that the caller must carry, or a list of values of which one is enough; all claims are asked
    /// for. `"{name}"` is the value of the placeholder. Default: `{}`. Source: Ocelot, Authorization.
    #[serde(rename = "RouteClaimsRequirement")]
    pub claims_required: ListMap,
    /// A condition in CEL (Common Expression Language) that must hold for the caller; 403 if it does not, or cannot be
    /// decided. It may speak of `claims` (claim type → first value), `claim_values` (→ list), `scopes` (list), `path`
    /// (placeholder → value), `method`, `headers` (name in small letters → value) and `client` (address). At most 4096
    /// bytes. Default: none.
    #[serde(rename = "RouteClaimsExpression")]
    pub claims_expression: Setting<String>,
    /// Claim type → where its value comes from. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddClaimsToRequest")]
    pub add_claims: StringList,
    /// Header name → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddHeadersToRequest")]
    pub add_headers: StringList,
    /// Query parameter → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddQueriesToRequest")]
    pub add_queries: StringList,
    /// Placeholder of `DownstreamPathTemplate` → the claim that replaces it. Default: `{}`.
    /// Source: Ocelot, Claims Transformation.
    #[serde(rename = "ChangeDownstreamPathTemplate")]
    pub path_claims: StringList,
    /// Header name → what is done with it on the way to the service: `value` sets it, `find,replace` edits it, `null`
    /// removes it, an object says it at length. `{placeholders}` of the route may be used. Default: `{}`.
    /// Source: Ocelot, Headers Transformation.
    #[serde(rename = "UpstreamHeaderTransform")]
    pub request_headers: HeaderEdits,
    /// Header name → what is done with it on the way to the client: `value` adds it where the service did not send it
    /// (and sets `Content-...` headers), `find,replace` edits it, `null` removes it, an object says it at length.
    /// The gateway's own errors are left alone. Default: `{}`. Source: Ocelot, Headers Transformation.
    #[serde(rename = "DownstreamHeaderTransform")]
    pub response_headers: HeaderEdits,
    /// How long answers are kept. Default: not at all. Source: Ocelot, Caching.
    #[serde(rename = "CacheOptions")]
    pub cache: BoxedSetting<CacheOptions>,
    /// The old name of `CacheOptions`; wins when both are present. Source: Ocelot, Caching.
    #[serde(rename = "FileCacheOptions")]
    pub old_cache: BoxedSetting<CacheOptions>,
    /// How often one client may call. Default: as often as it likes. Source: Ocelot, Rate Limiting.
    #[serde(rename = "RateLimitOptions")]
    pub rate_limit: BoxedSetting<RateLimitOptions>,
    /// How many requests are under way at one time. Default: as many as come.
    #[serde(rename = "ConcurrencyLimitOptions")]
    pub concurrency: BoxedSetting<ConcurrencyLimitOptions>,
    /// Which web pages may read the answers. Default: the service says.
    #[serde(rename = "CorsOptions")]
    pub cors: BoxedSetting<CorsOptions>,
    /// Which answers are compressed, for clients that take it. Default: none.
    #[serde(rename = "CompressionOptions")]
    pub compression: BoxedSetting<CompressionOptions>,
    /// The sizes of a request that the route takes. Default: those of `Limits`.
    #[serde(rename = "RequestSizeOptions")]
    pub request_size: BoxedSetting<RequestSizeOptions>,
    /// Circuit breaker and time limit. Default: none. Source: Ocelot, Quality of Service.
    #[serde(rename = "QoSOptions")]
    pub qos: BoxedSetting<QosOptions>,
    /// Which attempts are made again. Default: none, but for one on a kept connection that turned out to be closed.
    #[serde(rename = "RetryOptions")]
    pub retry: BoxedSetting<RetryOptions>,
    /// The header in which the service learns how many milliseconds are left of `Timeout`; for `grpc-timeout` in the form
    /// of gRPC. Default: the global one, else none.
    pub deadline_header: Setting<String>,
    /// What is answered when all attempts failed. Default: what went wrong.
    #[serde(rename = "FallbackOptions")]
    pub fallback: BoxedSetting<FallbackOptions>,
    /// How long the service may take to begin its answer, all attempts included: whole seconds, or a duration such
    /// as `"1s"`. Default: the global one, else 90 seconds. Source: Ocelot, Configuration (since 24.1).
    pub timeout: Setting<DurationSetting>,
    /// Settings of the client that calls the service. Source: Ocelot, Configuration.
    #[serde(rename = "HttpHandlerOptions")]
    pub http_handler: BoxedSetting<HttpHandlerOptions>,
    /// How the service is spoken to over TLS. Default: as the system trusts.
    #[serde(rename = "TlsOptions")]
    pub tls: BoxedSetting<TlsOptions>,
    /// Whether any certificate of the service is accepted. Default: false. Source: Ocelot, Configuration.
    #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
    pub accept_any_certificate: Setting<bool>,
    /// Names of stages of your own that this route runs. Default: `[]`. Source: Ocelot, Delegating Handlers.
    #[serde(rename = "DelegatingHandlers")]
    pub handlers: List<String>,
    /// Settings of the stages that `DelegatingHandlers` names: an object for each. Default: `{}`, each stage's own
    /// defaults. Source: margay, docs/custom-stages.md.
    pub handler_settings: Setting<ScalarText>,
    /// The header that carries the request id. Default: the global one, else none. Source: Ocelot, Logging.
    pub request_id_key: Setting<String>,
    /// Client addresses that are let in or kept out. Default: all are let in. Source: Ocelot, Security.
    #[serde(rename = "SecurityOptions")]
    pub security: BoxedSetting<SecurityOptions>,
    /// Free texts about the route, for your own stages. Default: `{}`. Source: Ocelot, Metadata (since 23.3).
    pub metadata: StringList,
    /// Names of policy files whose options the route takes over, the later the stronger; the route itself is
    /// stronger still. Default: `[]`.
    pub policies: List<String>,
    /// Whether the service sees the Host field of the client instead of its own address. Default: the global one,
    /// else false.
    pub preserve_host: Setting<bool>,
}

/// One address of a service.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostAndPort {
    /// A host name or an address, without scheme and port; or a socket of this machine: `unix:/run/app.sock` (relative:
    /// beside the configuration file), `unix:@name` for a name that no file stands for. Required.
    pub host: Setting<String>,
    /// The port, 1 to 65535; none for a socket. Default: 0, which keeps the port of the incoming request.
    pub port: Setting<i32>,
    /// Its share beside the other addresses: one with 2 gets twice as much as one with 1. 1 to 1000. Not for
    /// `NoLoadBalancer`. Default: 1.
    pub weight: Setting<i64>,
}

/// Options for one service that is found by discovery, without a route of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DynamicRouteDocument {
    /// The service these options are for. Source: Ocelot, Service Discovery.
    pub service_name: Setting<String>,
    /// The namespace of the service. Default: any. Source: Ocelot, Service Discovery.
    pub service_namespace: Setting<String>,
    /// The name by which the `RouteKeys` of global options find it. Default: none. Source: Ocelot, Configuration.
    pub key: Setting<String>,
    /// `http`, `https`, `ws` or `wss`. Default: the global one. Source: Ocelot, Service Discovery.
    #[serde(rename = "DownstreamScheme")]
    pub scheme: Setting<String>,
    /// The HTTP version spoken with the service. Default: the global one. Source: Ocelot, Routing.
    #[serde(rename = "DownstreamHttpVersion")]
    pub http_version: Setting<String>,
    /// How binding the version is. Default: the global one. Source: Ocelot, Routing.
    #[serde(rename = "DownstreamHttpVersionPolicy")]
    pub http_version_policy: Setting<String>,
    /// Who may call. Source: Ocelot, Authentication.
    #[serde(rename = "AuthenticationOptions")]
    pub authentication: BoxedSetting<AuthenticationOptions>,
    /// How long answers are kept. Source: Ocelot, Caching.
    #[serde(rename = "CacheOptions")]
    pub cache: BoxedSetting<CacheOptions>,
    /// Which answers are compressed, for clients that take it. Default: none.
    #[serde(rename = "CompressionOptions")]
    pub compression: BoxedSetting<CompressionOptions>,
    /// Settings of the client that calls the service. Source: Ocelot, Configuration.
    #[serde(rename = "HttpHandlerOptions")]
    pub http_handler: BoxedSetting<HttpHandlerOptions>,
    /// How one of several instances is chosen. Source: Ocelot, Load Balancer.
    #[serde(rename = "LoadBalancerOptions")]
    pub load_balancer: BoxedSetting<LoadBalancerOptions>,
    /// Circuit breaker and time limit. Source: Ocelot, Quality of Service.
    #[serde(rename = "QoSOptions")]
    pub qos: BoxedSetting<QosOptions>,
    /// How often one client may call. Source: Ocelot, Rate Limiting.
    #[serde(rename = "RateLimitOptions")]
    pub rate_limit: BoxedSetting<RateLimitOptions>,
    /// The old name of `RateLimitOptions`; wins when both are present. Source: Ocelot, Rate Limiting.
    #[serde(rename = "RateLimitRule")]
    pub old_rate_limit: BoxedSetting<RateLimitOptions>,
    /// How long the service may take to begin its answer: whole seconds, or a duration. Default: the global one.
    pub timeout: Setting<DurationSetting>,
    /// Free texts about the route. Default: `{}`. Source: Ocelot, Metadata.
    pub metadata: StringList,
    /// Names of policy files whose options are taken over. Default: `[]`.
    pub policies: List<String>,
}
