//! The option objects of Ocelot's vocabulary, as routes have them and, with `RouteKeys`, under `GlobalConfiguration`.

use super::health::{ActiveHealthDocument, PassiveHealthDocument};
use super::nested::StaticResponseDocument;
use crate::base::units::{DurationText, SizeText};
use crate::config::options::{IsBlank, option_objects};
use crate::config::values::{List, Setting};

impl IsBlank for ActiveHealthDocument {}
impl IsBlank for PassiveHealthDocument {}

option_objects! {
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
