//! Services that are found instead of written down.

use super::endpoint::Endpoint;
use crate::backend::discovery::{ProviderSettings, Service, consul::ConsulSettings};
use std::sync::Arc;

/// What is asked where services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registry {
    /// A registry that is followed.
    Provider(Arc<ProviderSettings>),
    /// The reverse proxy of Service Fabric, which knows itself where they are.
    ServiceFabric(Endpoint),
}

/// A service, and who says where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredService {
    pub registry: Arc<ProviderSettings>,
    pub service: Service,
    /// A request named it, not the configuration.
    pub is_unnamed: bool,
}

/// Where the configuration itself is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreBlueprint {
    pub consul: ConsulSettings,
    pub key: String,
}
