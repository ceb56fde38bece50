//! `Aggregates[]`.

use super::values::{List, Set, Texts};
use schemars::JsonSchema;
use serde::Deserialize;

/// A route whose answer is put together from the answers of other routes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AggregateDocument {
    /// The `Key`s of the routes that are called; their order is the order of the answer. Source: Ocelot, Aggregation.
    pub route_keys: List<String>,
    /// Calls whose parameter comes from the answer of the first route. Default: `[]`. Source: Ocelot, Aggregation.
    pub route_keys_config: List<MemberCall>,
    /// The path that clients ask for. Required. Source: Ocelot, Aggregation.
    #[serde(rename = "UpstreamPathTemplate")]
    pub client_path: Set<String>,
    /// The methods it takes. Default: `["GET"]`. Source: Ocelot, Aggregation.
    #[serde(rename = "UpstreamHttpMethod")]
    pub methods: List<String>,
    /// The value of the Host field it asks for. Default: any. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHost")]
    pub host: Set<String>,
    /// Header name → template; all must match. Default: `{}`. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHeaderTemplates")]
    pub header_templates: Texts,
    /// Whether the path is matched with regard to case. Default: false. Source: Ocelot, Routing.
    #[serde(rename = "RouteIsCaseSensitive")]
    pub case_sensitive: Set<bool>,
    /// Higher is tried first. Default: 1. Source: Ocelot, Routing.
    pub priority: Set<i32>,
    /// The name of an aggregator of your own that builds the answer. Default: none. Source: Ocelot, Aggregation.
    pub aggregator: Set<String>,
}

/// A call that depends on the answer of the first route.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MemberCall {
    /// The route that is called once for each value found.
    pub route_key: Set<String>,
    /// Where the values stand in the answer of the first route, such as `$[*].id`.
    pub json_path: Set<String>,
    /// The placeholder that each value fills.
    pub parameter: Set<String>,
}
