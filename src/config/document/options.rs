//! The option objects of section 2 of Ocelot's vocabulary, each as it stands on a route and, with `RouteKeys`, under
//! `GlobalConfiguration`.

use super::health::{ActiveHealthDocument, PassiveHealthDocument};
use super::nested::{ConcurrencyLimitDocument, RateLimitDocument, StaticResponseDocument};
use super::values::{List, Setting};
use crate::base::units::{DurationText, SizeText};
use crate::config::Spanned;
use schemars::JsonSchema;
use serde::Deserialize;

/// Whether a value that is written says nothing all the same: inheritance looks past it.
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

/// An option object that routes have and `GlobalConfiguration` has with `RouteKeys` beside it.
pub trait Options: Default + Clone {
    /// Whether nothing is written in it: `{}` counts as absent.
    fn is_empty(&self) -> bool;
    /// Property by property: this one's value, or `base`'s where this one's is absent or blank.
    fn inherit_from(&self, base: &Self) -> Self;
}

/// The global form of [`Options`].
pub trait GlobalOptions {
    type Options: Options;
    /// The options without the group.
    fn options(&self) -> Self::Options;
    /// The keys of the routes it is for; none or an empty list: all routes.
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
            /// The `Key`s of the routes that these options are for. Default: `[]`, every route.
            /// Source: Ocelot, Configuration (since 24.1).
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
    /// Who may call.
    AuthenticationOptions, GlobalAuthenticationOptions {
        /// Whether everyone may call, whatever else is set. Default: false. Source: Ocelot, Authentication (since 24.1).
        allow_anonymous: Setting<bool>,
        /// Scopes of which the caller must have one. Default: `[]`, none is asked for. Source: Ocelot, Authentication.
        allowed_scopes: List<String>,
        /// The old form of `AuthenticationProviderKeys`; tried first. Source: Ocelot, Authentication.
        authentication_provider_key: Setting<String>,
        /// Names of `AuthenticationSchemes`, tried in this order. Default: `[]`. Source: Ocelot, Authentication (since 23.0).
        authentication_provider_keys: List<String>,
    }

    /// How long answers are kept.
    CacheOptions, GlobalCacheOptions {
        /// Seconds for which an answer is kept; with `Mode` `Http`, an answer that does not say itself. Default: 0, not at
        /// all; with `Http` a tenth of the age of the content, a day at most. Source: Ocelot, Caching.
        ttl_seconds: Setting<i32>,
        /// A name under which answers can be removed together. Default: one of its own for each route. Source: Ocelot, Caching.
        region: Setting<String>,
        /// The request header whose value is part of the key. Default: `OC-Cache-Control`; none with `Mode` `Http`.
        /// Source: Ocelot, Caching.
        header: Setting<String>,
        /// Whether the body of the request is part of the key. Default: false. Source: Ocelot, Caching (since 23.3).
        enable_content_hashing: Setting<bool>,
        /// `Ocelot`: answers are kept for `TtlSeconds`, whatever they say; `Http`: as long as they say, by RFC 9111; `Off`:
        /// not at all. Default: `Ocelot`.
        mode: Setting<String>,
        /// Methods whose answers are kept. Default: `["GET", "HEAD"]`; all under `"Compatibility": "Ocelot"`.
        methods: List<String>,
        /// Statuses of answers that are kept, 200 to 599. Default: those that RFC 9111 lets be kept with `Http`, else 200
        /// to 299; every status under `"Compatibility": "Ocelot"`.
        status_codes: List<i32>,
        /// Parameters of the query that are part of the key; `*` for the whole query. Default: `["*"]`.
        vary_by_query: List<String>,
        /// Header fields of the request that are part of the key. Default: `[]`.
        vary_by_header: List<String>,
        /// Claims of the caller that are part of the key, instead of all that is known of the caller. Default: `[]`.
        vary_by_claim: List<String>,
        /// Whether every caller has answers of their own. Default: true, unless `VaryByClaim` is set or under Ocelot.
        vary_by_identity: Setting<bool>,
        /// With `Http`: how long a stale answer is given while it is renewed. 0s to 365d. Default: `0s`. Source: RFC 5861.
        stale_while_revalidate: Setting<DurationText>,
        /// With `Http`: how long a stale one is given instead of an error. 0s to 365d. Default: `0s`. Source: RFC 5861.
        stale_if_error: Setting<DurationText>,
        /// With `Http`: how long 404, 405, 410, 414 and 501 are kept that do not say. 0s to 365d. Default: not at all.
        negative_ttl: Setting<DurationText>,
        /// Whether requests for the same wait for one call. Default: true; false under `"Compatibility": "Ocelot"`.
        collapse: Setting<bool>,
        /// Whether `Set-Cookie` is kept, for everybody. Default: false; true under `"Compatibility": "Ocelot"`.
        store_cookies: Setting<bool>,
    }

