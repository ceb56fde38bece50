//! The circuit breaker of the connection: after some timeouts in a row nothing is sent until a probe succeeds.

use crate::telemetry::SharedStateMetrics;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
};

/// Timeouts in a row that open the circuit.
const MAX_TIMEOUTS: u32 = 5;

/// The circuit, and the number of open connections.
#[derive(Debug)]
pub(super) struct Circuit {
    timeouts: AtomicU32,
    is_open: AtomicBool,
    connections: AtomicUsize,
    metrics: Arc<SharedStateMetrics>,
}

impl Circuit {
    /// A closed circuit without connections.
    pub fn new(metrics: Arc<SharedStateMetrics>) -> Circuit {
        Circuit {
            timeouts: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Whether commands are not sent.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// Whether there is a connection, and the circuit is closed.
    pub fn is_available(&self) -> bool {
        !self.is_open() && self.connections.load(Relaxed) > 0
    }

    /// Records a reply.
    pub fn record_reply(&self) {
        if self.timeouts.load(Relaxed) > 0 {
            self.timeouts.store(0, Relaxed);
        }
    }

    /// Records that a deadline passed; returns whether this opened the circuit.
    pub fn record_timeout(&self) -> bool {
        let count = self.timeouts.fetch_add(1, Relaxed) + 1;
        let opened = count >= MAX_TIMEOUTS && !self.is_open.swap(true, Relaxed);
        if opened {
            self.report();
        }
        opened
    }

    /// Closes the circuit after a probe; returns whether it was open.
    pub fn close(&self) -> bool {
        self.timeouts.store(0, Relaxed);
        let closed = self.is_open.swap(false, Relaxed);
        if closed {
            self.report();
        }
        closed
    }

    /// Records an opened or a closed connection.
    pub fn record_connection(&self, is_open: bool) {
        match is_open {
            true => self.connections.fetch_add(1, Relaxed),
            false => self.connections.fetch_sub(1, Relaxed),
        };
        self.report();
    }

    fn report(&self) {
        self.metrics.set_up(self.is_available());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_timeouts_in_a_row_open_the_circuit_and_a_probe_closes_it() {
        let circuit = Circuit::new(Arc::default());
        circuit.record_connection(true);
        assert!((0..4).all(|_| !circuit.record_timeout()) && circuit.is_available());
        circuit.record_reply();
        assert!((0..4).all(|_| !circuit.record_timeout()) && circuit.is_available());
        assert!(circuit.record_timeout() && !circuit.record_timeout() && !circuit.is_available());
        assert!(circuit.close() && !circuit.close() && circuit.is_available());
        circuit.record_connection(false);
        assert!(!circuit.is_available());
    }
}
