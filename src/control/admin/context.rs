//! The state of the administration pages.

use super::error::AdminError;
use crate::{control::gateway_handle::GatewayHandle, server::Gateway};
use std::sync::Arc;

/// The gateway that the pages show, and the reach of their address.
#[derive(Clone, Debug)]
pub struct AdminContext {
    /// The gateway; absent while it starts.
    pub gateway: GatewayHandle,
    /// The address is local to the machine.
    pub is_local: bool,
}

impl AdminContext {
    /// The gateway, if it is running.
    pub fn gateway(&self) -> Result<Arc<Gateway>, AdminError> {
        self.gateway.get().ok_or_else(|| AdminError::unavailable("the gateway is not running"))
    }
}
