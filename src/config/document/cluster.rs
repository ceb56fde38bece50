//! `Clusters`: services that several routes lead to.

use super::discovery::DiscoveryDocument;
use super::options::{HealthCheckOptions, HttpHandlerOptions, LoadBalancerOptions, TlsOptions};
use super::route::HostAndPort;
use super::values::{BoxedSetting, List, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

/// A service under a name: its addresses, and the options about them that a route would have otherwise. Options of
/// `GlobalConfiguration` hold for it too, unless they are for certain `RouteKeys`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterDocument {
    /// The addresses of the service. Required, unless `ServiceName` is set.
    pub endpoints: List<HostAndPort>,
    /// The name under which a registry knows the service; replaces `Endpoints`. Default: none.
    pub service_name: Setting<String>,
    /// The namespace of the service. Default: that of the registry.
    pub service_namespace: Setting<String>,
    /// The registry that is asked about it. Default: `ServiceDiscoveryProvider` of `GlobalConfiguration`.
    pub discovery: Setting<DiscoveryDocument>,
    /// `http`, `https`, `ws` or `wss`. Default: the scheme of the incoming request.
    #[serde(rename = "DownstreamScheme")]
    pub scheme: Setting<String>,
    /// How one of several addresses is chosen. Default: always the first.
    #[serde(rename = "LoadBalancerOptions")]
    pub load_balancer: BoxedSetting<LoadBalancerOptions>,
    /// Which of several addresses are well enough to be asked. Default: all are.
    #[serde(rename = "HealthCheckOptions")]
    pub health: BoxedSetting<HealthCheckOptions>,
    /// Settings of the client that calls the service.
    #[serde(rename = "HttpHandlerOptions")]
    pub http_handler: BoxedSetting<HttpHandlerOptions>,
    /// How the service is spoken to over TLS. Default: as the system trusts.
    #[serde(rename = "TlsOptions")]
    pub tls: BoxedSetting<TlsOptions>,
    /// Whether any certificate of the service is accepted. Default: false.
    #[serde(rename = "DangerousAcceptAnyServerCertificateValidator")]
    pub accept_any_certificate: Setting<bool>,
}
