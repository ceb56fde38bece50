//! Upgraded connections: few and long-lived, so shared atomics suffice.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A direction of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend,
    ToClient,
}

/// The counters of all WebSocket connections.
#[derive(Debug, Default)]
pub struct WebSocketMetrics {
    opened: AtomicU64,
    closed: AtomicU64,
    record_bytes: [AtomicU64; 2],
}

impl WebSocketMetrics {
    /// Counts an opened connection; `close` must follow.
    pub fn open(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// Ends what `open` began.
    pub fn close(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Adds forwarded bytes of one direction.
    pub fn record_bytes(&self, direction: Direction, bytes: u64) {
        self.record_bytes[direction as usize].fetch_add(bytes, Relaxed);
    }

    /// The number of connections opened so far, and of those open now.
    pub fn totals(&self) -> (u64, u64) {
        let closed = self.closed.load(Relaxed);
        let opened = self.opened.load(Relaxed);
        (opened, opened.saturating_sub(closed))
    }

    /// Bytes to backends and to clients.
    pub fn bytes(&self) -> [u64; 2] {
        [self.record_bytes[0].load(Relaxed), self.record_bytes[1].load(Relaxed)]
    }
}
