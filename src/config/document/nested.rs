//! Objects nested in option objects, and the lists of the IP filter.

use super::options::IsBlank;
use super::values::{List, Setting, StringList};
use crate::base::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// A static response.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StaticResponseDocument {
    /// The status, 200 to 599. Default: 503.
    pub status: Setting<i32>,
    /// Header name → value. Default: `Content-Type: text/plain; charset=utf-8` if there is a body.
    pub headers: StringList,
    /// The body. Default: none.
    pub body: Setting<String>,
}

impl IsBlank for StaticResponseDocument {}

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
}

/// One of several concurrency limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConcurrencyLimitDocument {
    /// Concurrent requests. 1 or more. Required.
    pub limit: Setting<i64>,
    /// Requests that may wait in the queue. Default: that of the surrounding options.
    pub queue_limit: Setting<i64>,
    /// How long a request may wait in the queue. Default: that of the surrounding options.
    pub queue_timeout: Setting<DurationText>,
    /// What has a separate counter. Default: that of the surrounding options.
    pub partition_by: List<String>,
}

/// IP filter: client addresses that are allowed or blocked: single addresses, ranges (`10.0.0.1-9`), or networks
/// (`10.0.0.0/8`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecurityOptions {
    /// Only these addresses are allowed. Default: `[]`, all. Source: Ocelot, Security.
    #[serde(rename = "IPAllowedList")]
    pub allowed: List<String>,
    /// These addresses are blocked. Default: `[]`, none. Source: Ocelot, Security.
    #[serde(rename = "IPBlockedList")]
    pub blocked: List<String>,
    /// Whether the allowed addresses are excluded from the blocked ones. Default: false. Source: Ocelot, Security.
    #[serde(rename = "ExcludeAllowedFromBlocked")]
    pub exclude_allowed: Setting<bool>,
}
