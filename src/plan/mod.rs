//! The plan: a document, checked and compiled to routes, clusters and listeners that serve requests. Envoy calls it the
//! route configuration and cluster manager, nginx the configuration cycle, YARP the proxy configuration.
//!
//! [`compile()`] checks a document and compiles it to a pure [`blueprint`]; [`build()`] adds handles (pools, balancers, TLS) and
//! yields the [`Plan`], which `server` reads for every request; [`explain`] is its dry run. `control` builds a new plan at
//! every reload. A plan owns its routes and route table; what outlives it (cluster, cache and rate limit state, TLS
//! session tickets, metrics) is in [`ProcessState`] and is found again by key.

pub mod administration;
pub mod build;
pub mod aggregate;
pub mod apis;
pub mod blueprint;
mod client_fields;
mod cluster_builder;
pub mod check;
pub mod clusters;
pub mod compile;
pub mod diff;
pub mod document;
mod connection_affinity;
pub mod internal_target;
mod listeners;
mod dynamic_routes;
pub mod explain;
pub mod fabric_target;
pub mod hubs;
pub mod inherit;
pub mod routing;
pub mod compiled;
mod process_state;
pub mod roles;
mod route;
mod shared_sessions;
pub mod route_tests;
mod stage_options;
pub mod telemetry;
pub mod tunnels;
pub mod transport;

pub use blueprint::Limits;
pub use build::build;
pub use compile::{compile, compile_with_stages};
pub use compiled::{
    Aggregate, AggregatePart, ClientPace, ListenerPlan, ListenerTls, Plan, Route, RouteRef, Target,
};
pub use listeners::administration_listener;
pub use process_state::ProcessState;
