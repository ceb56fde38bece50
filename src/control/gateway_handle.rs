//! A handle to the running gateway, for services that are constructed before it.

use crate::server::Gateway;
use std::sync::{Arc, OnceLock, Weak};

/// The gateway, set once it runs.
#[derive(Clone, Debug, Default)]
pub struct GatewayHandle(Arc<OnceLock<Weak<Gateway>>>);

impl GatewayHandle {
    /// Sets the gateway, once.
    pub fn set(&self, gateway: &Arc<Gateway>) {
        let _ = self.0.set(Arc::downgrade(gateway));
    }

    /// The gateway, while it runs.
    pub fn get(&self) -> Option<Arc<Gateway>> {
        self.0.get()?.upgrade()
    }
}
