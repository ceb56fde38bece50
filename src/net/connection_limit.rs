//! Connection limit of an endpoint, exact across workers, with a queue of pending requests.
//!
//! A permit is held from connect to close, also while the connection is idle in a pool. A queued request takes a
//! connection released on its own worker; otherwise idle connections of other workers are closed to free a permit.

use super::proxy_protocol::Version;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};

/// Age of the queue from which it counts as overload: it has not been empty for this long.
const STANDING_QUEUE: Duration = Duration::from_millis(400);

/// How long a request waits in a queue that is overloaded, where no timeout is configured (controlled delay).
const OVERLOADED_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum number of connections and of pending requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionLimit {
    pub max_connections: usize,
    pub max_pending: usize,
    /// `None`: until the request's own deadline, and not longer than 500 ms once the queue has not been empty for
    /// 400 ms. With a longer wait every response of an overloaded backend would be too late.
    pub pending_timeout: Option<Duration>,
}

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
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// When the queue was last empty, in milliseconds after `created`.
    empty_at_ms: AtomicU64,
    created: Instant,
    /// Counts connections handed to waiting requests: every fourth goes to another worker.
    handoff_count: AtomicUsize,
}

/// Permission for one connection; released when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    limiter: Arc<ConnectionLimiter>,
}

impl ConnectionPermit {
    /// The limiter that granted the permit.
    pub fn limiter(&self) -> &Arc<ConnectionLimiter> {
        &self.limiter
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

    /// Registers the queued request, and requests the release of idle connections elsewhere.
    fn register(&mut self);

    /// Ready with a released connection.
    fn poll_released(&mut self, cx: &mut Context) -> Poll<Self::Connection>;
}

/// Why no connection was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquireError {
    /// The queue is full.
    QueueFull,
    /// `pending_timeout` expired.
    QueueTimeout,
    /// The request's own deadline passed.
    DeadlineExceeded,
    /// The client closed its connection.
    ClientClosed,
}

impl ConnectionLimiter {
    /// A limiter with all permits free.
    pub fn new(limit: ConnectionLimit) -> Arc<ConnectionLimiter> {
        let permits = Arc::new(Semaphore::new(limit.max_connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(ConnectionLimiter {
            limit,
            permits,
            waiting: AtomicUsize::new(0),
            empty_at_ms: AtomicU64::new(0),
            created: tokio::time::Instant::now().into_std(),
            handoff_count: AtomicUsize::new(0),
        })
    }

    /// The configured limit.
    pub fn limit(&self) -> ConnectionLimit {
        self.limit
    }

    /// Whether all permits are taken.
    pub fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// The number of queued requests.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether a released connection is due to another worker, while `local_waiters` requests of this one wait.
    pub(in crate::net) fn should_yield_to_other_worker(&self, local_waiters: usize) -> bool {
        self.waiting() > local_waiters && self.handoff_count.fetch_add(1, Ordering::Relaxed) % 4 == 3
    }

    /// A permit, if one is free and no request is queued for it.
    pub(in crate::net) fn try_acquire(self: &Arc<ConnectionLimiter>) -> Option<ConnectionPermit> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit { _permit: permit, limiter: self.clone() })
    }

    /// A place in the queue, unless it is full.
    pub(in crate::net) fn enqueue(&self) -> Option<QueueGuard<'_>> {
        let max_pending = self.limit.max_pending;
        let grown = |n: usize| (n < max_pending).then_some(n + 1);
        let before = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).ok()?;
        if before == 0 {
            self.empty_at_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        }
        Some(QueueGuard(self))
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = tokio::time::Instant::now().into_std().saturating_duration_since(self.created);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a request that joins the queue now may wait; `None`: until its own deadline.
    fn queue_timeout(&self) -> Option<Duration> {
        let queued_ms = self.elapsed_ms().saturating_sub(self.empty_at_ms.load(Ordering::Relaxed));
        let overloaded = Duration::from_millis(queued_ms) > STANDING_QUEUE;
        self.limit.pending_timeout.or_else(|| overloaded.then_some(OVERLOADED_TIMEOUT))
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
        let guard = self.enqueue().ok_or(AcquireError::QueueFull)?;
        let acquired = self.wait(source, deadline, closed, |_| Poll::Pending).await;
        drop(guard);
        acquired
    }

    /// Waits in the queue: for a permit, for a released connection, or for `room`.
    pub(in crate::net) async fn wait<S: IdleSource, T>(
        self: &Arc<ConnectionLimiter>,
        mut source: S,
        deadline: Instant,
        mut closed: impl FnMut(&mut Context) -> Poll<()>,
        mut room: impl FnMut(&mut Context) -> Poll<T>,
    ) -> Result<Acquired<S::Connection, T>, AcquireError> {
        let now = tokio::time::Instant::now().into_std();
        let (expires, timeout_error) = match self.queue_timeout().map(|wait| now + wait) {
            Some(expires) if expires < deadline => (expires, AcquireError::QueueTimeout),
            _ => (deadline, AcquireError::DeadlineExceeded),
        };
        source.register();
        let mut permit = pin!(self.permits.clone().acquire_owned());
        let mut timer = pin!(sleep_until(expires.into()));
        poll_fn(|cx| {
            if let Poll::Ready(conn) = source.poll_released(cx) {
                return Poll::Ready(Ok(Acquired::Reuse(conn)));
            }
            if let Poll::Ready(Ok(permit)) = permit.as_mut().poll(cx) {
                let permit = ConnectionPermit { _permit: permit, limiter: self.clone() };
                return Poll::Ready(Ok(Acquired::Connect(permit)));
            }
            if let Poll::Ready(room) = room(cx) {
                return Poll::Ready(Ok(Acquired::StreamSlot(room)));
            }
            if closed(cx).is_ready() {
                return Poll::Ready(Err(AcquireError::ClientClosed));
            }
            timer.as_mut().poll(cx).map(|()| Err(timeout_error))
        })
        .await
    }
}

