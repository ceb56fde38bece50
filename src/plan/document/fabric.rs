//! `ServiceFabric`: resolvers of services with partitions, and `ServiceFabricOptions` of routes.

use crate::backend::fabric::{
    address::EndpointScheme,
    partition::PartitionKind,
    route::{StatusRule, WhenExhausted},
};
use crate::base::{secret::Secret, units::DurationText};
use crate::config::Spanned;
use crate::config::SpannedMap;
use crate::config::values::{BoxedSetting, List, Setting, StringList};
use crate::plan::clusters::tls::TlsOptions;
use schemars::JsonSchema;
use serde::Deserialize;

/// Services with names, partitions and replicas, as in Azure Service Fabric: which resolvers know them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceFabricDocument {
    /// The resolvers: name → where services are found; routes reference them in `ServiceFabricOptions.Resolver`.
    pub resolvers: Setting<SpannedMap<Spanned<ResolverDocument>>>,
}

/// Where a resolver finds services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ResolverType {
    Registry,
    Cluster,
}

/// A resolver: what turns the name and the key of a request into a partition with its replicas.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResolverDocument {
    /// `Registry`: a file, and replicas that register. `Cluster`: the HTTP gateway of a Service Fabric cluster, or another
    /// margay. Required.
    #[serde(rename = "Type")]
    pub kind: Setting<ResolverType>,
    /// Registry: the JSON file of applications, services, partitions and replicas, relative to the configuration file, at
    /// most 64 MiB. It is watched. Required for this type.
    pub file: Setting<String>,
    /// Registry: whether replicas may register over the naming interface. Default: false.
    pub writable: Setting<bool>,
    /// Registry: how long a request for something newer is held. 0s to 1m. Default: `0s`.
    pub wait_for_newer: Setting<DurationText>,
    /// Cluster: the addresses of its HTTP gateway, `http(s)://host:port`, usually port 19080. Required for this type.
    pub endpoints: List<String>,
    /// Cluster: the version of the interface, 3.0 to 9.9. Default: `6.0`.
    pub api_version: Setting<String>,
    /// Cluster: trusted authorities and the client certificate of requests to it. Default: the trusted authorities of
    /// the system, no client certificate.
    #[serde(rename = "TlsOptions")]
    pub tls: BoxedSetting<TlsOptions>,
    /// Cluster: thumbprints of the certificate of its HTTP gateway, SHA-1 or SHA-256 in hexadecimal digits. Default: `[]`,
    /// the certificate is verified by the trusted authorities.
    pub server_thumbprints: List<String>,
    /// Cluster: the bearer token of requests to it; never logged. Default: none.
    pub token: Setting<Secret>,
    /// Cluster: how often the names of services are read. 1s to 1h. Default: `10s`.
    pub refresh_interval: Setting<DurationText>,
    /// Cluster: the timeout of one look-up. 100ms to 1m. Default: `10s`.
    pub resolve_timeout: Setting<DurationText>,
    /// Cluster: the age after which a partition in use is looked up again, in the background. 1s to 1h. Default: `1m`.
    pub max_age: Setting<DurationText>,
    /// Cluster: how long what is known is used while the cluster does not respond. 0s to 1d. Default: `1h`.
    pub stale_if_error: Setting<DurationText>,
    /// The host in an address → the host to connect to, for names that only the cluster resolves. Default: `{}`.
    pub host_map: StringList,
    /// Cluster: whether addresses of loopback and link-local networks are used. Default: false; loopback addresses are
    /// used if all `Endpoints` are loopback addresses.
    pub allow_local_addresses: Setting<bool>,
}

