//! `ServiceDiscoveryProvider`, and the same for one cluster.

use crate::base::secret::Secret;
use crate::config::values::{List, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// The discovery provider that resolves service names to endpoints. Each type uses its own settings; a setting that the
/// type does not use is an error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiscoveryDocument {
    /// `Consul`, `PollConsul`, `Eureka`, `Kube`, `PollKube`, `WatchKube`, `ServiceFabric`, `Dns`, `DnsSrv` or `File`,
    /// case-insensitive. Default: `Consul`. Source: Ocelot, Service Discovery.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// The scheme of the provider's API, `http` or `https`. Default: `http`.
    pub scheme: Setting<String>,
    /// The host of the provider. Default: `localhost`.
    pub host: Setting<String>,
    /// The port of the provider, 1 to 65535. Default: 0, the default port of the type: 8500 for Consul, 8761 for
    /// Eureka, 443 for Kubernetes, 19081 for ServiceFabric; with Dns the port of the instances, 80 or 443.
    pub port: Setting<i32>,
    /// A PEM file with the trusted certificate authorities for scheme `https`, relative to the configuration file.
    /// Default: the trusted authorities of the system.
    pub ca_file: Setting<String>,
    /// The access token for the provider; never logged. Default: none.
    pub token: Setting<Secret>,
    /// The key of the configuration in Consul's KV store, for `"ConfigurationStore": "Consul"`. Default:
    /// `InternalConfiguration`.
    pub configuration_key: Setting<String>,
    /// Milliseconds between two polls, 10 to 3600000, for types that are not notified of changes; `Consul`, `Kube` and
    /// `WatchKube` are. Default: 0, the default interval of the type: 10000 for Eureka, 250 for File, else 1000.
    pub polling_interval: Setting<i32>,
    /// The namespace of services without `ServiceNamespace`, for providers with namespaces. Default: that of the
    /// provider.
    pub namespace: Setting<String>,
    /// Consul: the datacenter. Default: that of the agent.
    pub datacenter: Setting<String>,
    /// Consul: selects only instances with all of these tags. Default: `[]`.
    pub tags: List<String>,
    /// Consul: selects only instances whose service metadata (`Meta`) contains all of these entries. Default: `{}`.
    pub service_metadata: StringList,
    /// Consul: whether the node name is the host of an instance, as in Ocelot, instead of the service address. Default:
    /// false; true under `"Compatibility": "Ocelot"`.
    pub use_node_name: Setting<bool>,
    /// Consul: whether any server may respond, even if its data is behind the leader's. Default: false.
    pub stale: Setting<bool>,
    /// Kubernetes: whether EndpointSlices are read instead of Endpoints. Default: false.
    pub endpoint_slices: Setting<bool>,
    /// Eureka: the base path of the API. Default: `/eureka`.
    pub path: Setting<String>,
    /// File: the path of the service list, relative to the configuration file. Required for this type.
    pub file: Setting<String>,
}
