//! Clusters, endpoints, balancing, and the attempt that takes an exchange to one of them.

pub mod attempt;
pub mod balance;
pub mod cluster;

pub use cluster::{Cluster, Endpoint};
