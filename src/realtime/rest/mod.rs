//! The data plane of Web PubSub and SignalR: REST for servers that send to connections, close them, and change groups and permissions.
//!
//! Entry point: [`DataPlane::respond`], called by `service/` for paths below `/api/`. An axum router without state; each
//! request carries its service and the engine, which executes everything that concerns connections
//! ([`super::operation::Operations`]). Holds compiled filters, and nothing that belongs to a plan.

mod body;
mod call;
mod data_plane;
mod error;
mod generate_token;
mod members;
mod operations;
mod routes;
mod signalr;
#[cfg(test)]
mod tests;

pub use data_plane::{DataPlane, OriginalTarget};
