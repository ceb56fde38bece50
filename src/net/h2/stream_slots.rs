//! Counts the streams of a connection to a backend and the requests of this worker that wait for one.

use crate::net::{connection_limit::ConnectionLimiter, release_requests};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// The active streams of one connection.
#[derive(Debug)]
pub struct StreamCount {
    current: AtomicU32,
    /// The connection limit, if any, and the requests that wait for a stream.
    limit: Option<(Arc<ConnectionLimiter>, Arc<WaitQueue>)>,
    /// The worker of the connection.
    worker: usize,
}

/// The requests of this worker that wait for a stream to one endpoint.
#[derive(Debug, Default)]
pub struct WaitQueue {
    waiting: AtomicU32,
    pub notify: Notify,
}

impl StreamCount {
    /// A counter for a new connection.
    pub fn new(limit: Option<(Arc<ConnectionLimiter>, Arc<WaitQueue>)>) -> Arc<StreamCount> {
        Arc::new(StreamCount { limit, worker: release_requests::worker(), current: AtomicU32::new(0) })
    }

    /// The number of active streams.
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// Whether requests wait that cannot use this connection: of another worker, or HTTP/1.1.
    pub fn has_other_waiters(&self) -> bool {
        self.limit.as_ref().is_some_and(|(limiter, queue)| limiter.waiting() > queue.waiting())
    }
}

impl WaitQueue {
    /// The number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed) as usize
    }

    /// Counts a waiting request until the guard is dropped.
    pub fn enqueue(self: &Arc<WaitQueue>) -> WaiterGuard {
        self.waiting.fetch_add(1, Relaxed);
        WaiterGuard(self.clone())
    }
}

/// A waiting request.
#[derive(Debug)]
pub struct WaiterGuard(Arc<WaitQueue>);

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// An active stream.
#[derive(Debug)]
pub struct StreamGuard(Arc<StreamCount>);

impl StreamGuard {
    /// Counts a stream as active until the guard is dropped.
    pub fn acquire(streams: &Arc<StreamCount>) -> StreamGuard {
        streams.current.fetch_add(1, Relaxed);
        StreamGuard(streams.clone())
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let before = self.0.current.fetch_sub(1, Relaxed);
        let Some((limiter, queue)) = &self.0.limit else { return };
        match limiter.is_overloaded() {
            true => queue.notify.notify_last(),
            false => queue.notify.notify_one(),
        }
        if before == 1 {
            // No stream is active here: the permit may be released. First: a request that is queued after that finds it.
            limiter.set_idle(self.0.worker, true);
            if self.0.has_other_waiters() {
                release_requests::send(limiter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{connection_limit::ConnectionLimit, pool_key::PoolSlot};

    #[test]
    fn a_connection_has_other_waiters_when_more_requests_wait_than_in_the_local_queue() {
        let limit = ConnectionLimit { max_connections: 1, max_pending: 9, pending_timeout: None };
        let limiter = ConnectionLimiter::new(limit, PoolSlot::claim().key());
        let queue = Arc::new(WaitQueue::default());
        let streams = StreamCount::new(Some((limiter.clone(), queue.clone())));
        let (guard, other) = (StreamGuard::acquire(&streams), StreamGuard::acquire(&streams));
        assert_eq!((streams.current(), streams.has_other_waiters()), (2, false));
        let here = (limiter.enqueue(0, false), queue.enqueue());
        assert!(!streams.has_other_waiters(), "local requests will use it");
        let there = limiter.enqueue(1, false);
        assert!(streams.has_other_waiters());
        drop((there, here));
        assert!(!streams.has_other_waiters());
        drop((guard, other));
        assert_eq!((streams.current(), queue.waiting()), (0, 0));
    }
}
