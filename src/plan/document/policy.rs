//! A policy file: the options of a route that several routes share by name.

use crate::config::values::{
    BoxedSetting, DurationSetting, List, ListMap, Setting, StageSettings, StringList,
};
use crate::stages::header_transform::options::HeaderEditMap;
use schemars::JsonSchema;
use serde::Deserialize;

document! { policy:
    /// A policy: options that routes, dynamic routes and `GlobalConfiguration` apply by the name of the file. A policy has
    /// no templates, methods, hosts, `Key` or `Compatibility`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct PolicyDocument {
        /// The JSON Schema of this file; used by editors only.
        #[serde(rename = "$schema")]
        pub schema: Setting<String>,
        /// Claim type → the value that the caller must have, or a list of values of which one suffices. All entries must be
        /// satisfied. `"{name}"` is the value of the path placeholder. Default: `{}`. Source: Ocelot, Authorization.
        #[serde(rename = "RouteClaimsRequirement")]
        pub claims_required: ListMap,
        /// A CEL (Common Expression Language) condition that the caller must satisfy; 403 if it is false or cannot be
        /// evaluated. Variables: `claims` (claim type → first value), `claim_values` (claim type → list), `scopes` (list),
        /// `path` (placeholder → value), `method`, `headers` (lowercase name → value) and `client` (address). At most 4096
        /// bytes. Default: none.
        #[serde(rename = "RouteClaimsExpression")]
        pub claims_expression: Setting<String>,
        /// Claim type → the source of its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddClaimsToRequest")]
        pub add_claims: StringList,
        /// Request header name → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddHeadersToRequest")]
        pub add_headers: StringList,
        /// Query parameter → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
        #[serde(rename = "AddQueriesToRequest")]
        pub add_queries: StringList,
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
        /// The request header that carries the remaining milliseconds of `Timeout` to the backend; `grpc-timeout` is
        /// written in the format of gRPC. Routes inherit the global value. Default: none.
        pub deadline_header: Setting<String>,
        /// Time limit for the start of the backend's response, all attempts included: whole seconds, or a duration such as
        /// `"1s"`. Routes inherit the global value. Default: 90 seconds. Source: Ocelot, Configuration (since 24.1).
        pub timeout: Setting<DurationSetting>,
        /// Whether every certificate of the backend is accepted, without verification. Default: false. Source: Ocelot,
        /// Configuration.
        #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
        pub accept_any_certificate: Setting<bool>,
        /// Names of the custom stages that the route runs, in this order. Default: `[]`. Source: Ocelot, Delegating
        /// Handlers.
        #[serde(rename = "DelegatingHandlers")]
        pub handlers: List<String>,
        /// Settings of the custom stages named in `DelegatingHandlers`: stage name → object. Default: `{}`, the defaults of
        /// each stage. Source: margay, docs/custom-stages.md.
        pub handler_settings: Setting<StageSettings>,
        /// The header that carries the request id. Routes inherit the global value. Default: none. Source: Ocelot, Logging.
        pub request_id_key: Setting<String>,
        /// Free key-value pairs for custom stages. Routes inherit global entries, key by key. Default: `{}`. Source:
        /// Ocelot, Metadata (since 23.3).
        pub metadata: StringList,
        /// Whether the `Host` field of the client is sent to the backend instead of the backend's own host. Routes inherit
        /// the global value. Default: false.
        pub preserve_host: Setting<bool>,
    }
}
