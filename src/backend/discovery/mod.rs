//! Discovery: registries say where the instances of a service are, each in a background task that delays no request.
//!
//! A [`Provider`] follows one service; a [`Source`] is a service that is followed, by one task for all the clusters it
//! feeds, for as long as there is one of them; [`Registries`] finds sources again from plan to plan.

mod service_state;
pub mod consul;
mod dns;
mod eureka;
mod file;
pub mod providers;
mod kubernetes;
mod registries;
pub mod settings;
mod service_watch;
pub mod validate;

pub use registries::Registries;
pub use service_state::InstanceSink;
pub use service_watch::ServiceWatch;
pub use settings::ProviderSettings;

use async_trait::async_trait;

/// A service as registries know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub name: String,
    /// Empty: that of the registry.
    pub namespace: String,
    /// The scheme that is spoken with it; registries that name ports look for this one.
    pub scheme: String,
}

/// One way of finding instances.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// For people and metrics; never a secret.
    fn label(&self) -> &str;

    /// Whether the registry is asked only once somebody wants the service, and again for every request for as long as it
    /// cannot tell of changes by itself: what Ocelot's `Consul` does.
    fn is_on_demand(&self) -> bool {
        false
    }

    /// Follows one service, telling every change, for as long as it can. It returns with what went wrong, in a sentence
    /// for the log; what was told last stays, and after a while it is asked to begin again.
    async fn watch(&self, service: &Service, told: &InstanceSink) -> String;
}
