//! `FallbackOptions` as the document has them.

use crate::config::options::{IsBlank, option_objects};
use crate::config::values::{List, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
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
}

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
