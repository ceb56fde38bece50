//! Who uses a connection to a backend, and who of this worker waits until he may.

use crate::net::{connection_limit::ConnectionLimiter, pool};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// The requests that use one connection.
#[derive(Debug, Default)]
pub struct StreamCount {
    current: AtomicU32,
    /// Where connections are counted: the limit, and those who wait.
    limit: Option<(Arc<ConnectionLimiter>, Arc<WaitQueue>)>,
}

/// Those of this worker who wait for a place on a connection to one endpoint.
#[derive(Debug, Default)]
pub struct WaitQueue {
    waiting: AtomicU32,
    pub notify: Notify,
}

impl StreamCount {
    pub fn new(limit: Option<(Arc<ConnectionLimiter>, Arc<WaitQueue>)>) -> Arc<StreamCount> {
        Arc::new(StreamCount { limit, ..StreamCount::default() })
    }

    /// How many there are.
    pub fn current(&self) -> u32 {
        self.current.load(Relaxed)
    }

    /// Whether others wait for a connection who cannot use this one: they are of another worker, or speak HTTP/1.1.
    pub fn has_other_waiters(&self) -> bool {
        self.limit.as_ref().is_some_and(|(gate, line)| gate.waiting() > line.waiting())
    }
}

impl WaitQueue {
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed) as usize
    }

    /// Stands in line until it is dropped.
    pub fn enqueue(self: &Arc<WaitQueue>) -> WaiterGuard {
        self.waiting.fetch_add(1, Relaxed);
        WaiterGuard(self.clone())
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub struct WaiterGuard(Arc<WaitQueue>);

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A place among those that use a connection.
#[derive(Debug)]
pub struct StreamGuard(Arc<StreamCount>);

impl StreamGuard {
    pub fn acquire(uses: &Arc<StreamCount>) -> StreamGuard {
        uses.current.fetch_add(1, Relaxed);
        StreamGuard(uses.clone())
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let before = self.0.current.fetch_sub(1, Relaxed);
        let Some((_, line)) = &self.0.limit else { return };
        line.notify.notify_one();
        if before == 1 && self.0.has_other_waiters() {
            // Nobody needs it here: its permit may go round.
            pool::request_idle_release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connection_limit::ConnectionLimit;

    #[test]
    fn a_connection_is_wanted_elsewhere_when_more_wait_than_stand_in_line_here() {
        let gate = ConnectionLimiter::new(ConnectionLimit {
            max_connections: 1,
            max_pending: 9,
            pending_timeout: None,
        });
        let line = Arc::new(WaitQueue::default());
        let uses = StreamCount::new(Some((gate.clone(), line.clone())));
        let (place, other) = (StreamGuard::acquire(&uses), StreamGuard::acquire(&uses));
        assert_eq!((uses.current(), uses.has_other_waiters()), (2, false));
        let here = (gate.enqueue(), line.enqueue());
        assert!(!uses.has_other_waiters(), "who waits here will use it");
        let there = gate.enqueue();
        assert!(uses.has_other_waiters());
        drop((there, here));
        assert!(!uses.has_other_waiters());
        drop((place, other));
        assert_eq!((uses.current(), line.waiting()), (0, 0));
    }
}
