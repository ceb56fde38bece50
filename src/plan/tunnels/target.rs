//! Routes whose path names the agent: a cluster for each agent, made when a request names it.

use super::host::host_placeholders;
use crate::{
    backend::{
        Cluster,
        attempt::AttemptConfig,
        cluster::{ClusterSpec, ClusterStates},
        endpoint::Instance,
    },
    base::percent::percent_decoded,
    net::agents::{address::AgentAddress, error::AgentError, names::is_agent_id, registry::AgentRegistry},
    pipeline::{error::GatewayError, exchange::Exchange},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Most clusters of one route.
const MAX_CLUSTERS: usize = 1024;
/// A cluster without requests for this time is dropped.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// The target of such a route.
pub struct AgentTarget {
    /// The settings of the clusters, with placeholders in the hosts.
    spec: ClusterSpec,
    /// The names of the route's values, in the order of their ranges.
    names: Box<[Box<str>]>,
    pub terms: AttemptConfig,
    states: Arc<ClusterStates>,
    agents: Arc<AgentRegistry>,
    clusters: Mutex<HashMap<String, UsedCluster>>,
}

struct UsedCluster {
    cluster: Arc<Cluster>,
    used_at: Instant,
}

impl AgentTarget {
    /// The target of a cluster whose hosts have placeholders.
    pub fn new(
        spec: ClusterSpec,
        names: &[Box<str>],
        terms: AttemptConfig,
        states: &Arc<ClusterStates>,
        agents: &Arc<AgentRegistry>,
    ) -> AgentTarget {
        AgentTarget {
            spec,
            names: names.into(),
            terms,
            states: states.clone(),
            agents: agents.clone(),
            clusters: Mutex::default(),
        }
    }

    /// Whether a host has placeholders.
    pub fn is_template(host: &str) -> bool {
        !host_placeholders(host).is_empty()
    }

    /// The hosts for this exchange, before its path is rewritten. An id that no entry of `Tunnels.Agents` fits is an error.
    pub fn hosts(&self, exchange: &Exchange) -> Result<Vec<String>, GatewayError> {
        let instances = self.spec.instances.iter().flatten();
        instances.map(|instance| self.host(&instance.host, exchange)).collect()
    }

    fn host(&self, template: &str, exchange: &Exchange) -> Result<String, GatewayError> {
        let mut host = template.to_owned();
        for name in host_placeholders(template) {
            let params = &exchange.routing.path_params;
            let value = params.get_by_name(&name, &self.names, exchange.request.target());
            let value =
                value.map(|value| percent_decoded(value.bytes, false).into_owned()).unwrap_or_default();
            host = host.replace(&format!("{{{name}}}"), &String::from_utf8_lossy(&value));
        }
        let (id, service) = AgentAddress::split(&host).unwrap_or_default();
        if !is_agent_id(id) || self.agents.config().agent(id).is_none() {
            return Err(AgentError::Unknown.into_gateway_error(id, service));
        }
        Ok(host)
    }

    /// The cluster of these hosts.
    pub fn cluster(&self, hosts: &[String], now: Instant) -> Arc<Cluster> {
        let key = hosts.join(",");
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = clusters.get_mut(&key) {
            used.used_at = now;
            return used.cluster.clone();
        }
        clusters.retain(|_, used| now.saturating_duration_since(used.used_at) < IDLE_TIMEOUT);
        if clusters.len() >= MAX_CLUSTERS
            && let Some(oldest) =
                clusters.iter().min_by_key(|(_, used)| used.used_at).map(|(key, _)| key.clone())
        {
            clusters.remove(&oldest);
        }
        let cluster = self.states.cluster(&self.spec_for(&key, hosts));
        clusters.insert(key, UsedCluster { cluster: cluster.clone(), used_at: now });
        cluster
    }

    fn spec_for(&self, key: &str, hosts: &[String]) -> ClusterSpec {
        let instances = self.spec.instances.iter().flatten().zip(hosts);
        let instances = instances.map(|(instance, host)| Instance { host: host.clone(), ..instance.clone() });
        ClusterSpec {
            key: format!("{} {key}", self.spec.key),
            instances: Some(instances.collect()),
            ..self.spec.clone()
        }
    }
}

impl fmt::Debug for AgentTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("AgentTarget").field("spec", &self.spec).finish_non_exhaustive()
    }
}
