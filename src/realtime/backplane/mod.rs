//! Several nodes: operations and sessions of hubs over the shared state.
//!
//! Entry point: [`Node::start`]. Every node subscribes to one channel for all nodes, whose order is the same everywhere, and
//! to a second one for the responses to it. A node applies its own operations at once and ignores their echo. A lease in Redis lists
//! the live nodes; requests wait for all of them.

pub mod contract;
mod convert;
mod lease;
mod node;
mod publisher;
mod requests;
mod takes;
pub mod wire;

pub use convert::{publication, publication_to_wire};
pub use node::Node;
