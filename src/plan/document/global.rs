//! `GlobalConfiguration`.

use super::discovery::DiscoveryDocument;
use super::shared::*;
use crate::config::values::{DurationSetting, List, Setting};
use crate::plan::routing::EscapedSeparators;
use crate::stages::header_transform::options::HeaderEditMap;
use schemars::JsonSchema;
use serde::Deserialize;

document! { global:
    /// Options that apply to every route, unless the route sets them itself. An option group with `RouteKeys` applies only
    /// to the routes with one of these keys.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct GlobalDocument {
        /// The public address of the gateway, the value of `{BaseUrl}`. Default: `http://localhost:5000`. Source: Ocelot,
        /// Configuration.
        pub base_url: Setting<String>,
        /// `"Ocelot"`: status codes, error bodies and tolerance of invalid values exactly as in Ocelot 25. Default:
        /// margay's own behavior.
        pub compatibility: Setting<String>,
        use request_id_settings;
        use deadline_settings;
        use timeout_settings;
        use request_header_settings;
        use response_header_settings;
        use metadata_settings;
        /// How the values of `Metadata` are parsed. Source: Ocelot, Metadata.
        pub metadata_options: Setting<MetadataOptions>,
        /// The scheme for discovered services without a route: `http`, `https`, `ws` or `wss`; routes do not inherit it.
        /// Default: the scheme of the incoming request. Source: Ocelot, Service Discovery.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        /// The HTTP version for discovered services without a route, such as `1.1` or `2.0`; routes do not inherit it.
        /// Default: `1.1`. Source: Ocelot, Service Discovery.
        #[serde(rename = "DownstreamHttpVersion")]
        pub http_version: Setting<String>,
        /// `RequestVersionExact`, `RequestVersionOrLower` or `RequestVersionOrHigher`, for discovered services without a
        /// route. Default: `RequestVersionOrLower`. Source: Ocelot, Service Discovery.
        #[serde(rename = "DownstreamHttpVersionPolicy")]
        pub http_version_policy: Setting<String>,
        /// Service discovery: the provider that resolves service names to endpoints. Default: none. Source: Ocelot, Service
        /// Discovery.
        #[serde(rename = "ServiceDiscoveryProvider")]
        pub discovery: Setting<DiscoveryDocument>,
        /// Names of policy files whose options apply to every route; later ones override earlier ones, and the policies of
        /// a route override these. Default: `[]`.
        pub policies: List<String>,
        use host_settings;
        use separator_settings;
        use transport_settings;
        use waf_settings;
    }
}

/// How the values of `Metadata` are parsed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MetadataOptions {
    /// The .NET culture in which numbers are parsed. Default: that of the process.
    pub current_culture: Setting<String>,
    /// The .NET `NumberStyles` with which numbers are parsed. Default: `Any`.
    pub number_style: Setting<String>,
    /// The separators of list items. Default: `[","]`.
    pub separators: List<String>,
    /// The .NET `StringSplitOptions`. Default: `None`.
    pub string_split_option: Setting<String>,
    /// The characters trimmed from both ends of an item. Default: `[" "]`.
    pub trim_chars: List<String>,
}
