//! A limit of connections to one address, exact across workers, and the queue of those who find none free.
//!
//! A connection holds its permit from dialling to closing, also while it lies idle in a pool. Who waits is handed a
//! connection that another request of the same worker is done with; for the others it is closed, so that its permit
//! comes round, and idle connections in the pools of other workers are given up.

use super::{
    h1::backend::BackendConn,
    pool::{self, PoolKey},
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
pub struct ConnectionLimit {
    pub max_connections: usize,
    pub max_pending: usize,
    /// None: as long as the request has time.
    pub pending_timeout: Option<Duration>,
}

/// How connections to an address are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// What is said on each, of whose it is: none is shared by clients then.
    pub proxy_protocol: Option<Version>,
    pub limit: Option<ConnectionLimit>,
    /// After this time a connection is not used again; zero: each serves one request. None: for ever.
    pub max_lifetime: Option<Duration>,
}

/// The permits for one address.
#[derive(Debug)]
pub struct ConnectionLimiter {
    limit: ConnectionLimit,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Connections that were handed over: every so often one goes to another worker.
    handoff_count: AtomicUsize,
}

/// The right to one connection; given back by being dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    gate: Arc<ConnectionLimiter>,
}

impl ConnectionPermit {
    pub fn gate(&self) -> &Arc<ConnectionLimiter> {
        &self.gate
    }
}

/// What a request got.
#[derive(Debug)]
pub enum Acquired<T = Infallible> {
    /// It may dial.
    Connect(ConnectionPermit),
    /// A connection that somebody else is done with.
    Reuse(Box<BackendConn>),
    /// Room on a connection that others use as well.
    StreamSlot(T),
}

/// Why it got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireError {
    /// The queue is full.
    QueueFull,
    /// It waited as long as the queue allows.
    QueueTimeout,
    /// Its own time is over.
    DeadlineExceeded,
    /// Its client left.
    ClientClosed,
}

impl ConnectionLimiter {
    pub fn new(limit: ConnectionLimit) -> Arc<ConnectionLimiter> {
        let permits = Arc::new(Semaphore::new(limit.max_connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(ConnectionLimiter {
            limit,
            permits,
            waiting: AtomicUsize::new(0),
            handoff_count: AtomicUsize::new(0),
        })
    }

    /// How many connections there may be.
    pub fn limit(&self) -> ConnectionLimit {
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
    pub(in crate::net) fn should_yield_to_other_worker(&self, here: usize) -> bool {
        self.waiting() > here && self.handoff_count.fetch_add(1, Ordering::Relaxed) % 4 == 3
    }

    /// The right to a connection, if one is free and nobody waits for it.
    pub(in crate::net) fn try_acquire(self: &Arc<ConnectionLimiter>) -> Option<ConnectionPermit> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit { _permit: permit, gate: self.clone() })
    }

    /// A place in the queue, if there is one.
    pub(in crate::net) fn enqueue(&self) -> Option<QueueGuard<'_>> {
        let most = self.limit.max_pending;
        let grown = |n: usize| (n < most).then_some(n + 1);
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).ok()?;
        Some(QueueGuard(self))
    }

    /// The right to a connection, or a connection; waits for it in the queue until then, if it must.
    pub async fn acquire(
        self: &Arc<ConnectionLimiter>,
        key: PoolKey,
        until: Instant,
        gone: impl FnMut(&mut Context) -> Poll<()>,
    ) -> Result<Acquired, AcquireError> {
        if let Some(permit) = self.try_acquire() {
            return Ok(Acquired::Connect(permit));
        }
        let queued = self.enqueue().ok_or(AcquireError::QueueFull)?;
        let entered = self.pending_timeout(Some(key), until, gone, |_| Poll::Pending).await;
        drop(queued);
        entered
    }

    /// Waits, in the queue: for a permit, for a connection of that key that somebody is done with, or for `room`.
    pub(in crate::net) async fn pending_timeout<T>(
        self: &Arc<ConnectionLimiter>,
        key: Option<PoolKey>,
        until: Instant,
        mut gone: impl FnMut(&mut Context) -> Poll<()>,
        mut room: impl FnMut(&mut Context) -> Poll<T>,
    ) -> Result<Acquired<T>, AcquireError> {
        let (end, late) = match self.limit.pending_timeout.map(|wait| Instant::now() + wait) {
            Some(end) if end < until => (end, AcquireError::QueueTimeout),
            _ => (until, AcquireError::DeadlineExceeded),
        };
        let mut handed = key.map(pool::register_waiter);
        let mut permit = pin!(self.permits.clone().acquire_owned());
        let mut alarm = pin!(sleep_until(end.into()));
        pool::request_idle_release();
        poll_fn(|cx| {
            if let Some(Poll::Ready(Ok(conn))) = handed.as_mut().map(|handed| Pin::new(handed).poll(cx)) {
                return Poll::Ready(Ok(Acquired::Reuse(conn)));
            }
            if let Poll::Ready(Ok(permit)) = permit.as_mut().poll(cx) {
                let permit = ConnectionPermit { _permit: permit, gate: self.clone() };
                return Poll::Ready(Ok(Acquired::Connect(permit)));
            }
            if let Poll::Ready(room) = room(cx) {
                return Poll::Ready(Ok(Acquired::StreamSlot(room)));
            }
            if gone(cx).is_ready() {
                return Poll::Ready(Err(AcquireError::ClientClosed));
            }
            alarm.as_mut().poll(cx).map(|()| Err(late))
        })
        .await
    }
}

