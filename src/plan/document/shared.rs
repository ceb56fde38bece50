//! Single settings that several documents have, each declared once. Those of stages are declared in their folders.

use crate::config::options::shared_settings;
pub(super) use crate::stages::authorization::options::authorization_settings;
pub(super) use crate::stages::claims::options::claims_settings;
pub(super) use crate::stages::custom::custom_stage_settings;
pub(super) use crate::stages::header_transform::options::{
    request_header_settings, response_header_settings,
};
pub(super) use crate::stages::request_id::request_id_settings;
pub(super) use crate::stages::waf::options::waf_settings;

shared_settings! { $ path_settings {
    /// The path to match, with `{placeholders}`, and a query template after `?`. Required. Source: Ocelot, Routing.
    #[serde(rename = "UpstreamPathTemplate")]
    pub client_path: Setting<String>,
} }

shared_settings! { $ match_settings {
    /// The value that the request's `Host` field must have, case-sensitive, without port. Default: any. Source: Ocelot,
    /// Routing.
    #[serde(rename = "UpstreamHost")]
    pub host: Setting<String>,
    /// Header name → template with `{header:name}` placeholders; all templates must match. Default: `{}`. Source:
    /// Ocelot, Routing (since 23.3).
    #[serde(rename = "UpstreamHeaderTemplates")]
    pub header_templates: StringList,
    /// Names of the listeners on which requests are accepted; a listener without `Name` is referenced by its address.
    /// Default: all listeners.
    pub listeners: List<String>,
    /// Whether the path and the header templates are matched case-sensitively. Default: false. Source: Ocelot, Routing.
    #[serde(rename = "RouteIsCaseSensitive")]
    pub case_sensitive: Setting<bool>,
    /// Higher priorities are matched first, equal priorities in the order of the file; `/{anything}` always has
    /// priority 0. Default: 1. Source: Ocelot, Routing.
    pub priority: Setting<i32>,
} }

shared_settings! { $ deadline_settings {
    /// The request header that carries the remaining milliseconds of `Timeout` to the backend; `grpc-timeout` is
    /// written in the format of gRPC. Routes inherit the global value. Default: none.
    pub deadline_header: Setting<String>,
} }

shared_settings! { $ timeout_settings {
    /// Time limit for the start of the backend's response, all attempts included: whole seconds, or a duration such as
    /// `"1s"`. Routes inherit the global value. Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
    pub timeout: Setting<DurationSetting>,
} }

shared_settings! { $ certificate_settings {
    /// Whether every certificate of the backend is accepted, without verification. Default: false. Source: Ocelot,
    /// Configuration.
    #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
    pub accept_any_certificate: Setting<bool>,
} }

shared_settings! { $ metadata_settings {
    /// Free key-value pairs for custom stages; an object or a list becomes its JSON text. Routes inherit global
    /// entries, key by key. Default: `{}`. Source: Ocelot, Metadata (since 23.3).
    pub metadata: crate::config::values::JsonTextMap,
} }

shared_settings! { $ policy_settings {
    /// Names of policy files whose options are applied; later ones override earlier ones, and the document's own
    /// settings override all of them. Default: `[]`.
    pub policies: List<String>,
} }

shared_settings! { $ host_settings {
    /// Whether the `Host` field of the client is sent to the backend instead of the backend's own host. Routes inherit
    /// the global value. Default: false.
    pub preserve_host: Setting<bool>,
} }

shared_settings! { $ transport_settings {
    /// Timeouts and limits of connections and UDP sessions that are forwarded as they are. Transport routes inherit them
    /// from policies, then from `GlobalConfiguration`, setting by setting. Default: those of each setting.
    #[serde(rename = "TransportOptions")]
    pub transport: crate::config::values::BoxedSetting<crate::plan::transport::TransportOptions>,
} }

shared_settings! { $ access_settings {
    /// Client addresses in order: the rule with the lowest `Order` that contains the address decides. If none does, the client
    /// is rejected if there is any `Permit`, otherwise accepted. Not together with `SecurityOptions`. Default: `[]`.
    pub access_rules: List<AccessRuleDocument>,
} }

shared_settings! { $ separator_settings {
    /// What is done with escaped separators in the path, `%2f`, `%5c`, `\` and `;`, which many backends read as `/`:
    /// `"Reject"` responds 400 with `request.path` where one stands next to a dot segment (`/public/..%2fadmin`), or where
    /// the path is one of another route once they are read as separators (`/admin%2fx`, `/admin;a/x`; not under
    /// `"Compatibility": "Ocelot"`);
    /// `"Unescape"` replaces them by `/` and removes dot segments before the route is matched; `"Keep"` forwards them.
    /// Default: that of the listener, then the global one; globally `"Reject"`. Source: Envoy,
    /// path_with_escaped_slashes_action.
    pub path_with_escaped_separators: Setting<EscapedSeparators>,
} }
