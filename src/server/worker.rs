//! A worker: one thread with its own runtime; a connection stays on the worker that accepted it.

use super::{dispatch::run_route, drain::MIN_EVICTED_IDLE, gateway::Gateway};
use crate::{
    base::budget::Budget,
    net::{
        buffered_client::BufferedClient, connection_limit::ConnectionLimiter, descriptors,
        h1::hop_by_hop::HopByHop, h2, pool, release_requests,
    },
    pipeline::{
        exchange::{Exchange, Peer, Runtime, Task},
        response::RouteResult,
    },
    plan::Plan,
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// The interval of pool and plan maintenance.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// The number of exchanges kept for reuse per worker.
const MAX_POOLED_EXCHANGES: usize = 256;
/// An exchange with larger buffers of its heads is not kept for reuse.
const MAX_RETAINED_HEADS: usize = 16 * 1024;

/// The state of a worker, shared by its connections.
pub struct Worker {
    pub index: usize,
    pub gateway: Arc<Gateway>,
}

thread_local! {
    /// The number of the plan, and the plan behind a reference count of this worker: cloning it does not touch memory of
    /// other workers.
    static PLAN: RefCell<Option<(u64, CachedPlan)>> = const { RefCell::new(None) };
    #[expect(clippy::vec_box, reason = "exchanges are pooled as boxes, never moved")]
    static EXCHANGES: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// The plan as held by one worker, and the runtime that stages use.
#[derive(Debug)]
pub struct PlanRef(Arc<Plan>);

/// Cloning it touches memory of this worker only.
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

    fn buffering_memory(&self) -> Option<&Arc<Budget>> {
        Some(&self.0.buffering_memory)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Worker {
    /// The current plan; fetched once per request.
    pub fn plan(&self) -> CachedPlan {
        self.read_plan(Arc::clone)
    }

    /// Reads from the current plan without holding it; `read` must not fetch the plan itself.
    pub fn read_plan<T>(&self, read: impl FnOnce(&CachedPlan) -> T) -> T {
        PLAN.with_borrow_mut(|cached| {
            // Before the plan: a newer plan than that of the number is replaced when the number changes.
            let number = self.gateway.plan_number();
            match cached {
                Some((known, plan)) if *known == number => read(plan),
                _ => {
                    let plan = Arc::new(PlanRef(self.gateway.plan.load_full()));
                    read(&cached.insert((number, plan)).1)
                }
            }
        })
    }

    /// An exchange for a request of this peer.
    pub fn acquire_exchange(&self, peer: Peer, now: Instant) -> Box<Exchange> {
        match EXCHANGES.with_borrow_mut(Vec::pop) {
            Some(mut exchange) => {
                exchange.client.peer = peer;
                exchange.worker = self.index;
                exchange.reset(now);
                exchange
            }
            None => Box::new(Exchange::new(peer, self.index, now)),
        }
    }

    /// Takes an exchange back into the pool when its connection becomes idle.
    pub fn release_exchange(&self, mut exchange: Box<Exchange>) {
        (exchange.response.cache_context, exchange.runtime) = (None, None);
        exchange.body.collected = None;
        if exchange.request.capacity() + exchange.response.spare_head.capacity() <= MAX_RETAINED_HEADS {
            EXCHANGES.with_borrow_mut(|kept| {
                if kept.len() < MAX_POOLED_EXCHANGES {
                    kept.push(exchange);
                }
            });
        }
    }

    /// Evicts idle connections, and drops a plan that is no longer current.
    pub async fn housekeeping(self: Arc<Self>) {
        let mut tick = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                now = tick.tick() => {
                    let idle_timeout = self.plan().limits.backend_idle;
                    pool::sweep(now.into_std(), idle_timeout);
                    h2::pool::evict_expired(now.into_std(), idle_timeout);
                    let (connections, streams) = h2::pool::connection_counts();
                    self.gateway.metrics().http2().backends(self.index, connections, streams);
                }
                () = descriptors::PROCESS.contended() => self.evict_idle(usize::MAX),
                limiters = release_requests::receive() => limiters.iter().for_each(release_contended),
            }
        }
    }

    /// Closes idle connections if new ones need their descriptors, or their place among the client connections.
    pub fn evict_idle(&self, max_connections: usize) {
        let (now, descriptors) = (Instant::now(), descriptors::PROCESS.excess());
        let excess = descriptors.max(self.gateway.connections.excess(max_connections));
        if excess > 0 {
            self.gateway.drain.evict_idle(excess, now);
        }
        if descriptors > 0 {
            pool::evict_idle(now, MIN_EVICTED_IDLE);
        }
    }
}

/// Closes idle connections of an endpoint that requests are queued for; if there is none, another worker does it.
fn release_contended(limiter: &Arc<ConnectionLimiter>) {
    pool::release_contended(limiter);
    let closing = h2::pool::release_contended(limiter);
    if limiter.waiting() > closing {
        release_requests::send(limiter);
    }
}
