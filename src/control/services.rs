//! The internal services of the gateway, by the names of `DownstreamService`. A feature adds one line to `SERVICES`, and
//! its name to the text of the diagnostic `UNKNOWN_SERVICE`.

use super::{
    admin::{self, AdminContext},
    gateway_handle::GatewayHandle,
};
use crate::pipeline::internal::{InternalService, ServiceRegistry};
use axum::Router;

type MakeService = fn(&GatewayHandle) -> Router;

const SERVICES: [(&str, MakeService); 1] =
    [("administration", |gateway| admin::router(AdminContext::health(gateway)))];

/// The names of all services, for the check of a configuration.
pub const NAMES: [&str; SERVICES.len()] = {
    let mut names = [""; SERVICES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SERVICES[at].0;
        at += 1;
    }
    names
};

/// All services.
pub fn registry(gateway: &GatewayHandle) -> ServiceRegistry {
    let mut registry = ServiceRegistry::default();
    for (name, make) in SERVICES {
        registry.add(InternalService::new(name, make(gateway)));
    }
    registry
}
