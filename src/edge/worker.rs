//! A worker: one thread, one runtime; a connection lives and dies on the worker that accepted it.

use super::{answer::through, gateway::Gateway, part::Part};
use crate::{
    pipeline::{
        answer::Outcome,
        exchange::{Exchange, Peer},
        services::{Services, Task},
    },
    plan::Plan,
    wire::{h1::hop::Hop, h2, pool},
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
const TICK: Duration = Duration::from_secs(1);
/// Exchanges that a worker keeps for the next borrower.
const KEPT: usize = 256;
/// A head that grew larger than this is not kept.
const LARGEST: usize = 16 * 1024;

/// What a worker knows; shared by its connections.
pub struct Worker {
    pub index: usize,
    pub gateway: Arc<Gateway>,
}

thread_local! {
    /// The plan behind a count of this worker's own: cloning it does not touch the other workers' memory.
    static PLAN: RefCell<Option<Held>> = const { RefCell::new(None) };
    #[expect(clippy::vec_box, reason = "exchanges are lent and taken back as boxes, never moved")]
    static EXCHANGES: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// The plan as one worker holds it, and what stages may ask of that worker.
#[derive(Debug)]
pub struct Pinned(Arc<Plan>);

/// Cloning it touches the memory of this worker only.
pub type Held = Arc<Pinned>;

impl Deref for Pinned {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

impl Services for Pinned {
    fn spawn(&self, task: Task) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(task);
        }
    }

    fn inner(self: Arc<Self>, mut x: Box<Exchange>) -> Task<Outcome> {
        Box::pin(async move {
            let route = self.route_of(&x)?;
            through(&route, &mut x, Hop::default(), &mut Part::new(Bytes::new(), None)).await
        })
    }
}

impl Worker {
    /// The current plan; a request asks once.
    pub fn plan(&self) -> Held {
        PLAN.with_borrow_mut(|held| {
            let current = self.gateway.plan.load();
            match held {
                Some(held) if Arc::ptr_eq(&held.0, &current) => held.clone(),
                _ => held.insert(Arc::new(Pinned(Arc::clone(&current)))).clone(),
            }
        })
    }

    /// An exchange for a request of that peer.
    pub fn lend(&self, peer: Peer, now: Instant) -> Box<Exchange> {
        match EXCHANGES.with_borrow_mut(Vec::pop) {
            Some(mut x) => {
                x.peer = peer;
                x.worker = self.index;
                x.renew(now);
                x
            }
            None => Box::new(Exchange::new(peer, self.index, now)),
        }
    }

    /// Takes an exchange back when its connection goes idle.
    pub fn take_back(&self, mut x: Box<Exchange>) {
        (x.ticket, x.services) = (None, None);
        if x.req.capacity() <= LARGEST {
            EXCHANGES.with_borrow_mut(|kept| {
                if kept.len() < KEPT {
                    kept.push(x);
                }
            });
        }
    }

    /// Looks after the pools, and lets go of a plan that is no longer the current one.
    pub async fn housekeeping(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wanted = pool::wanted();
            pool::give_up();
            h2::pool::give_up();
            tokio::select! {
                now = tick.tick() => {
                    let longest = self.plan().limits.backend_idle;
                    pool::sweep(now.into_std(), longest);
                    h2::pool::sweep(now.into_std(), longest);
                    let (connections, streams) = h2::pool::count();
                    self.gateway.metrics().http2().backends(self.index, connections, streams);
                }
                () = wanted => {}
            }
        }
    }
}
