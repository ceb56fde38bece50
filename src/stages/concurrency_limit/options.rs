//! `ConcurrencyLimitOptions` as the document has them.

use crate::{
    base::units::DurationText,
    config::{
        options::option_objects,
        values::{List, Setting},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
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
        /// Which requests count: `Node`, those of this gateway, or `Shared`, those of all gateways; requires `SharedState`.
        /// Default: `Node`.
        scope: Setting<String>,
        /// Several limits, such as one for the route and one for each client; each inherits absent settings from the
        /// surrounding options. A `Limit` next to the list is one of them. Default: `[]`.
        limits: List<ConcurrencyLimitDocument>,
    }
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
    /// `Node` or `Shared`. Default: that of the surrounding options.
    pub scope: Setting<String>,
}
