//! What all workers share: the current plan, counters, the access log, and the word that it is time to go.

use crate::{
    pipeline::cause::Why,
    plan::{Foundation, Plan},
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
    pub foundation: Foundation,
    pub log: AccessLog,
    pub drain: Drain,
    pub connections: Arc<Connections>,
    /// Plans that were replaced, until no request holds them any more.
    retired: Mutex<Vec<Arc<Plan>>>,
}

impl Gateway {
    /// Where everything is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.foundation.metrics
    }

    /// A gateway that is about to serve its first plan, which was activated on this foundation.
    pub fn new(plan: Plan, foundation: Foundation, log: AccessLog) -> Arc<Gateway> {
        foundation.metrics.plan(&plan.id);
        foundation.metrics.tls.certificates(plan.expiries.clone());
        Arc::new(Gateway {
            plan: ArcSwap::from_pointee(plan),
            foundation,
            log,
            drain: Drain::default(),
            connections: Arc::default(),
            retired: Mutex::default(),
        })
    }

    /// Puts a new plan in the place of the old one, which is let go later, off the data threads.
    pub fn swap(&self, plan: Plan) {
        self.foundation.metrics.plan(&plan.id);
        self.foundation.metrics.tls.certificates(plan.expiries.clone());
        let plan = Arc::new(plan);
        self.foundation.metrics.retire(&plan.labels());
        let old = self.plan.swap(plan);
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// Lets go of what nobody wants any more: retired plans that no request holds, services that nobody asks for.
    pub fn bury(&self) {
        if let Some(dynamic) = &self.plan.load().dynamic {
            dynamic.tidy(Instant::now());
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
    told: Arc<Notify>,
}

impl Drain {
    /// Whether the gateway is shutting down.
    pub fn is_on(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells everybody.
    pub fn begin(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.told.notify_waiters();
    }

    /// Wakes whoever waits for the word.
    pub fn told(&self) -> Arc<Notify> {
        self.told.clone()
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
pub enum TooMany {
    InAll,
    OfClient,
}

impl TooMany {
    /// The name of it.
    pub fn why(self) -> Why {
        match self {
            TooMany::InAll => Why::GatewayLimit,
            TooMany::OfClient => Why::ClientLimit,
        }
    }
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one in; addresses are only counted where there is a limit for them.
    pub fn enter(
        self: &Arc<Self>,
        client: IpAddr,
        most: usize,
        most_of_client: usize,
    ) -> Result<Seat, TooMany> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(TooMany::InAll);
        }
        let mut seat = Seat { connections: self.clone(), client: None };
        seat.take(client, most_of_client)?;
        Ok(seat)
    }
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub struct Seat {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl Seat {
    /// Counts it to an address too, once it is known whose connection it is.
    pub fn take(&mut self, client: IpAddr, most_of_client: usize) -> Result<(), TooMany> {
        if most_of_client < usize::MAX {
            let mut by_client = self.connections.by_client.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_client.entry(client).or_insert(0);
            if *count >= most_of_client {
                return Err(TooMany::OfClient);
            }
            *count += 1;
            self.client = Some(client);
        }
        Ok(())
    }
}

impl Drop for Seat {
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
