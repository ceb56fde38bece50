//! `Aggregates[]`.

use super::HeaderEdits;
use super::nested::SecurityOptions;
use super::options::*;
use super::values::{BoxedSetting, DurationSetting, List, Setting, StringList};
use crate::base::units::SizeText;
use schemars::JsonSchema;
use serde::Deserialize;

/// A route whose answer is put together from the answers of other routes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AggregateDocument {
    /// The `Key`s of the routes that are called; their order is the order of the answer. Source: Ocelot, Aggregation.
    pub route_keys: List<String>,
    /// What single routes of it need: calls whose parameter comes from the answer of the first route, and what may
    /// become of a part. Default: `[]`. Source: Ocelot, Aggregation.
    pub route_keys_config: List<RouteKeyConfigDocument>,
    /// The path that clients ask for. Required. Source: Ocelot, Aggregation.
    #[serde(rename = "UpstreamPathTemplate")]
    pub client_path: Setting<String>,
    /// The methods it takes. Default: `["GET"]`. Source: Ocelot, Aggregation.
    #[serde(rename = "UpstreamHttpMethod")]
    pub methods: List<String>,
    /// The value of the Host field it asks for. Default: any. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHost")]
    pub host: Setting<String>,
    /// Header name → template; all must match. Default: `{}`. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamHeaderTemplates")]
    pub header_templates: StringList,
    /// The names of the listeners that it answers on; one without a `Name` is called by its address. Default: all.
    pub listeners: List<String>,
    /// Whether the path is matched with regard to case. Default: false. Source: Ocelot, Routing.
    #[serde(rename = "RouteIsCaseSensitive")]
    pub case_sensitive: Setting<bool>,
    /// Higher is tried first. Default: 1. Source: Ocelot, Routing.
    pub priority: Setting<i32>,
    /// A template (Jinja) that writes the answer out of `parts`, instead of one JSON object of all parts; at most 64 KiB.
    /// The answer is JSON, and every value is written as JSON. Ocelot has the name of a class here. Default: none.
    /// Source: Ocelot, Aggregation.
    pub aggregator: Setting<String>,
    /// Media type → template: further forms of the answer, chosen by the client's Accept. Values are escaped for HTML
    /// where the media type is that. Default: `{}`, JSON alone.
    pub formats: StringList,
    /// How long the whole answer may take: whole seconds, or a duration such as `"1s"`. Default: as long as the routes
    /// may take.
    pub timeout: Setting<DurationSetting>,
    /// The longest answer of one part, and of all calls of one part together; beyond it the part has failed. 1 byte to
    /// 1 GiB. Default: `4MiB`.
    pub max_part_size: Setting<SizeText>,
    /// The longest answer in all; beyond it 502. 1 byte to 1 GiB. Default: `16MiB`.
    pub max_size: Setting<SizeText>,
    /// The longest request body, which every part gets whole; beyond it 413. 1 byte to 1 GiB. Default: `1MiB`.
    pub max_request_body_size: Setting<SizeText>,
    /// A name for logs and metrics. Default: the path.
    pub key: Setting<String>,
    /// Who may call, beside what the routes ask for. Default: everyone.
    #[serde(rename = "AuthenticationOptions")]
    pub authentication: BoxedSetting<AuthenticationOptions>,
    /// How often one client may call, beside the limits of the routes. Default: as often as it likes.
    #[serde(rename = "RateLimitOptions")]
    pub rate_limit: BoxedSetting<RateLimitOptions>,
    /// How many requests are under way at one time. Default: as many as come.
    #[serde(rename = "ConcurrencyLimitOptions")]
    pub concurrency: BoxedSetting<ConcurrencyLimitOptions>,
    /// Which web pages may read the answers. Default: none says so.
    #[serde(rename = "CorsOptions")]
    pub cors: BoxedSetting<CorsOptions>,
    /// Which answers are compressed, for clients that take it. Default: none.
    #[serde(rename = "CompressionOptions")]
    pub compression: BoxedSetting<CompressionOptions>,
    /// Which addresses may call, beside the lists of the routes. Default: all.
    #[serde(rename = "SecurityOptions")]
    pub security: BoxedSetting<SecurityOptions>,
    /// Header name → what is done with it on the way to the client, as on routes. Default: `{}`.
    #[serde(rename = "DownstreamHeaderTransform")]
    pub response_headers: HeaderEdits,
}

/// What one route of an aggregate needs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteKeyConfigDocument {
    /// The route, one of `RouteKeys`. Required.
    pub route_key: Setting<String>,
    /// Where values stand in the answer of the first route, such as `$[*].id`: the route is called once for each
    /// different one. Default: the route is called once, at once. Source: Ocelot, Aggregation.
    pub json_path: Setting<String>,
    /// The placeholder that each value fills. Required with `JsonPath`. Source: Ocelot, Aggregation.
    pub parameter: Setting<String>,
    /// Whether the answer may do without this part: where it failed `null` stands in its place, and the header
    /// `X-Partial` names it. Default: false.
    pub optional: Setting<bool>,
    /// How long the part may take, all its calls included: whole seconds, or a duration such as `"300ms"`. Default: as
    /// long as the route may take.
    pub timeout: Setting<DurationSetting>,
    /// The longest answer of the part. 1 byte to 1 GiB. Default: `MaxPartSize`.
    pub max_size: Setting<SizeText>,
    /// The most calls that one request may lead to; where more values are found the part has failed. 1 to 10000.
    /// Default: 100.
    pub max_calls: Setting<i64>,
    /// How many of them are under way at one time. 1 to 1000. Default: 16.
    pub max_concurrency: Setting<i64>,
}