/// A place in the queue, given back by being dropped.
#[derive(Debug)]
pub(in crate::net) struct QueueGuard<'g>(&'g ConnectionLimiter);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::pool::PoolSlot;

    fn limit(connections: usize, queue: usize) -> ConnectionLimit {
        ConnectionLimit {
            max_connections: connections,
            max_pending: queue,
            pending_timeout: Some(Duration::from_secs(5)),
        }
    }

    fn later() -> Instant {
        tokio::time::Instant::now().into_std() + Duration::from_secs(60)
    }

    fn here(_: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_one_waits_for_a_permit_and_the_next_is_sent_away() {
        let (gate, slot) = (ConnectionLimiter::new(limit(1, 1)), PoolSlot::claim());
        let Ok(Acquired::Connect(first)) = gate.acquire(slot.key(), later(), here).await else {
            panic!("free")
        };
        let mut second = Box::pin(gate.acquire(slot.key(), later(), here));
        assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
        assert_eq!(gate.waiting(), 1);
        assert_eq!(gate.acquire(slot.key(), later(), here).await.err(), Some(AcquireError::QueueFull));
        drop(first);
        assert!(matches!(second.await, Ok(Acquired::Connect(_))));
        assert_eq!(gate.waiting(), 0);
        assert!(
            matches!(gate.acquire(slot.key(), later(), here).await, Ok(Acquired::Connect(_))),
            "all is free again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_sent_away_after_the_time_of_the_queue_or_its_own() {
        let (gate, slot) = (ConnectionLimiter::new(limit(1, 9)), PoolSlot::claim());
        let Ok(held) = gate.acquire(slot.key(), later(), here).await else { panic!("free") };
        let start = tokio::time::Instant::now();
        assert_eq!(gate.acquire(slot.key(), later(), here).await.err(), Some(AcquireError::QueueTimeout));
        assert!(start.elapsed() >= Duration::from_secs(4));
        let gone = gate.acquire(slot.key(), later(), |_| Poll::Ready(())).await;
        assert_eq!((gone.err(), gate.waiting()), (Some(AcquireError::ClientClosed), 0));
        drop(held);
        let patient = ConnectionLimiter::new(ConnectionLimit { pending_timeout: None, ..limit(1, 1) });
        let Ok(_held) = patient.acquire(slot.key(), later(), here).await else { panic!("free") };
        assert_eq!(
            patient.acquire(slot.key(), later(), here).await.err(),
            Some(AcquireError::DeadlineExceeded)
        );
    }
}
