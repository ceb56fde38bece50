//! What all workers share: the current plan, counters, the access log, and the word that it is time to go.

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

/// The gateway as a whole.
pub struct Gateway {
    pub plan: ArcSwap<Plan>,
    /// What plans are activated on, and outlives them.
    pub shared_state: ProcessState,
    pub log: AccessLog,
    pub drain: Drain,
    pub connections: Arc<Connections>,
    /// Plans that were replaced, until no request holds them any more.
    retired: Mutex<Vec<Arc<Plan>>>,
}

impl Gateway {
    /// Where everything is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared_state.metrics
    }

    /// A gateway that is about to serve its first plan, which was activated on this foundation.
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

    /// Puts a new plan in the place of the old one, which is let go later, off the data threads.
    pub fn replace_plan(&self, plan: Plan) {
        self.shared_state.metrics.plan(&plan.id);
        self.shared_state.metrics.tls.certificates(plan.expiries.clone());
        let plan = Arc::new(plan);
        self.shared_state.metrics.remove_absent(&plan.labels());
        let old = self.plan.swap(plan);
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// Lets go of what nobody wants any more: retired plans that no request holds, services that nobody asks for.
    pub fn drop_retired(&self) {
        if let Some(dynamic) = &self.plan.load().dynamic {
            dynamic.evict_idle(Instant::now());
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let (dead, held) = retired.drain(..).partition::<Vec<_>, _>(|plan| Arc::strong_count(plan) == 1);
        *retired = held;
        drop(retired);
        drop(dead);
    }
}

/// The word that no new work is wanted.
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

    /// Tells everybody.
    pub fn begin(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.notified.notify_waiters();
    }

    /// Wakes whoever waits for the word.
    pub fn notified(&self) -> Arc<Notify> {
        self.notified.clone()
    }
}

/// Client connections, all and by address.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimitError {
    Total,
    PerClient,
}

impl ConnectionLimitError {
    /// The name of it.
    pub fn error_code(self) -> ErrorCode {
        match self {
            ConnectionLimitError::Total => ErrorCode::GatewayConnectionLimit,
            ConnectionLimitError::PerClient => ErrorCode::ClientConnectionLimit,
        }
    }
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one in; addresses are only counted where there is a limit for them.
    pub fn try_acquire(
        self: &Arc<Self>,
        client: IpAddr,
        most: usize,
        most_of_client: usize,
    ) -> Result<ConnectionGuard, ConnectionLimitError> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectionLimitError::Total);
        }
        let mut seat = ConnectionGuard { connections: self.clone(), client: None };
        seat.assign_client(client, most_of_client)?;
        Ok(seat)
    }
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl ConnectionGuard {
    /// Counts it to an address too, once it is known whose connection it is.
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
