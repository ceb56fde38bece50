//! Forwards connections and datagrams as they are (Envoy: TCP and UDP proxy filters, nginx: the `stream` module).
//!
//! `connection` takes an accepted connection from its first byte to its end: `hello` reads the server name, `dial` connects
//! to the service, and `relay` moves bytes, one `direction` at a time. `sessions` and `udp_session` do the same for UDP. Which route a
//! connection takes is decided by `plan::transport`, and who may reach an internal endpoint by `plan::roles`. All open
//! connections are in `registry`, for operators, revocation and the end of the drain; nothing else outlives them.

pub mod connection;
pub mod dial;
mod direction;
mod hello;
pub mod registry;
mod relay;
mod session;
pub mod sessions;
mod udp_session;

pub use connection::{Incoming, serve};
pub use registry::{OpenConnections, OpenSummary};
