//! Connections and datagrams that are forwarded as they are: `TransportRoutes` and `TransportOptions` (Envoy: TCP and UDP proxy
//! filters, nginx: the `stream` module, HAProxy: `mode tcp`).
//!
//! `plan::compile` checks the routes of a document and compiles them to [`TransportRouteBlueprint`]s; [`build`]
//! adds handles and yields the [`TransportListener`]s that `server::l4` reads for every connection. Which route a connection
//! takes is decided by [`TransportRouter`], a pure function of the server name and the protocols. What outlives a plan is
//! found by the key of the route: its cluster, its metrics.

pub mod access;
pub mod build;
mod blueprint;
mod config;
pub mod explain;
mod internal;
mod listener;
mod options;
mod route;
mod router;

pub use access::{AccessRule, Admission};
pub use blueprint::TransportRouteBlueprint;
pub use config::TransportConfig;
pub use internal::{InternalRoute, InternalTargets};
pub use listener::{HttpAdmission, TransportListener};
pub use options::TransportOptions;
pub use route::TransportRoute;
pub use router::{MatchReason, RouteConditions, TransportRouter};
