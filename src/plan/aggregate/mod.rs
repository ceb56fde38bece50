//! Aggregates: their settings, and the composition of one response from several (docs/ocelot-behavior.md, section
//! 20). API gateways call this response aggregation or a composite API; Envoy and nginx have no equivalent.
//!
//! Nothing here sends requests: `server::aggregate` makes the calls; this module determines which calls are made and
//! composes their results. Settings are compiled by `plan::compile::aggregate`; nothing outlives a reload.

pub mod accept;
pub(super) mod build;
pub mod compose;
mod part_exchange;
pub mod template;
pub mod values;

use crate::base::json_path::JsonPath;
use compose::Representation;
use std::time::Duration;

/// The response field that lists the missing optional parts.
pub const PARTIAL_HEADER: &str = "X-Partial";

/// How the response is composed.
#[derive(Clone, Debug)]
pub struct AggregateConfig {
    /// Ocelot's exact form: bodies are embedded unchanged, valid JSON or not.
    pub ocelot: bool,
    /// The representations that the client may choose from; the first one is the default.
    pub representations: Vec<Representation>,
    /// Ocelot's response where `Aggregator` names a class.
    pub unsupported_aggregator: Option<String>,
    /// Timeout of the whole response; `None`: as long as the parts take.
    pub timeout: Option<Duration>,
    /// Maximum bytes of the whole response.
    pub max_response_bytes: usize,
    /// Maximum bytes of a request body.
    pub max_request_bytes: usize,
}

/// The settings of the calls to a part.
#[derive(Clone, Debug)]
pub struct PartTerms {
    pub key: Box<str>,
    /// Where the values are for which the part is called; `None`: it is called once.
    pub values: Option<JsonPath>,
    pub optional: bool,
    /// Timeout of all its calls; `None`: the route's.
    pub timeout: Option<Duration>,
    /// Maximum bytes of all its responses.
    pub max_response_bytes: usize,
    pub max_calls: usize,
    pub max_concurrency: usize,
}
