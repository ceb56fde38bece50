//! The settings of a cluster.

use super::{
    balance::{BalancerKind, SessionDirectories},
    endpoint::{Instance, TlsMode},
    health::HealthConfig,
};
use crate::net::connection_limit::PoolConfig;
use std::sync::Arc;

/// The settings of a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterSpec {
    /// Identifies the state that outlives the plan; clusters with equal keys share it.
    pub key: String,
    /// The name in logs and metrics.
    pub label: String,
    /// Static instances; `None` if service discovery provides them, see `Cluster::attach_source`.
    pub instances: Option<Vec<Instance>>,
    pub tls_mode: TlsMode,
    pub pooling: PoolConfig,
    pub balancer: BalancerKind,
    pub health: HealthConfig,
    /// Where sticky sessions are stored that several gateways share.
    pub sessions: Option<Arc<dyn SessionDirectories>>,
}
