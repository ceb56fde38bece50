//! The option objects of routes; `GlobalConfiguration` has each of them with an additional `RouteKeys`.

use super::health::{ActiveHealthDocument, PassiveHealthDocument};
use super::nested::{ConcurrencyLimitDocument, RateLimitDocument, StaticResponseDocument};
use super::values::{List, Setting};
use crate::base::units::{DurationText, SizeText};
use crate::config::Spanned;
use schemars::JsonSchema;
use serde::Deserialize;

/// Whether a value that is present counts as absent: inheritance skips it.
pub trait IsBlank {
    fn is_blank(&self) -> bool {
        false
    }
}

macro_rules! never_blank {
    ($($kind:ty),*) => {$(impl IsBlank for $kind {})*};
}
never_blank!(bool, i32, i64, f64, DurationText, SizeText, ActiveHealthDocument, PassiveHealthDocument);
impl IsBlank for String {
    fn is_blank(&self) -> bool {
        self.trim().is_empty()
    }
}
impl<T> IsBlank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

/// `own` unless it is absent or blank, else `other`.
pub fn or_inherit<T: IsBlank + Clone>(own: &Setting<T>, other: &Setting<T>) -> Setting<T> {
    match own {
        Some(Spanned { value, .. }) if !value.is_blank() => own.clone(),
        _ => other.clone().or_else(|| own.clone()),
    }
}

/// An option object of routes; `GlobalConfiguration` has the same object with an additional `RouteKeys`.
pub trait Options: Default + Clone {
    /// Whether no setting is present: `{}` counts as absent.
    fn is_empty(&self) -> bool;
    /// Property by property: the own value, or that of `base` if the own one is absent or blank.
    fn inherit_from(&self, base: &Self) -> Self;
}

/// The global form of [`Options`].
pub trait GlobalOptions {
    type Options: Options;
    /// The options without `RouteKeys`.
    fn options(&self) -> Self::Options;
    /// The `Key`s of the routes that these options apply to. Default: `[]`, every route. Source: Ocelot, Configuration
    /// (since 24.1).
    fn route_keys(&self) -> &List<String>;
}

/// Writes an option object in both its forms, with the property-by-property merge.
macro_rules! option_objects {
    ($($(#[$meta:meta])* $name:ident, $global:ident {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $global {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// The keys of the routes that the options apply to; absent or empty: all routes.
            pub route_keys: List<String>,
        }

        impl Options for $name {
            fn is_empty(&self) -> bool {
                true $(&& self.$field.is_none())*
            }
            fn inherit_from(&self, base: &Self) -> Self {
                $name { $($field: or_inherit(&self.$field, &base.$field),)* }
            }
        }

        impl GlobalOptions for $global {
            type Options = $name;
            fn options(&self) -> $name {
                $name { $($field: self.$field.clone(),)* }
            }
            fn route_keys(&self) -> &List<String> {
                &self.route_keys
            }
        }
    )*};
}

mod answers;

pub use answers::*;