/// A place in the queue; left when dropped.
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

    /// A pool in which no connection is ever released.
    struct EmptyPool;

    impl IdleSource for EmptyPool {
        type Connection = Infallible;

        fn register(&mut self) {}

        fn poll_released(&mut self, _cx: &mut Context) -> Poll<Infallible> {
            Poll::Pending
        }
    }

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

    fn local_waiters(_: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_one_request_waits_and_the_next_is_rejected() {
        let limiter = ConnectionLimiter::new(limit(1, 1));
        let Ok(Acquired::Connect(first)) = limiter.acquire(EmptyPool, later(), local_waiters).await else {
            panic!("free")
        };
        let mut second = Box::pin(limiter.acquire(EmptyPool, later(), local_waiters));
        assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await.is_pending());
        assert_eq!(limiter.waiting(), 1);
        assert_eq!(
            limiter.acquire(EmptyPool, later(), local_waiters).await.err(),
            Some(AcquireError::QueueFull)
        );
        drop(first);
        assert!(matches!(second.await, Ok(Acquired::Connect(_))));
        assert_eq!(limiter.waiting(), 0);
        assert!(
            matches!(limiter.acquire(EmptyPool, later(), local_waiters).await, Ok(Acquired::Connect(_))),
            "a permit is free again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_briefly_in_a_queue_that_does_not_empty() {
        let limiter = ConnectionLimiter::new(ConnectionLimit { pending_timeout: None, ..limit(1, 9) });
        let Ok(held) = limiter.acquire(EmptyPool, later(), local_waiters).await else { panic!("free") };
        let mut first = Box::pin(limiter.acquire(EmptyPool, later(), local_waiters));
        assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await.is_pending());
        tokio::time::sleep(STANDING_QUEUE * 2).await;
        let start = tokio::time::Instant::now();
        let second = limiter.acquire(EmptyPool, later(), local_waiters).await;
        assert_eq!((second.err(), start.elapsed()), (Some(AcquireError::QueueTimeout), OVERLOADED_TIMEOUT));
        drop(held);
        assert!(matches!(first.await, Ok(Acquired::Connect(_))), "requests of before keep their place");
        let Ok(_held) = limiter.acquire(EmptyPool, later(), local_waiters).await else { panic!("free") };
        let mut third = Box::pin(limiter.acquire(EmptyPool, later(), local_waiters));
        assert!(poll_fn(|cx| Poll::Ready(third.as_mut().poll(cx))).await.is_pending());
        tokio::time::advance(OVERLOADED_TIMEOUT * 2).await;
        assert!(poll_fn(|cx| Poll::Ready(third.as_mut().poll(cx))).await.is_pending(), "the queue was empty");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queued_request_times_out() {
        let limiter = ConnectionLimiter::new(limit(1, 9));
        let Ok(held) = limiter.acquire(EmptyPool, later(), local_waiters).await else { panic!("free") };
        let start = tokio::time::Instant::now();
        assert_eq!(
            limiter.acquire(EmptyPool, later(), local_waiters).await.err(),
            Some(AcquireError::QueueTimeout)
        );
        assert!(start.elapsed() >= Duration::from_secs(4));
        let closed = limiter.acquire(EmptyPool, later(), |_| Poll::Ready(())).await;
        assert_eq!((closed.err(), limiter.waiting()), (Some(AcquireError::ClientClosed), 0));
        drop(held);
        let without_timeout =
            ConnectionLimiter::new(ConnectionLimit { pending_timeout: None, ..limit(1, 1) });
        let Ok(_held) = without_timeout.acquire(EmptyPool, later(), local_waiters).await else {
            panic!("free")
        };
        assert_eq!(
            without_timeout.acquire(EmptyPool, later(), local_waiters).await.err(),
            Some(AcquireError::DeadlineExceeded)
        );
    }
}
