//! Connection limit of an endpoint, exact across workers, with a queue of pending requests.
//!
//! A permit is held from connect to close, also while the connection is idle in a pool. A queued request takes a
//! connection released on its own worker; otherwise idle connections of other workers are closed to free a permit.

use super::{
    connection_queue::{ConnectionQueue, Outcome},
    pool_key::PoolKey,
    proxy_protocol::Version,
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

pub use super::connection_queue::ConnectionLimit;

/// Connection pool settings of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// Version of the PROXY header sent on each connection; such a connection serves one client only.
    pub proxy_protocol: Option<Version>,
    pub limit: Option<ConnectionLimit>,
    /// Maximum age of a connection for new requests; zero: one request each. `None`: unlimited.
    pub max_lifetime: Option<Duration>,
}

/// The permits of one endpoint.
#[derive(Debug)]
pub struct ConnectionLimiter {
    limit: ConnectionLimit,
    /// The key of the endpoint's connections in the pools.
    key: PoolKey,
    queue: Mutex<ConnectionQueue>,
    /// The length of the queue: read for each request, without the lock.
    waiting: AtomicUsize,
    /// The workers that may hold idle connections, one bit each; the last bit for all further ones.
    idle_workers: AtomicU64,
}

/// Permission for one connection; released when dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<ConnectionLimiter>);