    /// How one of several addresses is chosen.
    LoadBalancerOptions, GlobalLoadBalancerOptions {
        /// `NoLoadBalancer`, `RoundRobin`, `LeastConnection` or `CookieStickySessions`, with regard to case; and of our own
        /// `LeastRequest` (the idler one of two chosen at random), `PeakEwma` (the faster and idler one of two), `Random` and
        /// `ConsistentHash`. Default: `NoLoadBalancer`, always the first. Source: Ocelot, Load Balancer.
        #[serde(rename = "Type")]
        kind: Setting<String>,
        /// The cookie of sticky sessions. Default: `.AspNetCore.Session`; with `SetCookie` `MargayEndpoint`.
        /// Source: Ocelot, Load Balancer.
        key: Setting<String>,
        /// Milliseconds for which a sticky session lasts unused. Default: 1200000. With `SetCookie` the time for which
        /// browsers keep the cookie; default: until they are closed. Source: Ocelot, Load Balancer.
        expiry: Setting<i32>,
        /// CookieStickySessions. Whether the gateway itself sets the cookie, which then names the endpoint: nothing is
        /// remembered here, and every gateway with the same addresses understands it. Default: false.
        set_cookie: Setting<bool>,
        /// ConsistentHash. What requests must have in common to go to one endpoint: `IP`, `Header:NAME`, `Cookie:NAME` or
        /// `Path:PLACEHOLDER`. A request without it goes by its client's address. Default: `IP`.
        hash_on: Setting<String>,
    }

    /// Which of several addresses are well enough to be asked. Default: all are.
    HealthCheckOptions, GlobalHealthCheckOptions {
        /// Asks each address again and again. Default: not done.
        active: Setting<ActiveHealthDocument>,
        /// Leaves an address alone for a while when requests to it fail. Default: not done.
        passive: Setting<PassiveHealthDocument>,
        /// When less than so many percent of the addresses are well, all are asked. 0 to 100. Default: 0, never; without an
        /// address that is well the answer is 503 with `backend.no_endpoint`.
        panic_threshold: Setting<i32>,
    }

    /// Circuit breaker and time limit.
    QosOptions, GlobalQosOptions {
        /// Failures in a row, or calls in the window, before the circuit opens. Default: none, no breaker.
        /// Source: Ocelot, Quality of Service.
        minimum_throughput: Setting<i32>,
        /// The old name of `MinimumThroughput`; wins when both are present. Source: Ocelot, Quality of Service.
        exceptions_allowed_before_breaking: Setting<i32>,
        /// Milliseconds for which an open circuit refuses. Default: 5000. Source: Ocelot, Quality of Service.
        break_duration: Setting<i32>,
        /// The old name of `BreakDuration`; wins when both are present. Source: Ocelot, Quality of Service.
        duration_of_break: Setting<i32>,
        /// The part of failed calls, 0 to 1, at which the circuit opens. Default: none, failures in a row are counted.
        /// Source: Ocelot, Quality of Service (since 24.1).
        failure_ratio: Setting<f64>,
        /// Milliseconds over which the ratio is taken. Default: 10000. Source: Ocelot, Quality of Service (since 24.1).
        sampling_duration: Setting<i32>,
        /// Milliseconds that one call may take. Default: none. Source: Ocelot, Quality of Service.
        timeout: Setting<i32>,
        /// The old name of `Timeout`; wins when both are present. Source: Ocelot, Quality of Service.
        timeout_value: Setting<i32>,
        /// What a circuit stands before: the `Route`, or each `Endpoint` of its cluster; one whose circuit is open is not
        /// chosen. Default: `Route`.
        scope: Setting<String>,
    }

