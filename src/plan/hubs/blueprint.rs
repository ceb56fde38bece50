//! Hubs in a blueprint.

use crate::config::Span;
use crate::plan::blueprint::{cluster::ClusterBlueprint, sourced::Sourced};
use crate::realtime::config::{NegotiateConfig, RealtimeConfig, ServiceConfig};
use crate::stages::authentication::settings::SchemeConfig;
use std::sync::Arc;

/// All services, and the settings of the process.
#[derive(Clone, Debug, Default)]
pub struct HubsBlueprint {
    pub realtime: RealtimeConfig,
    pub services: Vec<HubServiceBlueprint>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct HubServiceBlueprint {
    pub config: Arc<ServiceConfig>,
    /// The backends of its event handlers.
    pub backends: Vec<Arc<ClusterBlueprint>>,
    /// The schemes of `ServerSchemes`.
    pub server_schemes: Vec<Arc<SchemeConfig>>,
    /// Where it is written.
    pub span: Span,
}

/// The hub service of a route.
#[derive(Clone, Debug)]
pub struct HubRouteBlueprint {
    pub service: Sourced<String>,
    /// With `NegotiateOptions`.
    pub negotiate: Option<NegotiateConfig>,
}

impl HubsBlueprint {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&HubServiceBlueprint> {
        self.services.iter().find(|service| &*service.config.name == name)
    }
}
