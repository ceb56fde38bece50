//! Roles: named sets of instances with public, per-instance and internal endpoints, and the rules between them (the service model
//! of Azure Cloud Services; Envoy: clusters with RBAC, Consul: intentions).
//!
//! [`compile::compile`] checks the sections of a document, [`expand::expand`] adds the listeners and routes that endpoints
//! stand for, and [`RolesPlan`] is the active form: it publishes the instances of each endpoint to its clusters and decides
//! who may reach what. [`RoleState`] has what outlives a plan: registrations, public ports, and the version.

pub mod blueprint;
pub mod compile;
mod compile_endpoint;
mod compile_instances;
mod compile_rules;
pub mod expand;
mod explain;
pub mod identity;
pub mod matrix;
mod plan;
pub mod ports;
mod server_names;
pub mod snapshot;
mod state;
mod values;

pub use blueprint::{
    EndpointKind, EndpointProtocol, InstancePort, Registration, RoleEndpoint, RoleInstance, RolesBlueprint,
    Visibility,
};
pub use explain::{RoleExplanation, UnknownName, explain};
pub use identity::{InstanceRef, Source};
pub use matrix::{Because, Decision, TrafficMatrix};
pub use plan::{EndpointGuard, GuardOutcome, RolesPlan, UNKNOWN_SOURCE, snapshot_of};
pub use server_names::InternalNames;
pub use snapshot::{InstanceView, RoleSnapshot};
pub use state::{RegisterError, Registered, RegistrationRequest, RoleEvent, RoleState, StateChange};