/// The services of a route. By address, the path begins with the name of the service (`/App/Service/...`), and parameters of
/// the query select partition, replica and listener. By route, `ServiceName` and `PartitionKey` name them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceFabricOptions {
    /// One of `ServiceFabric.Resolvers`. Default: the only one.
    pub resolver: Setting<String>,
    /// By address: the services that clients can reach: `App/Service`, `App/*` (everything below) or `*`. Required.
    pub services: List<String>,
    /// By address: services that clients cannot reach, in the same form. Default: `[]`.
    pub hidden_services: List<String>,
    /// By route: the name of the service; may contain placeholders of the route, `{header:NAME}`, `{query:NAME}` and
    /// `{claim:TYPE}`. Default: none, by address.
    pub service_name: Setting<String>,
    /// By route: `Int64Range` or `Named`. Default: none, the service is not divided.
    pub partition_kind: Setting<PartitionKind>,
    /// By route: the key, with the same placeholders as `ServiceName`. Default: none.
    pub partition_key: Setting<String>,
    /// By route: `Fnv1a64` makes the FNV-1a hash of the text of `PartitionKey` the key; `None`: the text is the key.
    /// Default: `None`.
    pub partition_hash: Setting<PartitionHash>,
    /// By route: the listener whose endpoint is used, case-insensitive. Default: the first usable one.
    pub listener_name: Setting<String>,
    /// By route: `PrimaryReplica`, `RandomReplica`, `RandomSecondaryReplica` or `RandomInstance`. Default: the primary, or
    /// any instance.
    pub target_replica_selector: Setting<String>,
    /// The largest `Timeout` that a request may set. 1s to 1h. Default: `10m`.
    pub max_timeout: Setting<DurationText>,
    /// Maximum number of attempts, including the first. 1 to 100. Default: 5.
    pub attempts: Setting<i64>,
    /// Base of the exponential backoff with full jitter. 1ms to 1m. Default: `50ms`.
    pub min_backoff: Setting<DurationText>,
    /// Upper bound of the backoff. 1ms to 1m. Default: `5s`.
    pub max_backoff: Setting<DurationText>,
    /// The statuses `404`, `410` and `503` of GET, HEAD and OPTIONS → `Always`, `Never` or, for `404`,
    /// `UnlessResourceNotFound`: whether another replica is tried. Default: `{"404": "UnlessResourceNotFound", "410":
    /// "Always", "503": "Always"}`.
    pub retry_statuses: Setting<SpannedMap<Spanned<StatusRule>>>,
    /// The response when no more attempts are made: `LastAnswer`, the last response of a service, or `Timeout`, 504.
    /// Default: `LastAnswer`.
    pub when_exhausted: Setting<WhenExhausted>,
    /// By address: whether the service gets the parameter `Timeout`. Default: false.
    pub forward_timeout_parameter: Setting<bool>,
    /// The schemes of endpoints that are used: `http`, `https` or both. Default: `http` for clients without TLS, both for
    /// those with TLS.
    pub endpoint_schemes: List<EndpointScheme>,
    /// `http` or `https`: the scheme of endpoints without one, such as `10.0.0.4:8080`. Default: none, they are not used.
    pub assume_scheme: Setting<EndpointScheme>,
    /// Whether the service gets the client certificate in `X-Client-Certificate`, base64 of DER. Default: false.
    pub forward_client_certificate: Setting<bool>,
    /// Names of response fields that are removed. Default: `[]`.
    pub remove_response_headers: List<String>,
    /// Which certificates of services are accepted. Default: those that `TlsOptions` of the route trust.
    pub service_certificates: Setting<ServiceCertificatesDocument>,
    /// Whether the original reverse proxy is followed to the letter: no limit of attempts, its pauses, 504 at the end,
    /// errors without bodies. Settings next to it take precedence. Default: false.
    pub strict: Setting<bool>,
}

/// How the text of a key becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PartitionHash {
    None,
    Fnv1a64,
}

/// How certificates of services are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum CertificatePolicy {
    None,
    Thumbprints,
    NameAndIssuer,
}

/// Which certificates of services are accepted, instead of those that `TlsOptions` trust.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCertificatesDocument {
    /// `None`: any certificate, with a warning. `Thumbprints`: those of `Thumbprints`. `NameAndIssuer`: those of `Names`.
    /// Required.
    pub policy: Setting<CertificatePolicy>,
    /// Thumbprints of certificates, SHA-1 or SHA-256 in hexadecimal digits; spaces and case are ignored.
    pub thumbprints: List<String>,
    /// Common name or DNS name → thumbprints of the certificate of its issuer; an empty list: the issuer must be trusted.
    pub names: Setting<SpannedMap<Spanned<Vec<Spanned<String>>>>>,
}