option_objects! {
    /// Authentication: which callers are accepted.
    AuthenticationOptions, GlobalAuthenticationOptions {
        /// Whether anonymous callers are accepted, regardless of all other authentication settings. Default: false.
        /// Source: Ocelot, Authentication (since 24.1).
        allow_anonymous: Setting<bool>,
        /// Scopes, of which the caller must have at least one. Default: `[]`, no scope is required. Source: Ocelot,
        /// Authentication.
        allowed_scopes: List<String>,
        /// Legacy form of `AuthenticationProviderKeys`: one scheme, which is tried first. Source: Ocelot,
        /// Authentication.
        authentication_provider_key: Setting<String>,
        /// Names of `AuthenticationSchemes`, tried in this order. Default: `[]`. Source: Ocelot, Authentication (since
        /// 23.0).
        authentication_provider_keys: List<String>,
    }

    /// Response caching.
    CacheOptions, GlobalCacheOptions {
        /// Lifetime of a cached response in seconds; in mode `Http` only of responses without an explicit lifetime.
        /// Default: 0, no caching; in mode `Http` a tenth of the time since `Last-Modified`, at most one day. Source:
        /// Ocelot, Caching.
        ttl_seconds: Setting<i32>,
        /// The cache region: a name under which responses can be purged together. Default: a separate region for each
        /// route. Source: Ocelot, Caching.
        region: Setting<String>,
        /// The request header whose value is part of the cache key. Default: `OC-Cache-Control`; none in mode `Http`.
        /// Source: Ocelot, Caching.
        header: Setting<String>,
        /// Whether the request body is part of the cache key. Default: false. Source: Ocelot, Caching (since 23.3).
        enable_content_hashing: Setting<bool>,
        /// `Ocelot`: responses are cached for `TtlSeconds`, regardless of their headers; `Http`: HTTP caching (RFC
        /// 9111), controlled by the headers of the response; `Off`: no caching. Default: `Ocelot`.
        mode: Setting<String>,
        /// Methods whose responses are cached. Default: `["GET", "HEAD"]`; all methods under `"Compatibility":
        /// "Ocelot"`.
        methods: List<String>,
        /// Response statuses that are cached, 200 to 599. Default: those that RFC 9111 allows in mode `Http`, else 200
        /// to 299; every status under `"Compatibility": "Ocelot"`.
        status_codes: List<i32>,
        /// Query parameters that are part of the cache key; `*` is the whole query. Default: `["*"]`.
        vary_by_query: List<String>,
        /// Request header fields that are part of the cache key. Default: `[]`.
        vary_by_header: List<String>,
        /// Claims of the caller that are part of the cache key, instead of the caller's whole identity. Default: `[]`.
        vary_by_claim: List<String>,
        /// Whether each caller has its own cache entries. Default: true; false if `VaryByClaim` is set, or under
        /// `"Compatibility": "Ocelot"`.
        vary_by_identity: Setting<bool>,
        /// Mode `Http`: how long a stale response may be served while it is revalidated in the background. 0s to 365d.
        /// Default: `0s`. Source: RFC 5861.
        stale_while_revalidate: Setting<DurationText>,
        /// Mode `Http`: how long a stale response may be served instead of an error. 0s to 365d. Default: `0s`. Source:
        /// RFC 5861.
        stale_if_error: Setting<DurationText>,
        /// Mode `Http`: lifetime of responses with status 404, 405, 410, 414 or 501 without an explicit lifetime. 0s to
        /// 365d. Default: not cached.
        negative_ttl: Setting<DurationText>,
        /// Request coalescing: whether concurrent requests for the same cache entry share one backend request. Default:
        /// true; false under `"Compatibility": "Ocelot"`.
        collapse: Setting<bool>,
        /// Whether `Set-Cookie` fields are stored and served to all callers. Default: false; true under
        /// `"Compatibility": "Ocelot"`.
        store_cookies: Setting<bool>,
    }

    /// Load balancing: how an endpoint is selected for each request.
    LoadBalancerOptions, GlobalLoadBalancerOptions {
        /// The load balancer, case-sensitive: `NoLoadBalancer`, `RoundRobin` (weighted), `LeastConnection` or
        /// `CookieStickySessions`; margay's own: `LeastRequest` (power of two choices: the less loaded of two random
        /// endpoints), `PeakEwma` (of two random endpoints the one with the lower latency and load), `Random` and
        /// `ConsistentHash`. Default: `NoLoadBalancer`, always the first endpoint. Source: Ocelot, Load Balancer.
        #[serde(rename = "Type")]
        kind: Setting<String>,
        /// The cookie of sticky sessions. Default: `.AspNetCore.Session`; with `SetCookie` `MargayEndpoint`. Source:
        /// Ocelot, Load Balancer.
        key: Setting<String>,
        /// Milliseconds after which an unused sticky session expires. Default: 1200000. With `SetCookie`: the lifetime
        /// of the cookie; default: until the browser is closed. Source: Ocelot, Load Balancer.
        expiry: Setting<i32>,
        /// CookieStickySessions. Whether the gateway sets the cookie itself, with the endpoint as its value: no session
        /// state is stored, and every gateway with the same endpoints accepts the cookie. Default: false.
        set_cookie: Setting<bool>,
        /// ConsistentHash. The hash key: requests with equal keys go to the same endpoint. `IP`, `Header:NAME`,
        /// `Cookie:NAME` or `Path:PLACEHOLDER`; a request without the value is hashed by its client address. Default:
        /// `IP`.
        hash_on: Setting<String>,
    }

    /// Health checks: which endpoints are eligible for requests.
    HealthCheckOptions, GlobalHealthCheckOptions {
        /// Active health checks: probes every endpoint periodically. Default: off.
        active: Setting<ActiveHealthDocument>,
        /// Outlier detection: temporarily ejects an endpoint after failed requests. Default: off.
        passive: Setting<PassiveHealthDocument>,
        /// Panic threshold: below this percentage of healthy endpoints, health is ignored and all endpoints are used. 0
        /// to 100. Default: 0, never; with no healthy endpoint the response is 503 `backend.no_endpoint`.
        panic_threshold: Setting<i32>,
    }

    /// Circuit breaker and timeout.
    QosOptions, GlobalQosOptions {
        /// Consecutive failures that open the circuit; with `FailureRatio` the minimum number of calls in the sampling
        /// window. Default: none, no circuit breaker. Source: Ocelot, Quality of Service.
        minimum_throughput: Setting<i32>,
        /// Legacy name of `MinimumThroughput`; takes precedence if both are present. Source: Ocelot, Quality of
        /// Service.
        exceptions_allowed_before_breaking: Setting<i32>,
        /// Milliseconds for which an open circuit rejects requests, before one trial request is admitted (half-open).
        /// Default: 5000. Source: Ocelot, Quality of Service.
        break_duration: Setting<i32>,
        /// Legacy name of `BreakDuration`; takes precedence if both are present. Source: Ocelot, Quality of Service.
        duration_of_break: Setting<i32>,
        /// Ratio of failed calls that opens the circuit, 0 to 1. Default: none, consecutive failures are counted.
        /// Source: Ocelot, Quality of Service (since 24.1).
        failure_ratio: Setting<f64>,
        /// The sampling window of `FailureRatio` in milliseconds. Default: 10000. Source: Ocelot, Quality of Service
        /// (since 24.1).
        sampling_duration: Setting<i32>,
        /// Timeout of one call in milliseconds. Default: none. Source: Ocelot, Quality of Service.
        timeout: Setting<i32>,
        /// Legacy name of `Timeout`; takes precedence if both are present. Source: Ocelot, Quality of Service.
        timeout_value: Setting<i32>,
        /// What one circuit protects: the `Route`, or each `Endpoint` of its cluster; an endpoint with an open circuit
        /// is not selected. Default: `Route`.
        scope: Setting<String>,
    }

    /// Retries: which failed attempts are retried, each on another endpoint if there is one.
    RetryOptions, GlobalRetryOptions {
        /// Whether failed attempts are retried. Default: true once any option is set.
        enable_retry: Setting<bool>,
        /// Maximum number of attempts, including the first. 1 to 10. Default: 3.
        attempts: Setting<i64>,
        /// Failures that are retried: any of `Connect` (no connection), `Reset` (connection closed before the response)
        /// and `Timeout` (no response within `PerTryTimeout` or the `Timeout` of `QoSOptions`). Default: all three.
        on: List<String>,
        /// Response statuses that are retried, 400 to 599. Default: `[502, 503, 504]`.
        on_status: List<i32>,
        /// gRPC status codes that are retried, by name or number, if the response carries them in its header fields.
        /// Default: `[]`. Source: gRPC, Status codes.
        on_grpc_status: List<String>,
        /// Methods that may be retried. Default: the idempotent methods GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
        /// Source: RFC 9110, 9.2.2.
        methods: List<String>,
        /// Timeout of one attempt, including connecting. 1ms to 1h, less than `Timeout`. Default: none, `Timeout`
        /// applies to all attempts together.
        per_try_timeout: Setting<DurationText>,
        /// Base of the exponential backoff with full jitter: attempt *n* waits a random time up to `MinBackoff ·
        /// 2^(n−2)`, capped by `MaxBackoff`. 0s to 1m. Default: `25ms`.
        min_backoff: Setting<DurationText>,
        /// Upper bound of the backoff. 0s to 1m. Default: `1s`.
        max_backoff: Setting<DurationText>,
        /// Whether the backoff is at least the `Retry-After` of the response; if that is longer than the remaining time
        /// of `Timeout`, the response is passed to the client. Default: true. Source: RFC 9110, 10.2.3.
        honour_retry_after: Setting<bool>,
        /// Maximum size of a request body that is buffered for retries; requests with larger bodies are sent once. 0B
        /// to 16MiB. Default: `64KiB`.
        max_replay_size: Setting<SizeText>,
        /// Retry budget: whether the retries within ten seconds are limited to a ratio of the requests to the cluster.
        /// Default: true.
        enable_budget: Setting<bool>,
        /// Ratio of retries to requests that the budget allows. 0 to 10. Default: 0.2.
        budget_ratio: Setting<f64>,
        /// Retries within ten seconds that are allowed regardless of the ratio. 0 or more. Default: 10.
        budget_minimum: Setting<i64>,
    }

    /// Fallback: the response when all attempts failed, from another cluster or static.
    FallbackOptions, GlobalFallbackOptions {
        /// Whether there is a fallback. Default: true once any option is set.
        enable_fallback: Setting<bool>,
        /// Failures that the fallback applies to: any of `Connect`, `Reset`, `Timeout`, `Malformed` (invalid HTTP
        /// response), `Breaker` (the circuit is open), `NoEndpoint` and `Busy` (the connection limit is reached).
        /// Default: all of them.
        on: List<String>,
        /// Response statuses that the fallback applies to, 400 to 599. Default: `[]`.
        on_status: List<i32>,
        /// The name of one of `Clusters`, to which the request is sent once, within the remaining time of `Timeout`.
        /// Requires a request body that can be replayed.
        cluster: Setting<String>,
        /// A static response; together with `Cluster` it is the response if that cluster fails too.
        reply: Setting<StaticResponseDocument>,
    }

    /// Rate limiting: how many calls a client may make in a period.
    RateLimitOptions, GlobalRateLimitOptions {
        /// Whether the limit is enabled. Default: true once any option is set. Source: Ocelot, Rate Limiting.
        enable_rate_limiting: Setting<bool>,
        /// The request header that identifies the client. Default: `Oc-Client`. Source: Ocelot, Rate Limiting.
        client_id_header: Setting<String>,
        /// Identifiers of clients that are exempt from the limit. Default: `[]`. Source: Ocelot, Rate Limiting.
        client_whitelist: List<String>,
        /// Whether responses carry `X-RateLimit-*` and `Retry-After`. Default: true. Source: Ocelot, Rate Limiting.
        enable_headers: Setting<bool>,
        /// Legacy, negated form of `EnableHeaders`; takes precedence if both are present. Source: Ocelot, Rate
        /// Limiting.
        disable_rate_limit_headers: Setting<bool>,
        /// Calls allowed in one period. Default: 0. Source: Ocelot, Rate Limiting.
        limit: Setting<i64>,
        /// The period: a number with unit `ms`, `s`, `m`, `h` or `d`. Default: `1s`. Source: Ocelot, Rate Limiting.
        period: Setting<String>,
        /// How long a client that exceeded the limit is blocked. Default: `0ms`, until the period ends. Source: Ocelot,
        /// Rate Limiting (since 24.1).
        wait: Setting<String>,
        /// Legacy form of `Wait`, in seconds; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        period_timespan: Setting<f64>,
        /// The status of rejected requests. Default: 429. Source: Ocelot, Rate Limiting.
        status_code: Setting<i32>,
        /// Legacy name of `StatusCode`; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        http_status_code: Setting<i32>,
        /// The body of the response to rejected requests; `{0}` is the limit, `{1}` the period. Source: Ocelot, Rate
        /// Limiting.
        quota_message: Setting<String>,
        /// Legacy name of `QuotaMessage`; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        quota_exceeded_message: Setting<String>,
        /// Prefix of the counter keys. Default: `Ocelot.RateLimiting`. Source: Ocelot, Rate Limiting.
        key_prefix: Setting<String>,
        /// Legacy name of `KeyPrefix`; takes precedence if both are present. Source: Ocelot, Rate Limiting.
        rate_limit_counter_prefix: Setting<String>,
        /// `FixedWindow`: `Limit` calls per period, then the client is blocked for `Wait`; `TokenBucket`: tokens are
        /// refilled evenly over the period, up to `Burst`. Default: `FixedWindow`.
        algorithm: Setting<String>,
        /// The capacity of the token bucket: calls that may arrive at once. Default: `Limit`.
        burst: Setting<i64>,
        /// What has a separate counter: any of `ClientId`, `IP` (IPv6 by its first 64 bits), `Claim:TYPE`,
        /// `Header:NAME` and `Route`. Without `Route`, all routes with the same limit share counters; with a claim, the
        /// limit is checked after authentication. Default: `["ClientId", "Route"]`.
        partition_by: List<String>,
        /// Several limits, all of which must allow the call; each inherits absent settings from the surrounding
        /// options. A `Limit` next to the list is one of them. Default: `[]`.
        limits: List<RateLimitDocument>,
    }

    /// Concurrency limit: how many requests may be in flight; beyond it requests are queued, or rejected with 503
    /// `limit.concurrency`.
    ConcurrencyLimitOptions, GlobalConcurrencyLimitOptions {
        /// Whether the limit is enabled. Default: true once any option is set.
        enable_concurrency_limit: Setting<bool>,
        /// Concurrent requests, from the request head to the last byte of the response. 1 or more. Required, unless
        /// `Limits` has entries.
        limit: Setting<i64>,
        /// Requests that may wait in the queue. Default: 0.
        queue_limit: Setting<i64>,
        /// How long a request may wait in the queue; then 503 `limit.queue_timeout`. 1ms to 10m. Default: `1s`.
        queue_timeout: Setting<DurationText>,
        /// What has a separate limit: any of `IP`, `Claim:TYPE`, `Header:NAME` and `Route`. Without `Route`, all routes
        /// with the same limit share it. Default: `["Route"]`.
        partition_by: List<String>,
        /// Several limits, such as one for the route and one for each client; each inherits absent settings from the
        /// surrounding options. A `Limit` next to the list is one of them. Default: `[]`.
        limits: List<ConcurrencyLimitDocument>,
    }

    /// Request size limits of a route; they may be lower than `Limits`, not higher.
    RequestSizeOptions, GlobalRequestSizeOptions {
        /// Maximum size of the body; beyond it 413. Default: that of `Limits`.
        max_request_body_size: Setting<SizeText>,
        /// Maximum size of all header fields together; beyond it 431. Default: that of `Limits`.
        max_request_headers_total_size: Setting<SizeText>,
        /// Maximum number of header fields; beyond it 431. 1 or more. Default: that of `Limits`.
        max_request_header_count: Setting<i64>,
    }

    /// TLS connections to the backend. File names are relative to the file that contains them; the files are watched,
    /// and changes are applied.
    TlsOptions, GlobalTlsOptions {
        /// A PEM file with the trusted certificate authorities. Default: those of the system.
        ca_file: Setting<String>,
        /// A PEM file with the client certificate that the gateway presents, followed by the intermediate certificates;
        /// requires `KeyFile`. Default: none.
        certificate_file: Setting<String>,
        /// A PEM file with the private key of the client certificate: PKCS#8, SEC1 or PKCS#1.
        key_file: Setting<String>,
        /// The server name that is sent (SNI) and that the certificate of the backend must contain. Default: the host.
        server_name: Setting<String>,
    }

    /// Connections to the backend: pool size, lifetime and PROXY protocol.
    HttpHandlerOptions, GlobalHttpHandlerOptions {
        /// Whether redirects are followed. Default: false. Source: Ocelot, Configuration.
        allow_auto_redirect: Setting<bool>,
        /// Maximum number of connections to one endpoint, across all workers and including idle ones; requests over the
        /// limit are queued. Default: no limit; 0 and negative values also mean no limit. Source: Ocelot,
        /// Configuration.
        max_connections_per_server: Setting<i32>,
        /// Requests that may wait for one of these connections; beyond it 503 `backend.connection_limit`. 0 or more.
        /// Default: 1024.
        connection_queue_limit: Setting<i64>,
        /// How long a request may wait for a connection; then 503 `backend.connection_limit`. 1ms to 10m. Default: the
        /// remaining time of `Timeout`.
        connection_queue_timeout: Setting<DurationText>,
        /// Maximum age in seconds at which a connection is reused; 0: every connection serves one request. Default:
        /// 120. Source: Ocelot, Configuration.
        pooled_connection_lifetime_seconds: Setting<i32>,
        /// The PROXY protocol header that carries the client's address to the backend: `V1`, `V2` or `None`. With it, a
        /// connection serves one client only. Default: `None`. Source: HAProxy, PROXY protocol versions 1 and 2.
        proxy_protocol: Setting<String>,
        /// Whether cookies of the backend are stored, for all clients together. Default: false. Source: Ocelot,
        /// Configuration.
        use_cookie_container: Setting<bool>,
        /// Whether the proxy of the system is used. Default: false. Source: Ocelot, Configuration.
        use_proxy: Setting<bool>,
        /// Whether calls are traced. Default: false. Source: Ocelot, Tracing.
        use_tracing: Setting<bool>,
    }
}
