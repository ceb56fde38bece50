//! Health of endpoints: active health checks and outlier detection. Off unless configured.
//!
//! Called health checking and outlier detection by Envoy, active and passive health checks by YARP. Entry points:
//! [`tasks::probe_loop`] probes the endpoints of a cluster, [`OutlierDetection::record`] takes the result of each
//! attempt; both are started by the cluster. [`state::Health`] belongs to the endpoint and outlives a reload; the
//! settings decide whether it matters.

mod active;
mod config;
mod outlier_detection;
pub mod state;
pub mod tasks;
#[cfg(test)]
mod tests;

pub use config::{ActiveCheck, HealthConfig, OutlierDetection, ProbeKind};
pub use outlier_detection::AttemptReport;
