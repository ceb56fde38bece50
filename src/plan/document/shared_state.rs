//! `SharedState`.

use crate::base::{secret::Secret, units::DurationText};
use crate::config::values::{OneOrMany, Setting};
use crate::plan::clusters::tls::TlsOptions;
use schemars::JsonSchema;
use serde::Deserialize;

/// The store of the shared state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SharedStateType {
    #[default]
    Redis,
}

/// How the servers are organized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SharedStateModeDocument {
    #[default]
    #[serde(rename = "single")]
    Single,
    #[serde(rename = "sentinel")]
    Sentinel,
    #[serde(rename = "cluster")]
    Cluster,
}

/// What features do while the store does not reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OnFailureDocument {
    #[default]
    Local,
    Refuse,
}

/// The state that several gateways share: limits with `"Scope": "Shared"` use it. docs/shared-state.md.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SharedStateDocument {
    /// The store. Default: `"Redis"`.
    #[serde(rename = "Type")]
    pub kind: Setting<SharedStateType>,
    /// The server: `redis://host:port/database`, `rediss://host:port` with TLS, or `unix:/run/redis.sock`; a list of the
    /// Sentinels, or of some nodes of the cluster, in these modes. Required.
    pub url: Setting<OneOrMany>,
    /// `"single"`, `"sentinel"` or `"cluster"`. Default: `"single"`.
    pub mode: Setting<SharedStateModeDocument>,
    /// The user (ACL). Default: that of the server, `default`.
    pub user: Setting<String>,
    /// The password, such as `"${file:/run/secrets/redis}"`. Default: none.
    pub password: Setting<Secret>,
    /// The name of the primary in the configuration of Sentinel. Default: `mymaster`.
    pub sentinel_primary: Setting<String>,
    /// The user of the Sentinels. Default: none.
    pub sentinel_user: Setting<String>,
    /// The password of the Sentinels. Default: none.
    pub sentinel_password: Setting<Secret>,
    /// TLS with the servers, for `rediss://`: trusted authorities, client certificate and server name.
    pub tls: Setting<TlsOptions>,
    /// The first part of every key and channel; gateways with the same prefix share their state. 1 to 64 letters, digits
    /// and `._-`. Default: `margay`.
    pub prefix: Setting<String>,
    /// How long a request waits for a reply; then `OnFailure` decides. 1ms to 10s. Default: `25ms`.
    pub timeout: Setting<DurationText>,
    /// Connections to each server; all requests share them. 1 to 16. Default: 1.
    pub connections: Setting<i64>,
    /// What a limit does while the store does not reply: `"Local"` lets each gateway count by itself, `"Refuse"` rejects the
    /// request with 503 and `state.unavailable`. Default: `"Local"`.
    pub on_failure: Setting<OnFailureDocument>,
}
