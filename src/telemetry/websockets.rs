//! Switched connections, counted: few and long, so shared atomics do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A direction of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend,
    ToClient,
}

/// The numbers of all tunnels.
#[derive(Debug, Default)]
pub struct WebSocketMetrics {
    opened: AtomicU64,
    closed: AtomicU64,
    record_bytes: [AtomicU64; 2],
}

impl WebSocketMetrics {
    /// One more; `close` must follow.
    pub fn open(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// Ends what `open` began.
    pub fn close(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// So many bytes went that way.
    pub fn record_bytes(&self, way: Direction, bytes: u64) {
        self.record_bytes[way as usize].fetch_add(bytes, Relaxed);
    }

    /// How many were opened so far, and how many of them are open.
    pub fn totals(&self) -> (u64, u64) {
        let closed = self.closed.load(Relaxed);
        let opened = self.opened.load(Relaxed);
        (opened, opened.saturating_sub(closed))
    }

    /// Bytes to services and to clients.
    pub fn bytes(&self) -> [u64; 2] {
        [self.record_bytes[0].load(Relaxed), self.record_bytes[1].load(Relaxed)]
    }
}
