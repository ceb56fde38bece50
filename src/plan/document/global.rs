//! `GlobalConfiguration`.

use super::discovery::DiscoveryDocument;
use crate::config::values::{DurationSetting, List, Setting, StringList};
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
        /// The header that carries the request id. Routes inherit the global value. Default: none. Source: Ocelot, Logging.
        pub request_id_key: Setting<String>,
        /// The request header that carries the remaining milliseconds of `Timeout` to the backend; `grpc-timeout` is
        /// written in the format of gRPC. Routes inherit the global value. Default: none.
        pub deadline_header: Setting<String>,
        /// Time limit for the start of the backend's response, all attempts included: whole seconds, or a duration such as
        /// `"1s"`. Routes inherit the global value. Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
        pub timeout: Setting<DurationSetting>,
        /// Header name → how the request header is changed before the request is sent to the backend: `value` sets it,
        /// `find,replace` edits it, `null` removes it; an object is the long form. `{placeholders}` of the route are
        /// replaced. Default: `{}`. Source: Ocelot, Headers Transformation.
        #[serde(rename = "UpstreamHeaderTransform")]
        pub request_headers: HeaderEditMap,
        /// Header name → how the response header is changed before the response is sent to the client: `value` adds it if
        /// the backend did not send it (and sets `Content-...` headers), `find,replace` edits it, `null` removes it; an
        /// object is the long form. Error responses of the gateway are not changed. Default: `{}`. Source: Ocelot, Headers
        /// Transformation.
        #[serde(rename = "DownstreamHeaderTransform")]
        pub response_headers: HeaderEditMap,
        /// Free key-value pairs for custom stages. Routes inherit global entries, key by key. Default: `{}`. Source:
        /// Ocelot, Metadata (since 23.3).
        pub metadata: StringList,
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
        /// Whether the `Host` field of the client is sent to the backend instead of the backend's own host. Routes inherit
        /// the global value. Default: false.
        pub preserve_host: Setting<bool>,
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
