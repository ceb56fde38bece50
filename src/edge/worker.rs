//! A worker: one thread, one runtime; a connection lives and dies on the worker that accepted it.

use super::gateway::Gateway;
use crate::{
    pipeline::exchange::{Exchange, Peer},
    plan::Plan,
    wire::pool,
};
use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

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

/// The plan as one worker holds it.
pub type Held = Arc<Arc<Plan>>;

impl Worker {
    /// The current plan; a request asks once.
    pub fn plan(&self) -> Held {
        PLAN.with_borrow_mut(|held| {
            let current = self.gateway.plan.load();
            match held {
                Some(held) if Arc::ptr_eq(&**held, &current) => held.clone(),
                _ => held.insert(Arc::new(Arc::clone(&current))).clone(),
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
    pub fn take_back(&self, x: Box<Exchange>) {
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
            let now = tick.tick().await.into_std();
            pool::sweep(now, self.plan().limits.backend_idle);
        }
    }
}
