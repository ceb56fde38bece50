//! Objects that stand within option objects, and the lists of addresses.

use super::options::IsBlank;
use super::values::{List, Setting, StringList};
use crate::base::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// A fixed answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StaticResponseDocument {
    /// 200 to 599. Default: 503.
    pub status: Setting<i32>,
    /// Header name → value. Default: `Content-Type: text/plain; charset=utf-8`, if there is a body.
    pub headers: StringList,
    /// Default: none.
    pub body: Setting<String>,
}

impl IsBlank for StaticResponseDocument {}

/// One of several limits of how often one client may call.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RateLimitDocument {
    /// What the client is told it is called. Default: limit and period, `10/1s`.
    pub name: Setting<String>,
    /// Calls in one period. 1 and more. Required.
    pub limit: Setting<i64>,
    /// The period: a number and `ms`, `s`, `m`, `h` or `d`. Required.
    pub period: Setting<String>,
    /// How long a client waits once it went beyond the limit. Default: the surrounding one.
    pub wait: Setting<String>,
    /// `FixedWindow` or `TokenBucket`. Default: the surrounding one.
    pub algorithm: Setting<String>,
    /// Calls that a `TokenBucket` lets come at once. Default: `Limit`.
    pub burst: Setting<i64>,
    /// What is counted apart. Default: the surrounding one.
    pub partition_by: List<String>,
}

/// One of several limits of requests under way at one time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConcurrencyLimitDocument {
    /// Requests at one time. 1 and more. Required.
    pub limit: Setting<i64>,
    /// Requests that may wait beside them. Default: the surrounding one.
    pub queue_limit: Setting<i64>,
    /// How long they wait. Default: the surrounding one.
    pub queue_timeout: Setting<DurationText>,
    /// What is counted apart. Default: the surrounding one.
    pub partition_by: List<String>,
}

/// Client addresses that are let in or kept out: addresses, ranges (`10.0.0.1-9`), or networks (`10.0.0.0/8`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecurityOptions {
    /// Only these are let in. Default: `[]`, all. Source: Ocelot, Security.
    #[serde(rename = "IPAllowedList")]
    pub allowed: List<String>,
    /// These are kept out. Default: `[]`, none. Source: Ocelot, Security.
    #[serde(rename = "IPBlockedList")]
    pub blocked: List<String>,
    /// Whether the allowed ones are taken out of the blocked ones. Default: false. Source: Ocelot, Security.
    #[serde(rename = "ExcludeAllowedFromBlocked")]
    pub exclude_allowed: Setting<bool>,
}
