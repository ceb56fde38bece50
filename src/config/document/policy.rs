//! A policy file: the part of a route that can be taken over by name.

use super::headers::HeaderEdits;
use super::nested::SecurityOptions;
use super::options::*;
use super::values::{BoxedSetting, DurationSetting, List, ListMap, ScalarText, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// A policy: options that routes, dynamic routes and `GlobalConfiguration` take over by its name. Never templates,
/// methods, hosts, `Key` or `Compatibility`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PolicyDocument {
    /// The JSON Schema this file follows; only editors read it.
    #[serde(rename = "$schema")]
    pub schema: Setting<String>,
    /// How one of several addresses is chosen.
    #[serde(rename = "LoadBalancerOptions")]
    pub load_balancer: BoxedSetting<LoadBalancerOptions>,
    /// Which of several addresses are well enough to be asked.
    #[serde(rename = "HealthCheckOptions")]
    pub health: BoxedSetting<HealthCheckOptions>,
    /// Who may call.
    #[serde(rename = "AuthenticationOptions")]
    pub authentication: BoxedSetting<AuthenticationOptions>,
    /// Claim type → value, or list of values of which one is enough, that the caller must carry; all of them.
    #[serde(rename = "RouteClaimsRequirement")]
    pub claims_required: ListMap,
    /// A condition in CEL that must hold for the caller.
    #[serde(rename = "RouteClaimsExpression")]
    pub claims_expression: Setting<String>,
    /// Claim type → where its value comes from.
    #[serde(rename = "AddClaimsToRequest")]
    pub add_claims: StringList,
    /// Header name → the claim that becomes its value.
    #[serde(rename = "AddHeadersToRequest")]
    pub add_headers: StringList,
    /// Query parameter → the claim that becomes its value.
    #[serde(rename = "AddQueriesToRequest")]
    pub add_queries: StringList,
    /// Header name → what is set, or found and replaced, on the way to the service.
    #[serde(rename = "UpstreamHeaderTransform")]
    pub request_headers: HeaderEdits,
    /// Header name → what is added, or found and replaced, on the way to the client.
    #[serde(rename = "DownstreamHeaderTransform")]
    pub response_headers: HeaderEdits,
    /// How long answers are kept.
    #[serde(rename = "CacheOptions")]
    pub cache: BoxedSetting<CacheOptions>,
    /// How often one client may call.
    #[serde(rename = "RateLimitOptions")]
    pub rate_limit: BoxedSetting<RateLimitOptions>,
    /// How many requests are under way at one time.
    #[serde(rename = "ConcurrencyLimitOptions")]
    pub concurrency: BoxedSetting<ConcurrencyLimitOptions>,
    /// Which web pages may read the answers.
    #[serde(rename = "CorsOptions")]
    pub cors: BoxedSetting<CorsOptions>,
    /// Which answers are compressed, for clients that take it. Default: none.
    #[serde(rename = "CompressionOptions")]
    pub compression: BoxedSetting<CompressionOptions>,
    /// The sizes of a request that the route takes.
    #[serde(rename = "RequestSizeOptions")]
    pub request_size: BoxedSetting<RequestSizeOptions>,
    /// Circuit breaker and time limit.
    #[serde(rename = "QoSOptions")]
    pub qos: BoxedSetting<QosOptions>,
    /// Which attempts are made again.
    #[serde(rename = "RetryOptions")]
    pub retry: BoxedSetting<RetryOptions>,
    /// The header in which the service learns how many milliseconds are left of `Timeout`.
    pub deadline_header: Setting<String>,
    /// What is answered when all attempts failed. Default: what went wrong.
    #[serde(rename = "FallbackOptions")]
    pub fallback: BoxedSetting<FallbackOptions>,
    /// How long the service may take to begin its answer: whole seconds, or a duration such as `"1s"`.
    pub timeout: Setting<DurationSetting>,
    /// Settings of the client that calls the service.
    #[serde(rename = "HttpHandlerOptions")]
    pub http_handler: BoxedSetting<HttpHandlerOptions>,
    /// How the service is spoken to over TLS.
    #[serde(rename = "TlsOptions")]
    pub tls: BoxedSetting<TlsOptions>,
    /// Whether any certificate of the service is accepted.
    #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
    pub accept_any_certificate: Setting<bool>,
    /// Names of stages of your own.
    #[serde(rename = "DelegatingHandlers")]
    pub handlers: List<String>,
    /// Settings of the stages of your own.
    pub handler_settings: Setting<ScalarText>,
    /// The header that carries the request id.
    pub request_id_key: Setting<String>,
    /// Client addresses that are let in or kept out.
    #[serde(rename = "SecurityOptions")]
    pub security: BoxedSetting<SecurityOptions>,
    /// Free texts about the route.
    pub metadata: StringList,
    /// Whether the service sees the Host field of the client.
    pub preserve_host: Setting<bool>,
}
