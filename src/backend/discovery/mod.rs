//! Service discovery: registries provide the instances of services, by background tasks that delay no request.
//!
//! Called EDS or DNS clusters by Envoy. Entry point: [`Registries::watch`], called when a plan is built. A [`Provider`]
//! watches services in one registry, a [`ServiceWatch`] is one watched service: one task for all clusters that use it.
//! Each provider owns its settings. Watches outlive a reload as long as the next plan uses them, by registry settings
//! and service.

mod catalogue;
pub mod consul;
pub mod dns;
pub mod eureka;
pub mod file;
pub mod kubernetes;
pub mod provider;
pub mod providers;
mod registries;
mod service_state;
mod service_watch;
pub mod settings;
pub mod validate;

pub use catalogue::Catalogue;
pub use provider::{Provider, Service};
pub use providers::{ProviderKind, ProviderSettings};
pub use registries::Registries;
pub use service_state::{InstanceSink, InstanceTarget};
pub use service_watch::ServiceWatch;
