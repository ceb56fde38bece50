//! A limit of connections to one address, exact across workers, and the queue of those who find none free.
//!
//! A connection holds its permit from dialling to closing, also while it lies idle in a pool. Who waits is handed a
//! connection that another request of the same worker is done with; for the others it is closed, so that its permit
//! comes round, and idle connections in the pools of other workers are given up.

use super::{
    h1::backend::BackendConn,
    pool::{self, Key},
    proxy_protocol::Version,
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};

/// How many connections there may be, and how many requests may wait for one, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub connections: usize,
    pub queue: usize,
    /// None: as long as the request has time.
    pub wait: Option<Duration>,
}

/// How connections to an address are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pooling {
    /// What is said on each, of whose it is: none is shared by clients then.
    pub announces: Option<Version>,
    pub limit: Option<Limit>,
    /// After this time a connection is not used again; zero: each serves one request. None: for ever.
    pub lifetime: Option<Duration>,
}

/// The permits for one address.
#[derive(Debug)]
pub struct Gate {
    limit: Limit,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Connections that were handed over: every so often one goes to another worker.
    turn: AtomicUsize,
}

/// The right to one connection; given back by being dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    gate: Arc<Gate>,
}

impl Permit {
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}

/// What a request got.
#[derive(Debug)]
pub enum Entered<T = Infallible> {
    /// It may dial.
    Dial(Permit),
    /// A connection that somebody else is done with.
    Take(Box<BackendConn>),
    /// Room on a connection that others use as well.
    Room(T),
}

/// Why it got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue is full.
    Full,
    /// It waited as long as the queue allows.
    Late,
    /// Its own time is over.
    Overdue,
    /// Its client left.
    Gone,
}

impl Gate {
    pub fn new(limit: Limit) -> Arc<Gate> {
        let permits = Arc::new(Semaphore::new(limit.connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Gate { limit, permits, waiting: AtomicUsize::new(0), turn: AtomicUsize::new(0) })
    }

    /// How many connections there may be.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Whether all connections there may be are there.
    pub fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether it is another worker's turn, while `here` requests of this one wait.
    pub(in crate::wire) fn passes_on(&self, here: usize) -> bool {
        self.waiting() > here && self.turn.fetch_add(1, Ordering::Relaxed) % 4 == 3
    }

    /// The right to a connection, if one is free and nobody waits for it.
    pub(in crate::wire) fn try_enter(self: &Arc<Gate>) -> Option<Permit> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(Permit { _permit: permit, gate: self.clone() })
    }

    /// A place in the queue, if there is one.
    pub(in crate::wire) fn join(&self) -> Option<Queued<'_>> {
        let most = self.limit.queue;
        let grown = |n: usize| (n < most).then_some(n + 1);
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).ok()?;
        Some(Queued(self))
    }

    /// The right to a connection, or a connection; waits for it in the queue until then, if it must.
    pub async fn enter(
        self: &Arc<Gate>,
        key: Key,
        until: Instant,
        gone: impl FnMut(&mut Context) -> Poll<()>,
    ) -> Result<Entered, Refused> {
        if let Some(permit) = self.try_enter() {
            return Ok(Entered::Dial(permit));
        }
        let queued = self.join().ok_or(Refused::Full)?;
        let entered = self.wait(Some(key), until, gone, |_| Poll::Pending).await;
        drop(queued);
        entered
    }

    /// Waits, in the queue: for a permit, for a connection of that key that somebody is done with, or for `room`.
    pub(in crate::wire) async fn wait<T>(
        self: &Arc<Gate>,
        key: Option<Key>,
        until: Instant,
        mut gone: impl FnMut(&mut Context) -> Poll<()>,
        mut room: impl FnMut(&mut Context) -> Poll<T>,
    ) -> Result<Entered<T>, Refused> {
        let (end, late) = match self.limit.wait.map(|wait| Instant::now() + wait) {
            Some(end) if end < until => (end, Refused::Late),
            _ => (until, Refused::Overdue),
        };
        let mut handed = key.map(pool::wait_for);
        let mut permit = pin!(self.permits.clone().acquire_owned());
        let mut alarm = pin!(sleep_until(end.into()));
        pool::call_for_idle();
        poll_fn(|cx| {
            if let Some(Poll::Ready(Ok(conn))) = handed.as_mut().map(|handed| Pin::new(handed).poll(cx)) {
                return Poll::Ready(Ok(Entered::Take(conn)));
            }
            if let Poll::Ready(Ok(permit)) = permit.as_mut().poll(cx) {
                let permit = Permit { _permit: permit, gate: self.clone() };
                return Poll::Ready(Ok(Entered::Dial(permit)));
            }
            if let Poll::Ready(room) = room(cx) {
                return Poll::Ready(Ok(Entered::Room(room)));
            }
            if gone(cx).is_ready() {
                return Poll::Ready(Err(Refused::Gone));
            }
            alarm.as_mut().poll(cx).map(|()| Err(late))
        })
        .await
    }
}

/// A place in the queue, given back by being dropped.
#[derive(Debug)]
pub(in crate::wire) struct Queued<'g>(&'g Gate);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pool::Slot;

    fn limit(connections: usize, queue: usize) -> Limit {
        Limit { connections, queue, wait: Some(Duration::from_secs(5)) }
    }

    fn later() -> Instant {
        tokio::time::Instant::now().into_std() + Duration::from_secs(60)
    }

    fn here(_: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_one_waits_for_a_permit_and_the_next_is_sent_away() {
        let (gate, slot) = (Gate::new(limit(1, 1)), Slot::claim());
        let Ok(Entered::Dial(first)) = gate.enter(slot.key(), later(), here).await else { panic!("free") };
        let mut second = Box::pin(gate.enter(slot.key(), later(), here));
        assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
        assert_eq!(gate.waiting(), 1);
        assert_eq!(gate.enter(slot.key(), later(), here).await.err(), Some(Refused::Full));
        drop(first);
        assert!(matches!(second.await, Ok(Entered::Dial(_))));
        assert_eq!(gate.waiting(), 0);
        assert!(
            matches!(gate.enter(slot.key(), later(), here).await, Ok(Entered::Dial(_))),
            "all is free again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_sent_away_after_the_time_of_the_queue_or_its_own() {
        let (gate, slot) = (Gate::new(limit(1, 9)), Slot::claim());
        let Ok(held) = gate.enter(slot.key(), later(), here).await else { panic!("free") };
        let start = tokio::time::Instant::now();
        assert_eq!(gate.enter(slot.key(), later(), here).await.err(), Some(Refused::Late));
        assert!(start.elapsed() >= Duration::from_secs(4));
        let gone = gate.enter(slot.key(), later(), |_| Poll::Ready(())).await;
        assert_eq!((gone.err(), gate.waiting()), (Some(Refused::Gone), 0));
        drop(held);
        let patient = Gate::new(Limit { wait: None, ..limit(1, 1) });
        let Ok(_held) = patient.enter(slot.key(), later(), here).await else { panic!("free") };
        assert_eq!(patient.enter(slot.key(), later(), here).await.err(), Some(Refused::Overdue));
    }
}