impl ConnectionPermit {
    /// The limiter that granted the permit.
    pub fn limiter(&self) -> &Arc<ConnectionLimiter> {
        &self.0
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// What a request received.
#[derive(Debug)]
pub enum Acquired<C, T = Infallible> {
    /// Permission to connect.
    Connect(ConnectionPermit),
    /// A connection released by another request.
    Reuse(C),
    /// A stream on a shared HTTP/2 connection.
    StreamSlot(T),
}

/// Connections that other requests release. The limiter waits for one without knowing the pool.
pub trait IdleSource {
    /// The connection.
    type Connection;

    /// The current worker.
    fn worker(&self) -> usize;

    /// Whether the request can use a connection that another request of its worker releases.
    fn accepts_released(&self) -> bool;

    /// Called when the request is queued: requests the release of idle connections of other workers.
    fn register(&mut self, ticket: u64, limiter: &Arc<ConnectionLimiter>);

    /// The connection that was released for the request.
    fn take(&mut self) -> Option<Self::Connection>;
}

/// Why no connection was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireError {
    /// The queue is full.
    QueueFull,
    /// `pending_timeout` expired.
    QueueTimeout,
    /// The backend is overloaded, and newer requests are served first.
    Overloaded,
    /// The request's own deadline passed.
    DeadlineExceeded,
    /// The client closed its connection.
    ClientClosed,
}

/// The highest bit of the workers.
const LAST_WORKER_BIT: usize = 63;

impl ConnectionLimiter {
    /// A limiter with all permits free, for the connections of this key.
    pub fn new(limit: ConnectionLimit, key: PoolKey) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter {
            limit,
            key,
            queue: Mutex::new(ConnectionQueue::new(limit)),
            waiting: AtomicUsize::new(0),
            idle_workers: AtomicU64::new(0),
        })
    }

    /// The configured limit.
    pub fn limit(&self) -> ConnectionLimit {
        self.limit
    }

    /// The key of the endpoint's connections in the pools.
    pub(in crate::net) fn key(&self) -> PoolKey {
        self.key
    }

    /// Whether all permits are taken.
    pub fn is_full(&self) -> bool {
        self.lock().is_exhausted()
    }

    /// The number of queued requests.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether the newest requests are served first.
    pub(in crate::net) fn is_overloaded(&self) -> bool {
        self.waiting() > 0 && self.lock().is_overloaded()
    }

    /// Records whether a worker may hold idle connections of the endpoint.
    pub(in crate::net) fn set_idle(&self, worker: usize, may_hold: bool) {
        let bit = 1 << worker.min(LAST_WORKER_BIT);
        match may_hold {
            true => self.idle_workers.fetch_or(bit, Ordering::SeqCst),
            // Several workers share the last bit.
            false if worker >= LAST_WORKER_BIT => return,
            false => self.idle_workers.fetch_and(!bit, Ordering::SeqCst),
        };
    }

    /// One worker that may hold idle connections, which no other request will be sent to until it reports again.
    pub(in crate::net) fn take_idle_worker(&self) -> Option<IdleWorker> {
        let take_lowest = |bits: u64| (bits != 0).then_some(bits & bits.wrapping_sub(1));
        let bits = self.idle_workers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_lowest).ok()?;
        match bits.trailing_zeros() as usize {
            LAST_WORKER_BIT => Some(IdleWorker::From(LAST_WORKER_BIT)),
            worker => Some(IdleWorker::One(worker)),
        }
    }

    /// A connection that becomes idle on this worker goes to the returned request instead, if any; `then` runs before the
    /// request is woken.
    pub(in crate::net) fn hand_over(&self, worker: usize, then: impl FnOnce(Option<u64>)) {
        let handed = self.update(|queue| queue.hand_over(worker));
        then(handed.as_ref().map(|(ticket, _)| *ticket));
        if let Some((_, Some(waker))) = handed {
            waker.wake();
        }
    }

    /// A permit, if one is free and no request is queued for it.
    pub(in crate::net) fn try_acquire(self: &Arc<ConnectionLimiter>) -> Option<ConnectionPermit> {
        self.lock().try_take().then(|| ConnectionPermit(self.clone()))
    }

    /// Returns a permit, and wakes the one request that receives it.
    fn release(&self) {
        if let Some(waker) = self.update(ConnectionQueue::release) {
            waker.wake();
        }
    }

    /// A place in the queue, unless it is full.
    pub(in crate::net) fn enqueue(&self, worker: usize, accepts_released: bool) -> Option<QueueGuard<'_>> {
        let now = tokio::time::Instant::now().into_std();
        let (ticket, evicted) = self.update(|queue| queue.join(worker, accepts_released, now))?;
        evicted.into_iter().for_each(Waker::wake);
        Some(QueueGuard { limiter: self, ticket, is_served: false })
    }

    /// Changes the queue, and publishes its length.
    fn update<T>(&self, change: impl FnOnce(&mut ConnectionQueue) -> T) -> T {
        let mut queue = self.lock();
        let result = change(&mut queue);
        self.waiting.store(queue.len(), Ordering::SeqCst);
        result
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit or a released connection; waits in the queue if the limit is reached.
    pub async fn acquire<S: IdleSource>(
        self: &Arc<ConnectionLimiter>,
        source: S,
        deadline: Instant,
        closed: impl FnMut(&mut Context) -> Poll<()>,
    ) -> Result<Acquired<S::Connection>, AcquireError> {
        if let Some(permit) = self.try_acquire() {
            return Ok(Acquired::Connect(permit));
        }
        self.wait(source, deadline, closed, |_| Poll::Pending).await
    }

    /// Waits in the queue: for a permit, for a released connection, or for `room`.
    pub(in crate::net) async fn wait<S: IdleSource, T>(
        self: &Arc<ConnectionLimiter>,
        mut source: S,
        deadline: Instant,
        mut closed: impl FnMut(&mut Context) -> Poll<()>,
        mut room: impl FnMut(&mut Context) -> Poll<T>,
    ) -> Result<Acquired<S::Connection, T>, AcquireError> {
        let place = self.enqueue(source.worker(), source.accepts_released());
        let mut place = place.ok_or(AcquireError::QueueFull)?;
        source.register(place.ticket, self);
        let now = tokio::time::Instant::now().into_std();
        let (expires, timeout_error) = match self.limit.pending_timeout.map(|wait| now + wait) {
            Some(expires) if expires < deadline => (expires, AcquireError::QueueTimeout),
            _ => (deadline, AcquireError::DeadlineExceeded),
        };
        let mut timer = pin!(sleep_until(expires.into()));
        poll_fn(|cx| {
            // First: a connection is not spent on a request whose client has closed.
            if closed(cx).is_ready() {
                return Poll::Ready(Err(AcquireError::ClientClosed));
            }
            match place.poll(cx) {
                Some(Outcome::Permit) => {
                    return Poll::Ready(Ok(Acquired::Connect(ConnectionPermit(self.clone()))));
                }
                Some(Outcome::Released) => {
                    return Poll::Ready(source.take().map(Acquired::Reuse).ok_or(AcquireError::QueueTimeout));
                }
                Some(Outcome::Evicted) => return Poll::Ready(Err(AcquireError::Overloaded)),
                None => {}
            }
            if let Poll::Ready(room) = room(cx) {
                place.is_served = true;
                return Poll::Ready(Ok(Acquired::StreamSlot(room)));
            }
            timer.as_mut().poll(cx).map(|()| Err(timeout_error))
        })
        .await
    }
}

/// Where a request for the release of idle connections is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum IdleWorker {
    One(usize),
    /// This worker and all after it.
    From(usize),
}

/// A place in the queue; left when dropped.
#[derive(Debug)]
pub(in crate::net) struct QueueGuard<'g> {
    limiter: &'g ConnectionLimiter,
    ticket: u64,
    is_served: bool,
}

impl QueueGuard<'_> {
    fn poll(&self, cx: &Context) -> Option<Outcome> {
        self.limiter.lock().poll(self.ticket, cx.waker())
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let unused = self.limiter.update(|queue| queue.leave(self.ticket, self.is_served));
        if unused == Some(Outcome::Permit) {
            self.limiter.release();
        }
    }
}

#[cfg(test)]
#[path = "connection_limit_tests.rs"]
mod tests;
