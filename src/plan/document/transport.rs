//! `TransportRoutes[]`: where connections and datagrams go that are not HTTP.

use super::{route::HostAndPort, shared::*};
use crate::config::values::{BoxedSetting, List, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

document! { transport:
    /// A transport route: which connections or datagrams of TCP and UDP listeners it matches, and where they are forwarded.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct TransportRouteDocument {
        /// The name in logs and metrics. Default: the names of its listeners, joined by `+`, and its number in the list.
        pub key: Setting<String>,
        /// The names of its listeners, all TCP or all UDP; an HTTP listener with TLS only for server names that are passed
        /// through. Required.
        pub listeners: List<String>,
        /// The server names (SNI) that it matches: `db.example`, or `*.db.example` for all names one or more levels below.
        /// Default: any, also none.
        #[serde(rename = "UpstreamServerNames")]
        pub server_names: List<String>,
        /// ALPN protocols, of which the client must offer one. Default: any.
        #[serde(rename = "UpstreamAlpn")]
        pub alpn: List<String>,
        /// `Passthrough`: bytes are forwarded as they come. `Terminate`: the TLS of the client ends here, with the `Tls` of the
        /// listener. Default: `Terminate` if the listener has `Tls`, else `Passthrough`.
        pub tls_mode: Setting<String>,
        /// The endpoints of the service. Required, unless `ServiceName` or `DownstreamCluster` is set. Port 0 is the port that
        /// the client connected to.
        #[serde(rename = "DownstreamHostAndPorts")]
        pub endpoints: List<HostAndPort>,
        /// The name of one of `Clusters`, or an endpoint of a role (`Role.Endpoint`); it replaces the endpoints of the route and
        /// all options about them. Default: none.
        #[serde(rename = "DownstreamCluster")]
        pub cluster: Setting<String>,
        /// The name of the service in the discovery provider; replaces the list of endpoints. Default: none.
        pub service_name: Setting<String>,
        /// The namespace of that service. Default: that of the provider.
        pub service_namespace: Setting<String>,
        /// `tcp`, `tls` (the gateway speaks TLS with the service, with `TlsOptions`) or `udp`. Default: `udp` on UDP listeners,
        /// else `tcp`.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        use access_settings;
        use transport_settings;
        use metadata_settings;
        use policy_settings;
    }
}

/// One rule of `AccessRules`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AccessRuleDocument {
    /// The place of the rule: the lowest first. 0 to 65535, each once. Required.
    pub order: Setting<i64>,
    /// `Permit` or `Deny`. Required.
    pub action: Setting<String>,
    /// An address or a network such as `10.0.0.0/8`. Required.
    pub remote: Setting<String>,
}
