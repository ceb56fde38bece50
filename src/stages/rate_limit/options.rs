//! `RateLimitOptions` as the document has them.

use crate::config::{
    options::option_objects,
    values::{List, Setting},
};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
    /// Rate limiting: how many calls a client may make in a period.
    RateLimitOptions, GlobalRateLimitOptions off_by(enable_rate_limiting) {
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
        /// Where calls are counted: `Node`, by each gateway, or `Shared`, by all gateways together; requires `SharedState`.
        /// Default: `Node`.
        scope: Setting<String>,
        /// With `"Scope": "Shared"`, how many calls a gateway may count ahead, so that not every request needs a round trip:
        /// `Adaptive`, up to a 16th of the limit, or a number from 1 to 100000; 1 is exact. Default: `Adaptive`.
        lease: Setting<String>,
        /// Several limits, all of which must allow the call; each inherits absent settings from the surrounding
        /// options. A `Limit` next to the list is one of them. Default: `[]`.
        limits: List<RateLimitDocument>,
    }
}

/// One of several rate limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RateLimitDocument {
    /// The name of the limit in response headers. Default: limit and period, `10/1s`.
    pub name: Setting<String>,
    /// Calls allowed in one period. 1 or more. Required.
    pub limit: Setting<i64>,
    /// The period: a number with unit `ms`, `s`, `m`, `h` or `d`. Required.
    pub period: Setting<String>,
    /// How long a client that exceeded the limit is blocked. Default: that of the surrounding options.
    pub wait: Setting<String>,
    /// `FixedWindow` or `TokenBucket`. Default: that of the surrounding options.
    pub algorithm: Setting<String>,
    /// The capacity of the token bucket: calls that may arrive at once. Default: `Limit`.
    pub burst: Setting<i64>,
    /// What has a separate counter. Default: that of the surrounding options.
    pub partition_by: List<String>,
    /// `Node` or `Shared`. Default: that of the surrounding options.
    pub scope: Setting<String>,
    /// `Adaptive` or a number. Default: that of the surrounding options.
    pub lease: Setting<String>,
}
