//! Backends: clusters of endpoints, load balancing, health, service discovery, and the call of an exchange.
//!
//! Called clusters and endpoints by Envoy, `upstream` by nginx, clusters and destinations by YARP. Entry points:
//! [`ClusterStates::cluster`](cluster::ClusterStates::cluster) builds a cluster for a plan, [`attempt::run`] sends an
//! exchange to it. Callers: `plan`, `server` and `control` (status of the clusters). This floor owns the endpoints,
//! their connection settings and their health. What outlives a reload, keyed by the cluster's key: [`EndpointState`]
//! (requests in flight, latency, circuit breaker, health), [`ClusterState`](cluster_state::ClusterState) (round-robin
//! counter), sessions, retry budgets, watched services, and what resolvers of [`fabric`] know.
//!
//! [`EndpointState`]: endpoint_state::EndpointState

pub mod affinity;
pub mod attempt;
pub mod balance;
mod balancer_states;
pub mod cluster;
mod cluster_spec;
pub mod cluster_state;
pub mod discovery;
mod drained;
pub mod endpoint;
pub mod endpoint_state;
pub mod fabric;
pub mod health;
pub mod selection;
mod sliding_window;
pub mod status;

pub use cluster::Cluster;
pub use drained::DrainError;
