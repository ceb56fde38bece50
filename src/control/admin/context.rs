//! The state of the administration pages.

use super::{
    access::Access, error::AdminError, log_override::LogOverride, rates::RateWindow, work::WorkPool,
};
use crate::{
    control::{
        active::ActiveConfig, candidate::Candidate, change::ConfigManager, entities::EntityStore,
        gateway_handle::GatewayHandle,
    },
    server::Gateway,
};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// The gateway that the pages show, and the access that their address grants.
#[derive(Clone, Debug)]
pub struct AdminContext {
    /// The gateway; absent while it starts.
    pub gateway: GatewayHandle,
    /// Which pages the address has, and who may use them.
    pub access: Access,
    /// What the pages of all addresses share.
    pub shared: Arc<AdminState>,
}

/// The state that the pages of all addresses share; it outlives plans.
#[derive(Debug)]
pub struct AdminState {
    pub active: Arc<ActiveConfig>,
    /// What replaces the configuration; absent while the gateway starts.
    changes: OnceLock<Arc<ConfigManager>>,
    /// The entities that are made at run time; absent while the gateway starts.
    entities: OnceLock<Arc<EntityStore>>,
    /// Runs work that takes long or blocks.
    pub work: WorkPool,
    pub log_level: LogOverride,
    pub rates: RateWindow,
    pub started_at: Instant,
}

impl AdminState {
    /// The state of a process that starts now.
    pub fn new(active: Arc<ActiveConfig>) -> Arc<AdminState> {
        Arc::new(AdminState {
            active,
            changes: OnceLock::new(),
            entities: OnceLock::new(),
            work: WorkPool::default(),
            log_level: LogOverride::default(),
            rates: RateWindow::default(),
            started_at: Instant::now(),
        })
    }
}

impl AdminState {
    /// Sets what replaces the configuration and its entities, once.
    pub fn set_changes(&self, manager: Arc<ConfigManager>, entities: Arc<EntityStore>) {
        let _ = self.changes.set(manager);
        let _ = self.entities.set(entities);
    }
}

impl AdminContext {
    /// The pages for probes, which show nothing of the configuration.
    pub fn health(gateway: &GatewayHandle) -> AdminContext {
        AdminContext {
            gateway: gateway.clone(),
            access: Access::Health,
            shared: AdminState::new(Arc::default()),
        }
    }

    /// What replaces the configuration.
    pub fn changes(&self) -> Result<Arc<ConfigManager>, AdminError> {
        let manager = self.shared.changes.get().cloned();
        manager.ok_or_else(|| AdminError::unavailable("the gateway is not running"))
    }

    /// The entities that are made at run time.
    pub fn entities(&self) -> Result<Arc<EntityStore>, AdminError> {
        let entities = self.shared.entities.get().cloned();
        entities.ok_or_else(|| AdminError::unavailable("the gateway is not running"))
    }

    /// The gateway, if it is running.
    pub fn gateway(&self) -> Result<Arc<Gateway>, AdminError> {
        self.gateway.get().ok_or_else(|| AdminError::unavailable("the gateway is not running"))
    }

    /// The active configuration with its sources.
    pub fn candidate(&self) -> Result<Arc<Candidate>, AdminError> {
        self.shared.active.candidate().ok_or_else(|| AdminError::unavailable("no configuration is active"))
    }
}
