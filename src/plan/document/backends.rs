//! Backends, and what else statements name: loggers, identities.

use crate::config::{
    Spanned, SpannedMap,
    values::{List, Setting},
};
use schemars::JsonSchema;

/// A backend that APIs and statements name.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct BackendDocument {
    /// `Single` or `Pool`. Default: `Single`.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// The URL of the service.
    pub url: Setting<String>,
    /// What replaces the credentials of requests.
    pub credentials: Setting<CredentialsDocument>,
    /// How the certificate of the service is checked.
    pub tls: Setting<BackendTlsDocument>,
    /// When calls are rejected at once.
    pub circuit_breaker: Setting<BreakerDocument>,
    /// The members of a pool.
    pub pool: Setting<PoolDocument>,
}

/// Credentials for a backend.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CredentialsDocument {
    /// Header → value.
    pub header: Setting<SpannedMap<Spanned<String>>>,
    /// Query parameter → value.
    pub query: Setting<SpannedMap<Spanned<String>>>,
    /// The field `Authorization`.
    pub authorization: Setting<AuthorizationDocument>,
    /// The id of one of `Certificates`, which is presented to the service.
    pub certificate_ids: List<String>,
}

/// The field `Authorization`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizationDocument {
    /// The scheme, such as `Basic`.
    pub scheme: Setting<String>,
    /// The text behind the scheme.
    pub parameter: Setting<String>,
}

/// TLS to a backend.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct BackendTlsDocument {
    /// Whether the certificate must be trusted. Default: true.
    pub validate_certificate_chain: Setting<bool>,
    /// Whether the certificate must be issued for the host. Default: true.
    pub validate_certificate_name: Setting<bool>,
}

/// A circuit breaker.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct BreakerDocument {
    /// One rule.
    pub rules: List<BreakerRuleDocument>,
}

/// The rule of a circuit breaker.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct BreakerRuleDocument {
    /// The name of the rule.
    pub name: Setting<String>,
    /// What opens the circuit.
    pub failure_condition: Setting<FailureConditionDocument>,
    /// How long it stays open, such as `PT1M` or `1m`. Default: `1m`.
    pub trip_duration: Setting<String>,
    /// Whether `Retry-After` of the service replaces `TripDuration`. Default: false.
    pub accept_retry_after: Setting<bool>,
}

/// What opens a circuit.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct FailureConditionDocument {
    /// The failures within `Interval`.
    pub count: Setting<i64>,
    /// The share of failures within `Interval`, of at least 10 calls.
    pub percentage: Setting<f64>,
    /// The time within which failures count, such as `PT10S` or `10s`. Default: `1m`.
    pub interval: Setting<String>,
    /// The statuses that are failures.
    pub status_code_ranges: List<StatusRangeDocument>,
    /// The reasons that are failures: `Timeout`, `BackendConnectionFailure`.
    pub error_reasons: List<String>,
}

/// A range of statuses.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StatusRangeDocument {
    /// The first status.
    pub min: Setting<i64>,
    /// The last status.
    pub max: Setting<i64>,
}

/// A pool of backends.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolDocument {
    /// The members, at most 30.
    pub services: List<PoolServiceDocument>,
    /// How requests of one client stay with one member.
    pub session_affinity: Setting<SessionAffinityDocument>,
}

/// A member of a pool.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PoolServiceDocument {
    /// The id of a backend. Required.
    pub id: Setting<String>,
    /// Members of the lowest priority that are available take turns. Default: 1.
    pub priority: Setting<i64>,
    /// The share of a member, 1 to 100. Default: 1.
    pub weight: Setting<i64>,
}

/// Session affinity of a pool.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SessionAffinityDocument {
    /// What names the member.
    pub session_id: Setting<SessionIdDocument>,
}

/// What names the member of a pool.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SessionIdDocument {
    /// `Cookie`.
    pub source: Setting<String>,
    /// The name of the cookie. Default: `SessionId`.
    pub name: Setting<String>,
}

/// A client certificate for services.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCertificateDocument {
    /// A PEM file with the certificate and its intermediate certificates. Required.
    pub certificate_file: Setting<String>,
    /// A PEM file with the private key. Required.
    pub key_file: Setting<String>,
}

/// A logger of `log-to-eventhub`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoggerDocument {
    /// `Stdout` or `File`. Required.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// The file, relative to the configuration.
    pub path: Setting<String>,
}

/// A source of tokens for `authentication-managed-identity`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdentityDocument {
    /// `ClientCredentials`, `TokenFile` or `Metadata`. Required.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// The token endpoint of `ClientCredentials`.
    pub token_url: Setting<String>,
    /// The client id.
    pub client_id: Setting<String>,
    /// The client secret.
    pub client_secret: Setting<String>,
    /// The scope; `{resource}` is the resource. Default: `{resource}/.default`.
    pub scope: Setting<String>,
    /// The file of `TokenFile`, relative to the configuration.
    pub file: Setting<String>,
    /// The address of `Metadata`.
    pub url: Setting<String>,
}
