//! `Clusters`: named backends that several routes share.

use super::discovery::DiscoveryDocument;
use super::route::HostAndPort;
use super::shared::*;
use crate::config::values::{BoxedSetting, List, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

document! { cluster:
    /// A named backend: its endpoints and the options about them that a route would have otherwise. Options of
    /// `GlobalConfiguration` apply to it, unless they have `RouteKeys`.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct ClusterDocument {
        /// Host and port of each endpoint. Required, unless `ServiceName` is set.
        pub endpoints: List<HostAndPort>,
        /// The service name in the discovery provider; replaces `Endpoints`. Default: none.
        pub service_name: Setting<String>,
        /// The namespace of the service in the discovery provider. Default: that of the provider.
        pub service_namespace: Setting<String>,
        /// The discovery provider of this cluster. Default: `ServiceDiscoveryProvider` of `GlobalConfiguration`.
        pub discovery: Setting<DiscoveryDocument>,
        /// `http`, `https`, `ws` or `wss`. Default: the scheme of the incoming request.
        #[serde(rename = "DownstreamScheme")]
        pub scheme: Setting<String>,
        use certificate_settings;
    }
}
