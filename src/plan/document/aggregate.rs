//! `Aggregates[]`.

use super::shared::*;
use crate::base::units::SizeText;
use crate::config::values::{BoxedSetting, DurationSetting, List, Setting, StringList};
use crate::stages::header_transform::options::HeaderEditMap;
use schemars::JsonSchema;
use serde::Deserialize;

document! { aggregate:
    /// A route that calls several routes and composes one response from their responses. Authentication, limits and the IP
    /// filter of the aggregate apply in addition to those of its routes.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct AggregateDocument {
        /// The `Key`s of the routes to call; the response lists them in this order. Source: Ocelot, Aggregation.
        pub route_keys: List<String>,
        /// Settings of single routes of the aggregate: calls parameterized by the response of the first route, optional
        /// parts and limits. Default: `[]`. Source: Ocelot, Aggregation.
        pub route_keys_config: List<RouteKeyConfigDocument>,
        use path_settings;
        /// The methods to match, case-insensitive. Default: `["GET"]`. Source: Ocelot, Aggregation.
        #[serde(rename = "UpstreamHttpMethod")]
        pub methods: List<String>,
        use match_settings;
        /// A Jinja template that renders the response from `parts`, instead of one JSON object of all parts; at most 64
        /// KiB. The response is JSON, and every value is serialized as JSON. In Ocelot this is the name of a class.
        /// Default: none. Source: Ocelot, Aggregation.
        pub aggregator: Setting<String>,
        /// Media type → template: additional representations of the response, selected by the client's `Accept` field. HTML
        /// templates escape values for HTML. Default: `{}`, JSON only.
        pub formats: StringList,
        /// Time limit of the whole response: whole seconds, or a duration such as `"1s"`. Default: the timeouts of the
        /// routes.
        pub timeout: Setting<DurationSetting>,
        /// Maximum response size of one part, and of all calls of one part together; a part over the limit has failed. 1
        /// byte to 1 GiB. Default: `4MiB`.
        pub max_part_size: Setting<SizeText>,
        /// Maximum size of the composed response; beyond it 502. 1 byte to 1 GiB. Default: `16MiB`.
        pub max_size: Setting<SizeText>,
        /// Maximum size of the request body, which is sent to every part; beyond it 413. 1 byte to 1 GiB. Default: `1MiB`.
        pub max_request_body_size: Setting<SizeText>,
        /// The name in logs and metrics. Default: the path.
        pub key: Setting<String>,
        use response_header_settings;
        use waf_settings;
    }
}

/// Settings of one route of an aggregate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteKeyConfigDocument {
    /// The route, one of `RouteKeys`. Required.
    pub route_key: Setting<String>,
    /// JSONPath of values in the response of the first route, such as `$[*].id`: the route is called once for each
    /// distinct value. Default: the route is called once, in parallel with the first one. Source: Ocelot, Aggregation.
    pub json_path: Setting<String>,
    /// The path placeholder that is replaced by the value. Required with `JsonPath`. Source: Ocelot, Aggregation.
    pub parameter: Setting<String>,
    /// Whether the response is served without this part if it failed: the part is `null`, and the header `X-Partial`
    /// names it. Default: false.
    pub optional: Setting<bool>,
    /// Time limit of the part, all its calls included: whole seconds, or a duration such as `"300ms"`. Default: the
    /// timeout of the route.
    pub timeout: Setting<DurationSetting>,
    /// Maximum response size of the part. 1 byte to 1 GiB. Default: `MaxPartSize`.
    pub max_size: Setting<SizeText>,
    /// Maximum number of calls for one request; with more values the part has failed. 1 to 10000. Default: 100.
    pub max_calls: Setting<i64>,
    /// Maximum number of these calls in parallel. 1 to 1000. Default: 16.
    pub max_concurrency: Setting<i64>,
}
