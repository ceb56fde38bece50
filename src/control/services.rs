//! The internal services of the gateway, by the names of `DownstreamService`. A feature adds its name to
//! `service_names::NAMES` and to the text of the diagnostic `UNKNOWN_SERVICE`, and one line to `SERVICES`.

use super::{
    admin::{self, AdminContext},
    fabric_naming,
    gateway_handle::GatewayHandle,
    roles,
    service_names::NAMES,
    tunnels,
};
use crate::pipeline::internal::{InternalService, ServiceRegistry};
use axum::Router;

type MakeService = fn(&GatewayHandle) -> Router;

/// In the order of `NAMES`.
const SERVICES: [MakeService; NAMES.len()] = [
    |gateway| admin::router(AdminContext::health(gateway)),
    |_| fabric_naming::router(),
    |gateway| roles::router(gateway.clone()),
    tunnels::agents::router,
    tunnels::device_streams::router,
];

/// All services.
pub fn registry(gateway: &GatewayHandle) -> ServiceRegistry {
    let mut registry = ServiceRegistry::default();
    for (name, make) in NAMES.into_iter().zip(SERVICES) {
        registry.add(InternalService::new(name, make(gateway)));
    }
    registry
}
