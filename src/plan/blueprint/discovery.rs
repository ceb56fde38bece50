//! Services that are found instead of written down.

use super::{Endpoint, RouteBlueprint};
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

/// Services that have no routes: the first segment of the path names them.
#[derive(Clone, Debug)]
pub struct DynamicBlueprint {
    pub registry: Arc<ProviderSettings>,
    /// For services without an entry of their own.
    pub defaults: RouteBlueprint,
    pub entries: Vec<DynamicEntry>,
}

/// The options of one service.
#[derive(Clone, Debug)]
pub struct DynamicEntry {
    pub service: String,
    /// Empty: it has none.
    pub namespace: String,
    pub route: RouteBlueprint,
}

impl DynamicBlueprint {
    /// The options of a service: its name is compared with regard to case, its namespace only if the request has one.
    pub fn of(&self, namespace: &str, service: &str) -> Option<&DynamicEntry> {
        let fits = |entry: &&DynamicEntry| {
            entry.service == service && (namespace.is_empty() || entry.namespace == namespace)
        };
        self.entries.iter().find(fits)
    }
}
