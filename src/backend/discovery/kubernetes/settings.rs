//! Settings of Kubernetes.

use crate::backend::discovery::settings::ServerSettings;
use std::time::Duration;

/// An API server, and how its objects are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KubernetesSettings {
    pub server: ServerSettings,
    pub kind: KubernetesKind,
    /// Overrides the polling interval.
    pub interval: Option<Duration>,
    /// Empty: the namespace of the service account, or `default`.
    pub namespace: String,
    /// Uses the service account of the gateway's pod instead of `server`.
    pub use_service_account: bool,
    /// Reads EndpointSlices instead of Endpoints.
    pub endpoint_slices: bool,
    /// Behaves exactly as Ocelot where the two differ.
    pub ocelot: bool,
}

/// The provider types of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KubernetesKind {
    /// `Kube`: watches; in Ocelot mode, queries on request.
    #[default]
    Kube,
    /// `PollKube`: queries at intervals.
    Poll,
    /// `WatchKube`: watches.
    Watch,
}

impl KubernetesKind {
    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            KubernetesKind::Kube => "Kube",
            KubernetesKind::Poll => "PollKube",
            KubernetesKind::Watch => "WatchKube",
        }
    }
}
