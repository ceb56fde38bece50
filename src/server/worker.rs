//! A worker: one thread, one runtime; a connection lives and dies on the worker that accepted it.

use super::{dispatch::run_route, gateway::Gateway, internal_client::BufferedClient};
use crate::{
    net::{h1::hop_by_hop::HopByHop, h2, pool},
    pipeline::{
        exchange::{Exchange, Peer, Runtime, Task},
        response::RouteResult,
    },
    plan::Plan,
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How often a worker looks after its pools and its plan.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// Exchanges that a worker keeps for the next borrower.
const MAX_POOLED_EXCHANGES: usize = 256;
/// A head that grew larger than this is not kept.
const MAX_RETAINED_HEAD: usize = 16 * 1024;

/// What a worker knows; shared by its connections.
pub struct Worker {
    pub index: usize,
    pub gateway: Arc<Gateway>,
}

thread_local! {
    /// The plan behind a count of this worker's own: cloning it does not touch the other workers' memory.
    static PLAN: RefCell<Option<CachedPlan>> = const { RefCell::new(None) };
    #[expect(clippy::vec_box, reason = "exchanges are lent and taken back as boxes, never moved")]
    static EXCHANGES: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// The plan as one worker holds it, and what stages may ask of that worker.
#[derive(Debug)]
pub struct PlanRef(Arc<Plan>);

/// Cloning it touches the memory of this worker only.
pub type CachedPlan = Arc<PlanRef>;

impl Deref for PlanRef {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

impl Runtime for PlanRef {
    fn spawn(&self, task: Task) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(task);
        }
    }

    fn run_remaining(self: Arc<Self>, mut exchange: Box<Exchange>) -> Task<RouteResult> {
        Box::pin(async move {
            let route = self.route_of(&exchange)?;
            run_route(
                &route,
                &mut exchange,
                HopByHop::default(),
                &mut BufferedClient::new(Bytes::new(), None),
            )
            .await
        })
    }
}

impl Worker {
    /// The current plan; a request asks once.
    pub fn plan(&self) -> CachedPlan {
        PLAN.with_borrow_mut(|held| {
            let current = self.gateway.plan.load();
            match held {
                Some(held) if Arc::ptr_eq(&held.0, &current) => held.clone(),
                _ => held.insert(Arc::new(PlanRef(Arc::clone(&current)))).clone(),
            }
        })
    }

    /// An exchange for a request of that peer.
    pub fn acquire_exchange(&self, peer: Peer, now: Instant) -> Box<Exchange> {
        match EXCHANGES.with_borrow_mut(Vec::pop) {
            Some(mut x) => {
                x.client.peer = peer;
                x.worker = self.index;
                x.reset(now);
                x
            }
            None => Box::new(Exchange::new(peer, self.index, now)),
        }
    }

    /// Takes an exchange back when its connection goes idle.
    pub fn release_exchange(&self, mut exchange: Box<Exchange>) {
        (exchange.response.cache_context, exchange.runtime) = (None, None);
        if exchange.request.capacity() <= MAX_RETAINED_HEAD {
            EXCHANGES.with_borrow_mut(|kept| {
                if kept.len() < MAX_POOLED_EXCHANGES {
                    kept.push(exchange);
                }
            });
        }
    }

    /// Looks after the pools, and lets go of a plan that is no longer the current one.
    pub async fn housekeeping(self: Arc<Self>) {
        let mut tick = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wanted = pool::idle_release_requested();
            pool::release_contended();
            h2::pool::release_contended();
            tokio::select! {
                now = tick.tick() => {
                    let longest = self.plan().limits.backend_idle;
                    pool::sweep(now.into_std(), longest);
                    h2::pool::evict_expired(now.into_std(), longest);
                    let (connections, streams) = h2::pool::connection_counts();
                    self.gateway.metrics().http2().backends(self.index, connections, streams);
                }
                () = wanted => {}
            }
        }
    }
}
