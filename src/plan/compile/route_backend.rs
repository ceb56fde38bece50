//! The backend of a route, before it is part of the blueprint.

use crate::plan::blueprint::fabric::{FabricBlueprint, NamingBlueprint};
use crate::plan::blueprint::{ClusterBlueprint, HttpVersion, Sourced};
use crate::plan::hubs::HubRouteBlueprint;
use std::sync::Arc;

/// The URL, the endpoints and the protocol of a route's backend.
pub(super) struct Backend {
    pub path: Sourced<String>,
    pub method: Option<String>,
    pub cluster: Arc<ClusterBlueprint>,
    pub service: Option<Sourced<String>>,
    pub naming: Option<NamingBlueprint>,
    pub fabric: Option<Box<FabricBlueprint>>,
    pub hub: Option<Box<HubRouteBlueprint>>,
    pub service_fabric_path: Option<Sourced<String>>,
    pub version: Sourced<HttpVersion>,
}

impl Backend {
    /// That of an aggregate.
    pub fn no_backend() -> Backend {
        Backend {
            path: Sourced::new(String::new(), None),
            method: None,
            cluster: Arc::new(ClusterBlueprint::none()),
            service: None,
            naming: None,
            fabric: None,
            hub: None,
            service_fabric_path: None,
            version: Sourced::new(HttpVersion::Http11, None),
        }
    }
}
