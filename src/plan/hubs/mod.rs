//! `Realtime`, `HubServices`, `DownstreamHubService` and `NegotiateOptions`: documents, their compilation, and the targets of
//! routes to hubs.

pub mod blueprint;
pub mod build;
pub mod documents;
mod event_pattern;
mod find_cluster;
mod handler;
mod hub;
mod negotiation;
mod route;
mod service;
mod signalr;

pub use blueprint::{HubRouteBlueprint, HubsBlueprint};
pub use route::RouteSettings;
pub use service::compile;
