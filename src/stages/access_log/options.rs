//! `AccessLogOptions` as the document has them.

use crate::{
    config::{
        options::{IsBlank, option_objects},
        values::{List, Setting},
    },
    pipeline::record::QueryPolicy,
    telemetry::ClientAddressPolicy,
};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
    /// What the access log contains of the requests of a route.
    AccessLogOptions, GlobalAccessLogOptions {
        /// Whether requests are logged at all. Default: true.
        enabled: Setting<bool>,
        /// The share of requests that is logged, 0 to 1. Failures (an error code, or a status of 500 or more) are always
        /// logged. Default: 1.
        sample_ratio: Setting<f64>,
        /// The query: `"Omit"`; `"Redact"` logs the names of parameters without values; `"Log"` logs it as received. Default:
        /// `"Omit"`.
        query: Setting<QueryLogging>,
        /// The client address: `"Log"`; `"Truncate"` logs the network (/24 of IPv4, /48 of IPv6); `"Omit"`. Default: `"Log"`.
        client_address: Setting<ClientAddressLogging>,
        /// Whether the subject of the authenticated user (the claim `sub`) is logged. Default: false.
        user: Setting<bool>,
        /// Names of request headers to log, as received. Default: `[]`.
        request_headers: List<String>,
        /// Names of response headers to log, as sent. Default: `[]`.
        response_headers: List<String>,
        /// Names of headers whose values are replaced with `[redacted]`, in addition to `Authorization`,
        /// `Proxy-Authorization`, `Cookie`, `Set-Cookie` and `X-Api-Key`. Default: `[]`.
        redacted_headers: List<String>,
    }
}

/// How the query is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum QueryLogging {
    #[default]
    Omit,
    Redact,
    Log,
}

/// How the client address is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ClientAddressLogging {
    #[default]
    Log,
    Truncate,
    Omit,
}

impl IsBlank for QueryLogging {}
impl IsBlank for ClientAddressLogging {}

impl From<QueryLogging> for QueryPolicy {
    fn from(setting: QueryLogging) -> QueryPolicy {
        match setting {
            QueryLogging::Omit => QueryPolicy::Omit,
            QueryLogging::Redact => QueryPolicy::Redact,
            QueryLogging::Log => QueryPolicy::Log,
        }
    }
}

impl From<ClientAddressLogging> for ClientAddressPolicy {
    fn from(setting: ClientAddressLogging) -> ClientAddressPolicy {
        match setting {
            ClientAddressLogging::Log => ClientAddressPolicy::Log,
            ClientAddressLogging::Truncate => ClientAddressPolicy::Truncate,
            ClientAddressLogging::Omit => ClientAddressPolicy::Omit,
        }
    }
}
