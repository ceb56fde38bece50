//! The agents that are connected to this process, and the settings that apply to them.

use super::{
    access::admit_agent,
    config::{AgentConfig, TunnelsConfig},
    entry::AgentConnection,
    throttle::FailedProofs,
    usage::AgentUsage,
};
use crate::{
    pipeline::error::ErrorCode,
    telemetry::{Metrics, agents::AgentLoss, agents::AgentMetrics},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::{Notify, watch};

/// Most connections of one instance.
const MAX_CONNECTIONS_PER_INSTANCE: usize = 16;

/// The agents of the process.
#[derive(Debug)]
pub struct AgentRegistry {
    config: ArcSwap<TunnelsConfig>,
    agents: Mutex<HashMap<Arc<str>, AgentState>>,
    /// Notified when an agent connects.
    connected: Notify,
    pub failed_proofs: FailedProofs,
    pub streams: AtomicUsize,
    is_draining: AtomicBool,
    /// Changes when a plan changes the settings, and when the gateway begins to shut down.
    changes: watch::Sender<u64>,
    next_stream: AtomicU64,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct AgentState {
    usage: Arc<AgentUsage>,
    /// In the order in which they were opened.
    connections: Vec<Arc<AgentConnection>>,
}

/// What the list of agents contains.
#[derive(Clone, Debug)]
pub struct AgentSummary {
    pub agent: Arc<str>,
    pub since: Option<SystemTime>,
    pub instances: usize,
    pub services: Vec<Box<str>>,
    pub streams: usize,
    pub round_trip_ms: f64,
    pub connections: Vec<Arc<AgentConnection>>,
}

impl AgentRegistry {
    /// An empty registry.
    pub fn new(metrics: Arc<Metrics>) -> Arc<AgentRegistry> {
        Arc::new(AgentRegistry {
            config: ArcSwap::default(),
            agents: Mutex::default(),
            connected: Notify::new(),
            failed_proofs: FailedProofs::default(),
            streams: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            next_stream: AtomicU64::new(fastrand::u64(..)),
            metrics,
        })
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<Arc<str>, AgentState>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of the current plan.
    pub fn config(&self) -> Arc<TunnelsConfig> {
        self.config.load_full()
    }

    /// The metrics of agents.
    pub fn metrics(&self) -> &AgentMetrics {
        &self.metrics.agents
    }

    /// Counts a refusal in the generic counter of errors.
    pub fn record_error(&self, code: ErrorCode) {
        self.metrics.record_error(code.name());
    }

    /// A number for the logs of both sides of a stream.
    pub fn new_stream_id(&self) -> String {
        format!("{:016x}", self.next_stream.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed))
    }

    /// Applies the settings of a new plan: ends the connections of agents that it does not admit any more.
    pub fn reconfigure(&self, config: &Arc<TunnelsConfig>) {
        if **self.config.load() == **config {
            return;
        }
        self.config.store(config.clone());
        self.changes.send_modify(|generation| *generation += 1);
        for connection in self.all_connections() {
            let hosts = [&*connection.host];
            let admitted = admit_agent(config, (&connection.agent, None), &[connection.proof()], &hosts);
            if admitted.is_err() {
                connection.end(AgentLoss::Revoked);
            }
        }
    }

    /// Ends all connections: at once those without streams, the others with their last stream.
    pub fn begin_drain(&self) {
        self.is_draining.store(true, Relaxed);
        self.changes.send_modify(|generation| *generation += 1);
        for connection in self.all_connections() {
            connection.end(AgentLoss::Shutdown);
        }
    }

    /// Notified when the settings change, and when the gateway begins to shut down.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether the gateway is shutting down.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    fn all_connections(&self) -> Vec<Arc<AgentConnection>> {
        self.agents().values().flat_map(|state| state.connections.iter().cloned()).collect()
    }

    /// Checks the limits before a connection is accepted.
    pub fn check_room(&self, agent: &str, instance: &str) -> Result<(), ErrorCode> {
        let agents = self.agents();
        let Some(state) = agents.get(agent) else {
            let is_full = agents.values().filter(|state| !state.connections.is_empty()).count()
                >= self.config.load().limits.max_agents;
            return if is_full { Err(ErrorCode::LimitAgents) } else { Ok(()) };
        };
        let own = state.connections.iter().filter(|connection| *connection.instance == *instance);
        match own.count() < MAX_CONNECTIONS_PER_INSTANCE {
            true => Ok(()),
            false => Err(ErrorCode::AgentInstance),
        }
    }

    /// Adds a connection. Another instance beyond `Instances` replaces the oldest one.
    pub fn add(&self, connection: &Arc<AgentConnection>, config: &AgentConfig) {
        let mut agents = self.agents();
        let state = agents.entry(connection.agent.clone()).or_default();
        state.connections.push(connection.clone());
        let mut instances: Vec<&str> = Vec::new();
        for known in state.connections.iter().rev().filter(|known| known.is_open()) {
            if !instances.contains(&&*known.instance) {
                if instances.len() >= config.instances {
                    known.end(AgentLoss::Replaced);
                    continue;
                }
                instances.push(&known.instance);
            }
        }
        drop(agents);
        self.metrics().connected.fetch_add(1, Relaxed);
        self.connected.notify_waiters();
        if self.is_draining() {
            connection.end(AgentLoss::Shutdown);
        }
    }

    /// Removes a connection that has ended.
    pub fn remove(&self, connection: &Arc<AgentConnection>) {
        let mut agents = self.agents();
        if let Some(state) = agents.get_mut(&connection.agent) {
            state.connections.retain(|known| !Arc::ptr_eq(known, connection));
            let counts_bytes = self
                .config
                .load()
                .agent(&connection.agent)
                .is_some_and(|agent| agent.limits.bytes_per_day.is_some());
            if state.connections.is_empty() && !counts_bytes {
                agents.remove(&connection.agent);
            }
        }
        drop(agents);
        self.metrics().connected.fetch_sub(1, Relaxed);
    }

    /// The open connections of an agent, and its use.
    pub fn connections_of(&self, agent: &str) -> (Vec<Arc<AgentConnection>>, Option<Arc<AgentUsage>>) {
        let agents = self.agents();
        let Some(state) = agents.get(agent) else { return (Vec::new(), None) };
        let open = state.connections.iter().filter(|connection| connection.is_open());
        (open.cloned().collect(), Some(state.usage.clone()))
    }

    /// Whether the agent is connected.
    pub fn is_connected(&self, agent: &str) -> bool {
        self.agents().get(agent).is_some_and(|state| state.connections.iter().any(|known| known.is_open()))
    }

    /// Waits until the agent is connected, at most this long.
    pub async fn wait_connected(&self, agent: &str, timeout: Duration) -> bool {
        let wait = async {
            loop {
                let connected = self.connected.notified();
                if self.is_connected(agent) {
                    return;
                }
                connected.await;
            }
        };
        self.is_connected(agent) || (!timeout.is_zero() && tokio::time::timeout(timeout, wait).await.is_ok())
    }

    /// All agents: those with their own entry, and the others that are connected.
    pub fn summaries(&self) -> Vec<AgentSummary> {
        let config = self.config();
        let agents = self.agents();
        let mut summaries: Vec<AgentSummary> =
            agents.iter().map(|(agent, state)| summary(agent, &state.connections, &config)).collect();
        for entry in config.own_entries() {
            if !agents.contains_key(&*entry.name) {
                summaries.push(summary(&Arc::from(&*entry.name), &[], &config));
            }
        }
        drop(agents);
        summaries.sort_by(|one, other| one.agent.cmp(&other.agent));
        summaries
    }
}

fn summary(agent: &Arc<str>, connections: &[Arc<AgentConnection>], config: &TunnelsConfig) -> AgentSummary {
    let open: Vec<_> = connections.iter().filter(|connection| connection.is_open()).cloned().collect();
    let (mut instances, mut services): (Vec<&str>, Vec<Box<str>>) = (Vec::new(), Vec::new());
    let is_allowed = |service: &str| config.agent(agent).is_some_and(|entry| entry.allows_service(service));
    for connection in &open {
        if !instances.contains(&&*connection.instance) {
            instances.push(&connection.instance);
        }
        for service in connection.services().iter().filter(|service| is_allowed(service)) {
            if !services.contains(service) {
                services.push(service.clone());
            }
        }
    }
    AgentSummary {
        agent: agent.clone(),
        since: open.iter().map(|connection| connection.opened_at).min(),
        instances: instances.len(),
        services,
        streams: connections.iter().map(|connection| connection.streams.load(Relaxed)).sum(),
        round_trip_ms: open.last().map_or(0.0, |connection| connection.round_trip_ms()),
        connections: open.clone(),
    }
}
