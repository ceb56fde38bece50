//! Aggregates: what they are made of, and how one answer comes out of several (docs/ocelot-behavior.md, section 20).
//!
//! Nothing here asks a service: `edge` makes the calls, this says which, and puts together what came of them.

pub mod accept;
pub(super) mod build;
pub mod compose;
pub mod json_path;
mod part_exchange;
pub mod template;
pub mod values;

use compose::Representation;
use json_path::JsonPath;
use std::time::Duration;

/// The field of an answer that names the optional parts that are missing.
pub const PARTIAL_HEADER: &str = "X-Partial";

/// How an answer is made of the parts.
#[derive(Clone, Debug)]
pub struct AggregateConfig {
    /// Ocelot's letter: bodies are put in as they come, whatever they are.
    pub ocelot: bool,
    /// What the client may choose from; the first one is what it gets that does not choose.
    pub representations: Vec<Representation>,
    /// Ocelot's answer where `Aggregator` names a class.
    pub unsupported_aggregator: Option<String>,
    /// For the whole answer; none: as long as the parts take.
    pub timeout: Option<Duration>,
    /// Bytes of the whole answer.
    pub max_response_bytes: usize,
    /// Bytes of a request body.
    pub max_request_bytes: usize,
}

/// What an aggregate says about calling a part.
#[derive(Clone, Debug)]
pub struct PartTerms {
    pub key: Box<str>,
    /// Where the values stand that it is called for; none: it is called once.
    pub values: Option<JsonPath>,
    pub optional: bool,
    /// For all its calls; none: as long as the route takes.
    pub timeout: Option<Duration>,
    /// Bytes of all its answers.
    pub max_response_bytes: usize,
    pub max_calls: usize,
    pub max_concurrency: usize,
}
