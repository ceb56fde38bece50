//! `Administration` and `Health`: the addresses for operators, and who may use them.

use super::listener::ListenerTlsDocument;
use crate::config::values::{BoxedSetting, List, Setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a client of the administration may do: GET and HEAD, or every method.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AdminRole {
    #[default]
    Read,
    /// Reads everything, and writes below `/management`.
    Publish,
    Write,
}

/// The administration API. On a loopback address or a Unix domain socket, credentials are required once `Tokens` or
/// `Tls.ClientCertificates` are set; on any other address they must be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AdministrationDocument {
    /// The address of the administration API: `host:port`, or a Unix domain socket as in `Listeners`
    /// (`unix:/run/margay-admin.sock`). Default: `127.0.0.1:8081`.
    pub address: Setting<String>,
    /// Names that `Host` may contain in requests without a token, in addition to `localhost` and loopback addresses;
    /// other names are rejected with 403, because a web page of another site can use them (DNS rebinding). Default: `[]`.
    pub allowed_hosts: List<String>,
    /// The tokens that clients send in `Authorization: Bearer`. Several are valid at the same time, so that a token can be
    /// replaced without an interruption. Default: none.
    pub tokens: List<AdminTokenDocument>,
    /// TLS on the address. Its `ClientCertificates` are credentials too. Default: none, plain HTTP.
    pub tls: BoxedSetting<ListenerTlsDocument>,
    /// What a client with a verified certificate may do: `read` or `write`. Default: `read`.
    pub certificate_role: Setting<AdminRole>,
}

/// A token of the administration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AdminTokenDocument {
    /// The name in the history of changes and in the log. Required, and unique.
    pub name: Setting<String>,
    /// `sha256:` and the SHA-256 of the token in hexadecimal: `printf %s "$TOKEN" | sha256sum`. The token must be random,
    /// such as `openssl rand -hex 32`. Required.
    pub hash: Setting<String>,
    /// What the client may do: `read` (GET and HEAD) or `write` (every method). Default: `read`.
    pub role: Setting<AdminRole>,
}

/// An address for probes and for Prometheus.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthDocument {
    /// An address that serves `/live`, `/ready` and `/metrics`, and nothing else, without credentials: `host:port`, or a
    /// Unix domain socket as in `Listeners`. Default: none.
    pub address: Setting<String>,
}
