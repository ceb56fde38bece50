//! State shared by all workers: the current plan, metrics, connection counts, and the drain signal.

use super::{
    drain::Drain,
    l4::{OpenConnections, registry::Termination},
};
use crate::{
    base::{
        client_counts::{ClientCountGuard, ClientCounts},
        stream_limit::ActiveStreams,
    },
    net::descriptors::{self, DescriptorGuard},
    pipeline::error::ErrorCode,
    plan::{Plan, ProcessState},
    telemetry::Metrics,
};
use arc_swap::ArcSwap;
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The gateway.
pub struct Gateway {
    pub plan: ArcSwap<Plan>,
    /// Identifies the current plan among those of all gateways of the process.
    plan_number: AtomicU64,
    /// The state that plans are activated on, and which outlives them.
    pub shared_state: ProcessState,
    pub drain: Drain,
    pub connections: Arc<Connections>,
    /// UDP sessions of clients.
    pub sessions: Arc<UdpSessions>,
    /// Forwarded connections and UDP sessions.
    pub transport: Arc<OpenConnections>,
    /// HTTP/2 streams of clients.
    pub streams: Arc<ActiveStreams>,
    /// Replaced plans, kept until no request holds them.
    retired: Mutex<Vec<Arc<Plan>>>,
}

/// A number that no other plan has.
fn next_plan_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Gateway {
    /// The number of the current plan: it changes after the plan. Cheaper to read than the plan.
    pub fn plan_number(&self) -> u64 {
        self.plan_number.load(Ordering::Acquire)
    }

    /// The metrics of the process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared_state.metrics
    }

    /// A gateway with its first plan, which was activated on `foundation`.
    pub fn new(plan: Plan, foundation: ProcessState) -> Arc<Gateway> {
        foundation.metrics.plan(&plan.id);
        foundation.metrics.configure(plan.telemetry.emits_zero, plan.telemetry.has_native_histograms);
        foundation.metrics.tls.certificates(plan.expiries.clone());
        foundation.buffering_memory.set_capacity(plan.limits.buffering_memory);
        plan.hubs.activate(&foundation.hub_engine);
        foundation.agents.reconfigure(&plan.tunnels);
        plan.roles.publish_metrics();
        Arc::new(Gateway {
            plan: ArcSwap::from_pointee(plan),
            plan_number: AtomicU64::new(next_plan_number()),
            shared_state: foundation,
            drain: Drain::default(),
            connections: Arc::default(),
            sessions: Arc::default(),
            transport: Arc::default(),
            streams: Arc::default(),
            retired: Mutex::default(),
        })
    }

    /// Replaces the current plan; the old one is dropped later, outside of the worker threads.
    pub fn replace_plan(&self, plan: Plan) {
        self.shared_state.metrics.plan(&plan.id);
        self.shared_state.metrics.configure(plan.telemetry.emits_zero, plan.telemetry.has_native_histograms);
        self.shared_state.metrics.tls.certificates(plan.expiries.clone());
        self.shared_state.buffering_memory.set_capacity(plan.limits.buffering_memory);
        if let (Some(dynamic), Some(previous)) = (&plan.dynamic, &self.plan.load().dynamic) {
            dynamic.adopt(previous, Instant::now());
        }
        plan.hubs.activate(&self.shared_state.hub_engine);
        let plan = Arc::new(plan);
        self.shared_state.metrics.remove_absent(&plan.labels());
        let clusters: Vec<_> = plan.all_clusters().map(|cluster| cluster.label.clone()).collect();
        self.shared_state.metrics.remove_absent_clusters(&clusters.iter().map(|label| &**label).collect());
        self.shared_state.metrics.transport.remove_absent(&plan.transport_labels());
        plan.roles.publish_metrics();
        let old = self.plan.swap(plan.clone());
        self.plan_number.store(next_plan_number(), Ordering::Release);
        plan.roles.publish_changes(&old.roles);
        self.revoke(&plan);
        self.shared_state.agents.reconfigure(&plan.tunnels);
        self.shared_state.devices.revoke();
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// Ends the connections to internal endpoints that the plan does not allow any more, after its grace period.
    pub fn revoke(&self, plan: &Plan) {
        let revoked = self.transport.revoked(&plan.roles);
        if revoked.is_empty() {
            return;
        }
        let grace =
            plan.roles.blueprint.matrix.rules.as_ref().map_or(Duration::ZERO, |rules| rules.revoke_grace);
        let end = move || revoked.iter().for_each(|open| open.terminate(Termination::Revoked));
        if grace.is_zero() {
            return end();
        }
        self.shared_state.background.spawn(async move {
            tokio::time::sleep(grace).await;
            end();
        });
    }

    /// Drops retired plans that no request holds, and dynamic services that have been idle; returns whether a plan was dropped.
    pub fn drop_retired(&self) -> bool {
        if let Some(dynamic) = &self.plan.load().dynamic {
            dynamic.evict_idle(Instant::now());
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let (unused, in_use) = retired.drain(..).partition::<Vec<_>, _>(|plan| Arc::strong_count(plan) == 1);
        *retired = in_use;
        drop(retired);
        !unused.is_empty()
    }
}

/// The number of UDP sessions, in total and per client address.
#[derive(Debug, Default)]
pub struct UdpSessions {
    open: AtomicUsize,
    clients: ClientCounts,
}

/// A counted UDP session, until it is dropped.
#[derive(Debug)]
pub struct SessionGuard(Arc<UdpSessions>);

impl UdpSessions {
    /// Counts one more; `None` if there are `max` already.
    pub fn try_acquire(self: &Arc<Self>, max: usize) -> Option<SessionGuard> {
        let guard = SessionGuard(self.clone());
        (self.open.fetch_add(1, Ordering::Relaxed) < max).then_some(guard)
    }

    /// The counts of client addresses.
    pub fn clients(&self) -> &ClientCounts {
        &self.clients
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of client connections, in total and per address (of IPv6 per /64).
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    by_client: ClientCounts,
}

/// The connection limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimitError {
    Total,
    PerClient,
}

impl ConnectionLimitError {
    /// The error code of the limit.
    pub fn error_code(self) -> ErrorCode {
        match self {
            ConnectionLimitError::Total => ErrorCode::GatewayConnectionLimit,
            ConnectionLimitError::PerClient => ErrorCode::ClientConnectionLimit,
        }
    }
}

impl Connections {
    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many idle connections should be closed so that new ones do not reach the limit.
    pub fn excess(&self, max_connections: usize) -> usize {
        if self.open() < max_connections { 0 } else { max_connections / 16 + 1 }
    }

    /// Counts a new connection; addresses are counted only if there is a limit per client.
    pub fn try_acquire(
        self: &Arc<Self>,
        client: IpAddr,
        max_connections: usize,
        max_per_client: usize,
    ) -> Result<ConnectionGuard, ConnectionLimitError> {
        let descriptor =
            descriptors::PROCESS.try_client(max_connections).ok_or(ConnectionLimitError::Total)?;
        if self.open.fetch_add(1, Ordering::Relaxed) >= max_connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectionLimitError::Total);
        }
        let mut guard = ConnectionGuard { connections: self.clone(), client: None, _descriptor: descriptor };
        guard.assign_client(client, max_per_client)?;
        Ok(guard)
    }
}

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    connections: Arc<Connections>,
    client: Option<ClientCountGuard>,
    _descriptor: DescriptorGuard,
}

impl ConnectionGuard {
    /// Counts the connection for the client's address once that is known.
    pub fn assign_client(
        &mut self,
        client: IpAddr,
        max_per_client: usize,
    ) -> Result<(), ConnectionLimitError> {
        if max_per_client < usize::MAX {
            let counted = self.connections.by_client.of(client).try_acquire(max_per_client);
            self.client = Some(counted.ok_or(ConnectionLimitError::PerClient)?);
        }
        Ok(())
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}
