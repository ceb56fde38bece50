//! A service as a plan has it: its settings, and the backends of its event handlers.

use super::config::{HubConfig, ServiceConfig};
use crate::backend::{Cluster, attempt::AttemptConfig};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

/// A service of a plan. Connections refer to the one of the plan under which they were opened, until a reload replaces it.
#[derive(Debug)]
pub struct HubService {
    pub config: Arc<ServiceConfig>,
    /// In the order of [`super::config::EventHandlerConfig::backend`].
    pub backends: Box<[HandlerBackend]>,
    /// Accepts tokens of identity providers at the data plane; `None` without `ServerSchemes`.
    pub server_schemes: Option<Arc<dyn ServerAuthenticator>>,
}

/// Authenticates servers by tokens of identity providers (`ServerSchemes`).
pub trait ServerAuthenticator: Send + Sync + Debug {
    /// Whether one of the schemes accepts the bearer token.
    fn is_accepted(&self, token: &str) -> Pin<Box<dyn Future<Output = bool> + Send>>;
}

/// Where the requests of an event handler are sent.
#[derive(Clone, Debug)]
pub struct HandlerBackend {
    pub cluster: Arc<Cluster>,
    pub terms: AttemptConfig,
}

/// A hub with the service that it belongs to.
#[derive(Clone, Debug)]
pub struct HubContext {
    pub service: Arc<HubService>,
    /// The name of the hub, in lower case.
    pub name: Arc<str>,
    pub config: Arc<HubConfig>,
}

impl HubContext {
    /// The hub of this name in lower case; `None`: the service has no such hub.
    pub fn new(service: &Arc<HubService>, name: &str) -> Option<HubContext> {
        let config = service.config.hub(name)?.clone();
        Some(HubContext { service: service.clone(), name: name.into(), config })
    }
}