    /// Which attempts at a service are made again after they failed, each at another address where there is one.
    RetryOptions, GlobalRetryOptions {
        /// Whether attempts are made again. Default: true once any option is set.
        enable_retry: Setting<bool>,
        /// All attempts, the first included. 1 to 10. Default: 3.
        attempts: Setting<i64>,
        /// What is tried again: any of `Connect` (there was no connection), `Reset` (it was closed before an answer) and
        /// `Timeout` (no answer within `PerTryTimeout` or the `Timeout` of `QoSOptions`). Default: all three.
        on: List<String>,
        /// Statuses of answers that are tried again, 400 to 599. Default: `[502, 503, 504]`.
        on_status: List<i32>,
        /// Codes of gRPC that are tried again, by name or number, where the answer says them in its head.
        /// Default: `[]`. Source: gRPC, Status codes.
        on_grpc_status: List<String>,
        /// The methods that may be sent again. Default: the idempotent ones: GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
        /// Source: RFC 9110, 9.2.2.
        methods: List<String>,
        /// How long one attempt may take, connecting included. 1ms to 1h, less than `Timeout`. Default: as long as all.
        per_try_timeout: Setting<DurationText>,
        /// The pause before the second attempt is anything up to this, up to twice as much before the third, and so on.
        /// 0s to 1m. Default: `25ms`.
        min_backoff: Setting<DurationText>,
        /// The longest pause. 0s to 1m. Default: `1s`.
        max_backoff: Setting<DurationText>,
        /// Whether a pause is at least what the service asks for in `Retry-After`; if that is longer than what is left of
        /// `Timeout`, its answer is passed on. Default: true. Source: RFC 9110, 10.2.3.
        honour_retry_after: Setting<bool>,
        /// How much of a request body is kept to be sent again; longer ones are sent once. 0B to 16MiB. Default: `64KiB`.
        max_replay_size: Setting<SizeText>,
        /// Whether there is a budget: of the requests to one cluster within ten seconds only a part is made again.
        /// Default: true.
        enable_budget: Setting<bool>,
        /// That part. 0 to 10. Default: 0.2.
        budget_ratio: Setting<f64>,
        /// So many within ten seconds are made again in any case. 0 and more. Default: 10.
        budget_minimum: Setting<i64>,
    }

    /// What is answered when all attempts at a service failed: the answer of another cluster, or a fixed one.
    FallbackOptions, GlobalFallbackOptions {
        /// Whether there is a fallback. Default: true once any option is set.
        enable_fallback: Setting<bool>,
        /// The failures that it stands in for: any of `Connect`, `Reset`, `Timeout`, `Malformed` (the answer was no HTTP),
        /// `Breaker` (the circuit is open), `NoEndpoint` and `Busy` (no connection was free). Default: all of them.
        on: List<String>,
        /// Statuses of answers that it stands in for, 400 to 599. Default: `[]`.
        on_status: List<i32>,
        /// One of `Clusters`, asked once in what is left of `Timeout`. Needs a body that can be sent again.
        cluster: Setting<String>,
        /// A fixed answer; with `Cluster` beside it for the case that this one fails too.
        reply: Setting<StaticResponseDocument>,
    }

    /// How often one client may call.
    RateLimitOptions, GlobalRateLimitOptions {
        /// Whether the limit is on. Default: true once any option is set. Source: Ocelot, Rate Limiting.
        enable_rate_limiting: Setting<bool>,
        /// The header by which clients are told apart. Default: `Oc-Client`. Source: Ocelot, Rate Limiting.
        client_id_header: Setting<String>,
        /// Clients without a limit. Default: `[]`. Source: Ocelot, Rate Limiting.
        client_whitelist: List<String>,
        /// Whether answers carry `X-RateLimit-*` and `Retry-After`. Default: true. Source: Ocelot, Rate Limiting.
        enable_headers: Setting<bool>,
        /// The old, negated form of `EnableHeaders`; wins when both are present. Source: Ocelot, Rate Limiting.
        disable_rate_limit_headers: Setting<bool>,
        /// Calls in one period. Default: 0. Source: Ocelot, Rate Limiting.
        limit: Setting<i64>,
        /// The period: a number and `ms`, `s`, `m`, `h` or `d`. Default: `1s`. Source: Ocelot, Rate Limiting.
        period: Setting<String>,
        /// How long a client waits once it went beyond the limit. Default: `0ms`, until the period ends.
        /// Source: Ocelot, Rate Limiting (since 24.1).
        wait: Setting<String>,
        /// The old form of `Wait`, in seconds; wins when both are present. Source: Ocelot, Rate Limiting.
        period_timespan: Setting<f64>,
        /// The status of a refusal. Default: 429. Source: Ocelot, Rate Limiting.
        status_code: Setting<i32>,
        /// The old name of `StatusCode`; wins when both are present. Source: Ocelot, Rate Limiting.
        http_status_code: Setting<i32>,
        /// The body of a refusal; `{0}` is the limit, `{1}` the period. Source: Ocelot, Rate Limiting.
        quota_message: Setting<String>,
        /// The old name of `QuotaMessage`; wins when both are present. Source: Ocelot, Rate Limiting.
        quota_exceeded_message: Setting<String>,
        /// What the keys of the counters begin with. Default: `Ocelot.RateLimiting`. Source: Ocelot, Rate Limiting.
        key_prefix: Setting<String>,
        /// The old name of `KeyPrefix`; wins when both are present. Source: Ocelot, Rate Limiting.
        rate_limit_counter_prefix: Setting<String>,
        /// `FixedWindow`: so many calls in a period, and `Wait`; or `TokenBucket`: calls are refilled evenly over the
        /// period, `Burst` of them may come at once. Default: `FixedWindow`.
        algorithm: Setting<String>,
        /// Calls that a `TokenBucket` lets come at once. Default: `Limit`.
        burst: Setting<i64>,
        /// What is counted apart: any of `ClientId`, `IP` (IPv6 by its first 64 bits), `Claim:TYPE`, `Header:NAME` and
        /// `Route`. Without `Route` all routes with the same limit count together; with a claim the limit is asked after
        /// authentication. Default: `["ClientId", "Route"]`.
        partition_by: List<String>,
        /// Several limits, all of which must let a call pass; each takes from its surroundings what it does not say
        /// itself. With `Limit` beside it that is one of them. Default: `[]`.
        limits: List<RateLimitDocument>,
    }

