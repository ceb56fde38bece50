//! Discovered services, as opposed to configured endpoints.

use super::endpoint::Endpoint;
use crate::backend::discovery::{ProviderSettings, Service, consul::ConsulSettings};
use std::sync::Arc;

/// How a service is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registry {
    /// A registry that is watched.
    Provider(Arc<ProviderSettings>),
    /// The reverse proxy of Service Fabric, which resolves services itself.
    ServiceFabric(Endpoint),
}

/// A service, and the registry that lists its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredService {
    pub registry: Arc<ProviderSettings>,
    pub service: Service,
    /// Named by a request, not by the configuration.
    pub is_unnamed: bool,
}

/// The configuration store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreBlueprint {
    pub consul: ConsulSettings,
    pub key: String,
}
