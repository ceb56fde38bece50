//! What a discovery provider implements.

use super::service_state::InstanceSink;
use async_trait::async_trait;
use std::collections::HashSet;

/// A service to discover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub name: String,
    /// Empty: the namespace of the registry.
    pub namespace: String,
    /// The URL scheme of the backend; registries with named ports use it to select one.
    pub scheme: String,
}

/// Finds the instances of services in one registry.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// The name for logs and metrics; never contains a secret.
    fn label(&self) -> &str;

    /// Whether the registry is queried only once a request needs the service, and again for each request as long as it
    /// cannot report changes itself, as Ocelot's `Consul` does.
    fn is_on_demand(&self) -> bool {
        false
    }

    /// The names of all services; `None` if the registry has no such list.
    async fn service_names(&self) -> Result<Option<HashSet<String>>, String> {
        Ok(None)
    }

    /// Watches one service and publishes each change. Returns the error when it cannot go on: the last instances stay
    /// in use, and the caller starts the watch again with backoff.
    async fn watch(&self, service: &Service, sink: &InstanceSink) -> String;
}
