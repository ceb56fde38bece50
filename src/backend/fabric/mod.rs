//! Services by name and key: partitions, replicas, and where they are now (Azure Service Fabric's reverse proxy and naming
//! service; Envoy: EDS with a subset per partition).
//!
//! Entry points: [`resolver::Resolvers::open`] when a plan is built, [`route::FabricRoute::read`] for a request; the loop of
//! attempts is in `attempt/fabric_loop.rs`. Names, keys, addresses and the choice of a replica are pure. What a resolver
//! knows outlives a reload: registries by resolver and file, clusters by resolver and settings.

pub mod address;
pub mod choice;
pub mod cluster;
pub mod error;
pub mod name;
pub mod naming;
pub mod partition;
pub mod registry;
pub mod request;
pub mod resolver;
pub mod route;
pub mod service;
pub mod single_flight;
pub mod transport;
pub mod transport_slot;
pub mod value_template;

pub use registry::Registry;
pub use resolver::{Resolver, ResolverConfig, Resolvers, SourceConfig};
pub use route::{FabricConfig, FabricRoute};