    /// How many requests are under way at one time; beyond it 503 with `limit.concurrency`, or a place in a queue.
    ConcurrencyLimitOptions, GlobalConcurrencyLimitOptions {
        /// Whether the limit is on. Default: true once any option is set.
        enable_concurrency_limit: Setting<bool>,
        /// Requests at one time, from their head to the last byte of the answer. 1 and more. Required, unless `Limits`
        /// has entries.
        limit: Setting<i64>,
        /// Requests that may wait beside them. Default: 0.
        queue_limit: Setting<i64>,
        /// How long they wait; then 503 with `limit.queue_timeout`. 1ms to 10m. Default: `1s`.
        queue_timeout: Setting<DurationText>,
        /// What is counted apart: any of `IP`, `Claim:TYPE`, `Header:NAME` and `Route`. Without `Route` all routes with
        /// the same limit count together. Default: `["Route"]`.
        partition_by: List<String>,
        /// Several limits, such as one for the route and one for each client; each takes from its surroundings what it
        /// does not say itself. With `Limit` beside it that is one of them. Default: `[]`.
        limits: List<ConcurrencyLimitDocument>,
    }

    /// The sizes of a request that a route takes; it can take less than `Limits` let in, never more.
    RequestSizeOptions, GlobalRequestSizeOptions {
        /// The longest body; beyond it 413. Default: that of `Limits`.
        max_request_body_size: Setting<SizeText>,
        /// All header fields together; beyond it 431. Default: that of `Limits`.
        max_request_headers_total_size: Setting<SizeText>,
        /// The number of header fields; beyond it 431. 1 and more. Default: that of `Limits`.
        max_request_header_count: Setting<i64>,
    }

    /// How services are spoken to over TLS. Names of files are relative to the file that holds them; the files are
    /// watched as it is.
    TlsOptions, GlobalTlsOptions {
        /// A PEM file with the authorities whose certificates are believed. Default: those of the system.
        ca_file: Setting<String>,
        /// A PEM file with the certificate that the gateway shows, and behind it those of the authorities in between;
        /// together with `KeyFile`. Default: none.
        certificate_file: Setting<String>,
        /// A PEM file with the private key of it: PKCS#8, SEC1 or PKCS#1.
        key_file: Setting<String>,
        /// The name that is asked for (SNI) and that the certificate of the service must have. Default: the host.
        server_name: Setting<String>,
    }

    /// Settings of the client that calls a service.
    HttpHandlerOptions, GlobalHttpHandlerOptions {
        /// Whether redirects are followed. Default: false. Source: Ocelot, Configuration.
        allow_auto_redirect: Setting<bool>,
        /// Connections to one address at a time, over all workers; those kept unused count. More requests wait. Default: no
        /// limit, which 0 and less mean too. Source: Ocelot, Configuration.
        max_connections_per_server: Setting<i32>,
        /// Requests that may wait for one of these connections; beyond it 503 with `backend.connection_limit`. 0 and more.
        /// Default: 1024.
        connection_queue_limit: Setting<i64>,
        /// How long they wait; then 503 with `backend.connection_limit`. 1ms to 10m. Default: as long as `Timeout` allows.
        connection_queue_timeout: Setting<DurationText>,
        /// Seconds after which a connection is not used for another request; 0: each serves one. Default: 120.
        /// Source: Ocelot, Configuration.
        pooled_connection_lifetime_seconds: Setting<i32>,
        /// The PROXY protocol in which a service learns whose connection it is: `V1`, `V2` or `None`. A connection serves
        /// one client then. Default: `None`. Source: HAProxy, PROXY protocol versions 1 and 2.
        proxy_protocol: Setting<String>,
        /// Whether cookies of the service are kept, for all clients together. Default: false. Source: Ocelot, Configuration.
        use_cookie_container: Setting<bool>,
        /// Whether the proxy of the system is used. Default: false. Source: Ocelot, Configuration.
        use_proxy: Setting<bool>,
        /// Whether calls are traced. Default: false. Source: Ocelot, Tracing.
        use_tracing: Setting<bool>,
    }
}
