//! Routes to services with partitions.

use crate::backend::fabric::{FabricConfig, transport::TransportConfig};
use crate::config::Span;
use std::sync::Arc;

/// A route to services, or to the naming interface of a resolver.
#[derive(Clone, Debug)]
pub struct FabricBlueprint {
    /// The name of the resolver.
    pub resolver: Arc<str>,
    pub config: FabricConfig,
    pub transport: TransportConfig,
    /// Where all services are made reachable.
    pub all_services: Option<Span>,
}

/// The naming interface of a resolver.
#[derive(Clone, Debug)]
pub struct NamingBlueprint {
    pub resolver: Arc<str>,
    /// A request without `api-version` gets 404, as in the original.
    pub is_strict: bool,
}
