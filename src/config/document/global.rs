//! `GlobalConfiguration`.

use super::discovery::DiscoveryDocument;
use super::headers::HeaderEdits;
use super::nested::SecurityOptions;
use super::options::*;
use super::values::{BoxedSetting, DurationSetting, List, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options that hold for every route, unless the route says otherwise. The groups with `RouteKeys` hold only for the
/// routes whose `Key` is listed there; without it, for all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct GlobalDocument {
    /// The public address of the gateway, for `{BaseUrl}`. Default: `http://localhost:5000`.
    /// Source: Ocelot, Configuration.
    pub base_url: Setting<String>,
    /// `"Ocelot"`: statuses, error bodies and leniency exactly as Ocelot 25. Default: margay's own.
    pub compatibility: Setting<String>,
    /// The header that carries the request id. Default: none. Source: Ocelot, Logging.
    pub request_id_key: Setting<String>,
    /// Who may call. Default: everyone. Source: Ocelot, Authentication.
    #[serde(rename = "AuthenticationOptions")]
    pub authentication: Setting<GlobalAuthenticationOptions>,
    /// How long answers are kept. Default: not at all. Source: Ocelot, Caching.
    #[serde(rename = "CacheOptions")]
    pub cache: Setting<GlobalCacheOptions>,
    /// Settings of the clients that call services. Source: Ocelot, Configuration.
    #[serde(rename = "HttpHandlerOptions")]
    pub http_handler: Setting<GlobalHttpHandlerOptions>,
    /// How services are spoken to over TLS. Default: as the system trusts.
    #[serde(rename = "TlsOptions")]
    pub tls: Setting<GlobalTlsOptions>,
    /// How one of several addresses is chosen. Default: always the first. Source: Ocelot, Load Balancer.
    #[serde(rename = "LoadBalancerOptions")]
    pub load_balancer: Setting<GlobalLoadBalancerOptions>,
    /// Which of several addresses are well enough to be asked. Default: all are.
    #[serde(rename = "HealthCheckOptions")]
    pub health: Setting<GlobalHealthCheckOptions>,
    /// Circuit breaker and time limit. Default: none. Source: Ocelot, Quality of Service.
    #[serde(rename = "QoSOptions")]
    pub qos: Setting<GlobalQosOptions>,
    /// Which attempts are made again. Default: none, but for one on a kept connection that turned out to be closed.
    #[serde(rename = "RetryOptions")]
    pub retry: Setting<GlobalRetryOptions>,
    /// The header in which services learn how many milliseconds are left of `Timeout`. Default: none.
    pub deadline_header: Setting<String>,
    /// What is answered when all attempts failed. Default: what went wrong.
    #[serde(rename = "FallbackOptions")]
    pub fallback: Setting<GlobalFallbackOptions>,
    /// How often one client may call. Default: as often as it likes. Source: Ocelot, Rate Limiting.
    #[serde(rename = "RateLimitOptions")]
    pub rate_limit: Setting<GlobalRateLimitOptions>,
    /// How many requests are under way at one time. Default: as many as come.
    #[serde(rename = "ConcurrencyLimitOptions")]
    pub concurrency: Setting<GlobalConcurrencyLimitOptions>,
    /// Which web pages may read the answers. Default: the service says.
    #[serde(rename = "CorsOptions")]
    pub cors: Setting<GlobalCorsOptions>,
    /// Which answers are compressed, for clients that take it. Default: none.
    #[serde(rename = "CompressionOptions")]
    pub compression: Setting<GlobalCompressionOptions>,
    /// The sizes of a request that a route takes. Default: those of `Limits`.
    #[serde(rename = "RequestSizeOptions")]
    pub request_size: Setting<GlobalRequestSizeOptions>,
    /// How long a service may take to begin its answer: whole seconds, or a duration such as `"1s"`.
    /// Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
    pub timeout: Setting<DurationSetting>,
    /// Header name → what is set, or found and replaced, on the way to the service. Default: `{}`.
    /// Source: Ocelot, Headers Transformation (since 24.1).
    #[serde(rename = "UpstreamHeaderTransform")]
    pub request_headers: HeaderEdits,
    /// Header name → what is added, or found and replaced, on the way to the client. Default: `{}`.
    /// Source: Ocelot, Headers Transformation (since 24.1).
    #[serde(rename = "DownstreamHeaderTransform")]
    pub response_headers: HeaderEdits,
    /// Client addresses that are let in or kept out, for routes without lists of their own. Default: all are let in.
    /// Source: Ocelot, Security (since 23.4.1).
    #[serde(rename = "SecurityOptions")]
    pub security: BoxedSetting<SecurityOptions>,
    /// Free texts that every route has, unless it has one of the same key. Default: `{}`. Source: Ocelot, Metadata.
    pub metadata: StringList,
    /// How the texts of `Metadata` are read. Source: Ocelot, Metadata.
    pub metadata_options: Setting<MetadataOptions>,
    /// The scheme for services found by discovery without a route; routes do not take it over.
    /// Source: Ocelot, Service Discovery.
    #[serde(rename = "DownstreamScheme")]
    pub scheme: Setting<String>,
    /// The HTTP version for services found by discovery without a route. Source: Ocelot, Service Discovery.
    #[serde(rename = "DownstreamHttpVersion")]
    pub http_version: Setting<String>,
    /// How binding that version is. Source: Ocelot, Service Discovery.
    #[serde(rename = "DownstreamHttpVersionPolicy")]
    pub http_version_policy: Setting<String>,
    /// Where services are looked up. Default: nowhere. Source: Ocelot, Service Discovery.
    #[serde(rename = "ServiceDiscoveryProvider")]
    pub discovery: Setting<DiscoveryDocument>,
    /// Names of policy files whose options every route takes over; the policies of the route are stronger.
    /// Default: `[]`.
    pub policies: List<String>,
    /// Whether services see the Host field of the client instead of their own address. Default: false.
    pub preserve_host: Setting<bool>,
}

/// How the texts of `Metadata` are read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MetadataOptions {
    /// The culture in which numbers are read. Default: that of the process.
    pub current_culture: Setting<String>,
    /// The .NET `NumberStyles` in which numbers are read. Default: `Any`.
    pub number_style: Setting<String>,
    /// What separates the items of a list. Default: `[","]`.
    pub separators: List<String>,
    /// The .NET `StringSplitOptions`. Default: `None`.
    pub string_split_option: Setting<String>,
    /// The characters taken off both ends of an item. Default: `[" "]`.
    pub trim_chars: List<String>,
}
