//! `ServiceDiscoveryProvider`, and the same for one cluster.

use super::values::{List, Setting, StringList};
use crate::base::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// The registry in which services are looked up. Each type reads settings of its own; one that a type does not read is
/// refused.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiscoveryDocument {
    /// `Consul`, `PollConsul`, `Eureka`, `Kube`, `PollKube`, `WatchKube`, `ServiceFabric`, `Dns`, `DnsSrv` or `File`, without
    /// regard to case. Default: `Consul`.
    /// Source: Ocelot, Service Discovery.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// The scheme of the registry, `http` or `https`. Default: `http`.
    pub scheme: Setting<String>,
    /// The host of the registry. Default: `localhost`.
    pub host: Setting<String>,
    /// The port of the registry, 1 to 65535. Default: 0, the usual one of the type: 8500 for Consul, 8761
    /// for Eureka, 443 for Kubernetes, 19081 for ServiceFabric; for Dns that of instances, 80 or 443.
    pub port: Setting<i32>,
    /// PEM text with the authorities that are believed where the scheme is `https`, a file beside the configuration.
    /// Default: those that the system believes.
    pub ca_file: Setting<String>,
    /// The token that the registry asks for; never written to a log. Default: none.
    pub token: Setting<Secret>,
    /// The key of the configuration in Consul's KV store, for `"ConfigurationStore": "Consul"`.
    /// Default: `InternalConfiguration`.
    pub configuration_key: Setting<String>,
    /// Milliseconds between two looks, 10 to 3600000, where the registry does not tell of changes by itself; `Consul`, `Kube`
    /// and `WatchKube` do. Default: 0, the usual time of the type: 10000 for Eureka, 250 for File, else 1000.
    pub polling_interval: Setting<i32>,
    /// The namespace of services that name none, where the registry has namespaces. Default: that of the registry.
    pub namespace: Setting<String>,
    /// Consul: the datacenter. Default: that of the agent.
    pub datacenter: Setting<String>,
    /// Consul: only instances that have all of these tags. Default: `[]`.
    pub tags: List<String>,
    /// Consul: only instances whose service metadata (`Meta`) has all of these. Default: `{}`.
    pub service_metadata: StringList,
    /// Consul: whether the name of the node is the host of an instance, as in Ocelot, instead of the address of the
    /// service. Default: false; true under `"Compatibility": "Ocelot"`.
    pub use_node_name: Setting<bool>,
    /// Consul: whether any server may answer, though it may be behind the leader. Default: false.
    pub stale: Setting<bool>,
    /// Kubernetes: EndpointSlices are read instead of Endpoints. Default: false.
    pub endpoint_slices: Setting<bool>,
    /// Eureka: where its interface begins. Default: `/eureka`.
    pub path: Setting<String>,
    /// File: the list of services, beside the configuration. Required there.
    pub file: Setting<String>,
}
