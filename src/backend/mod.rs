//! Clusters, endpoints, balancing, discovery, and the attempt that takes an exchange to an endpoint.

pub mod attempt;
pub mod balance;
pub mod cluster;
pub mod discovery;
pub mod endpoint;
pub mod health;
mod status;
pub mod cluster_state;

pub use cluster::Cluster;
