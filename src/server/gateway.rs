//! State shared by all workers: the current plan, metrics, the access log, connection counts, and the drain signal.

use crate::{
    pipeline::error::ErrorCode,
    plan::{Plan, ProcessState},
    telemetry::{AccessLog, Metrics},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

/// The gateway.
pub struct Gateway {
    pub plan: ArcSwap<Plan>,
    /// The state that plans are activated on, and which outlives them.
    pub shared_state: ProcessState,
    pub log: AccessLog,
    pub drain: Drain,
    pub connections: Arc<Connections>,
    /// Replaced plans, kept until no request holds them.
    retired: Mutex<Vec<Arc<Plan>>>,
}

impl Gateway {
    /// The metrics of the process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared_state.metrics
    }

    /// A gateway with its first plan, which was activated on `foundation`.
    pub fn new(plan: Plan, foundation: ProcessState, log: AccessLog) -> Arc<Gateway> {
        foundation.metrics.plan(&plan.id);
        foundation.metrics.tls.certificates(plan.expiries.clone());
        Arc::new(Gateway {
            plan: ArcSwap::from_pointee(plan),
            shared_state: foundation,
            log,
            drain: Drain::default(),
            connections: Arc::default(),
            retired: Mutex::default(),
        })
    }

    /// Replaces the current plan; the old one is dropped later, outside of the worker threads.
    pub fn replace_plan(&self, plan: Plan) {
        self.shared_state.metrics.plan(&plan.id);
        self.shared_state.metrics.tls.certificates(plan.expiries.clone());
        let plan = Arc::new(plan);
        self.shared_state.metrics.remove_absent(&plan.labels());
        let old = self.plan.swap(plan);
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// Drops retired plans that no request holds, and dynamic services that have been idle.
    pub fn drop_retired(&self) {
        if let Some(dynamic) = &self.plan.load().dynamic {
            dynamic.evict_idle(Instant::now());
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let (unused, in_use) = retired.drain(..).partition::<Vec<_>, _>(|plan| Arc::strong_count(plan) == 1);
        *retired = in_use;
        drop(retired);
        drop(unused);
    }
}

/// The drain signal: no new connections and requests are accepted.
#[derive(Debug, Default)]
pub struct Drain {
    draining: AtomicBool,
    notified: Arc<Notify>,
}

impl Drain {
    /// Whether the gateway is shutting down.
    pub fn is_on(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Starts draining and wakes all waiting tasks.
    pub fn begin(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.notified.notify_waiters();
    }

    /// Resolves when draining starts.
    pub fn notified(&self) -> Arc<Notify> {
        self.notified.clone()
    }
}

/// The number of client connections, in total and per address.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
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

    /// Counts a new connection; addresses are counted only if there is a limit per client.
    pub fn try_acquire(
        self: &Arc<Self>,
        client: IpAddr,
        max_connections: usize,
        most_of_client: usize,
    ) -> Result<ConnectionGuard, ConnectionLimitError> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= max_connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectionLimitError::Total);
        }
        let mut seat = ConnectionGuard { connections: self.clone(), client: None };
        seat.assign_client(client, most_of_client)?;
        Ok(seat)
    }
}

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl ConnectionGuard {
    /// Counts the connection for the client's address once that is known.
    pub fn assign_client(
        &mut self,
        client: IpAddr,
        most_of_client: usize,
    ) -> Result<(), ConnectionLimitError> {
        if most_of_client < usize::MAX {
            let mut by_client = self.connections.by_client.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_client.entry(client).or_insert(0);
            if *count >= most_of_client {
                return Err(ConnectionLimitError::PerClient);
            }
            *count += 1;
            self.client = Some(client);
        }
        Ok(())
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut by_client = self.connections.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                by_client.remove(&client);
            }
        }
    }
}
