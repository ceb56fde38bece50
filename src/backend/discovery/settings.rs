//! What the configuration says about a registry, resolved; plain data.

use super::providers::{self, ProviderKind};
use crate::{base::secret::Secret, net::tls::trust::TrustAnchors};
use std::{path::PathBuf, time::Duration};

/// One registry, and how it is asked. Equal settings are one registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProviderSettings {
    pub kind: &'static ProviderKind,
    pub tls: bool,
    /// Without brackets.
    pub host: String,
    /// 0: the usual one of the type.
    pub port: u16,
    pub token: Option<Secret>,
    /// Between two looks, where the registry does not tell of changes by itself; none: the usual time.
    pub interval: Option<Duration>,
    /// Empty: that of the service, or the usual one.
    pub namespace: String,
    /// What only Consul knows.
    pub consul: Consul,
    /// What only Kubernetes knows.
    pub kubernetes: Kubernetes,
    /// Where the interface of the registry begins, such as `/eureka`; empty: where it usually does.
    pub path: String,
    /// Where the registry is a file: that.
    pub file: PathBuf,
    /// Whose certificates are believed, where the registry speaks TLS.
    pub trust: TrustAnchors,
    /// Exactly what Ocelot does, where that differs.
    pub ocelot: bool,
}

/// What only Kubernetes knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kubernetes {
    /// The account of the pod that the gateway runs in, instead of host, port and token.
    pub use_service_account: bool,
    /// EndpointSlices instead of Endpoints.
    pub endpoint_slices: bool,
}

/// What only Consul knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consul {
    /// Empty: that of the agent.
    pub datacenter: String,
    /// Only instances that have all of these.
    pub tags: Vec<String>,
    /// Only instances whose service metadata has all of these.
    pub metadata: Vec<(String, String)>,
    /// The name of the node is the host, where there is one, as in Ocelot.
    pub node_name: bool,
    /// Any server may answer, not only the leader.
    pub allow_stale: bool,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        ProviderSettings {
            kind: &providers::PROVIDERS[0],
            tls: false,
            host: "localhost".into(),
            port: 0,
            token: None,
            interval: None,
            namespace: String::new(),
            consul: Consul::default(),
            kubernetes: Kubernetes::default(),
            path: String::new(),
            file: PathBuf::new(),
            trust: TrustAnchors::System,
            ocelot: false,
        }
    }
}

impl ProviderSettings {
    /// Where the registry is, for people: never a secret.
    pub fn address(&self, usual_port: u16) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", if self.port == 0 { usual_port } else { self.port })
    }
}
