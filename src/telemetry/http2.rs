//! HTTP/2 connections and streams, counted per worker.

use super::shard::LocalCounter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The shard of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    opened: LocalCounter,
    closed: LocalCounter,
    streams_started: LocalCounter,
    streams_ended: LocalCounter,
    resets: LocalCounter,
    streams_refused: LocalCounter,
    /// Connections to backends and their streams, updated periodically.
    connections: AtomicU64,
    streams: AtomicU64,
}

/// The counters of all workers.
#[derive(Debug)]
pub struct Http2Metrics(Box<[Shard]>);

/// The exported values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Totals {
    /// Open connections, to clients and to backends.
    pub connections: [u64; 2],
    /// Active streams on them.
    pub streams: [u64; 2],
    /// Streams opened by clients.
    pub streams_started: u64,
    /// Streams reset by clients.
    pub resets: u64,
    /// Streams refused because too many reset streams are still being cleaned up.
    pub streams_refused: u64,
}

impl Http2Metrics {
    pub(super) fn new(workers: usize) -> Http2Metrics {
        Http2Metrics((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// Counts a new client connection; `closed` must follow on the same worker.
    pub fn opened(&self, worker: usize) {
        self.add(worker, |shard| &shard.opened, 1);
    }

    /// Counts a closed client connection.
    pub fn closed(&self, worker: usize) {
        self.add(worker, |shard| &shard.closed, 1);
    }

    /// Counts refused streams.
    pub fn streams_refused(&self, worker: usize, requests: u32) {
        if requests > 0 {
            self.add(worker, |shard| &shard.streams_refused, u64::from(requests));
        }
    }

    /// Counts a new stream; `streams_ended` must follow on the same worker.
    pub fn streams_started(&self, worker: usize) {
        self.add(worker, |shard| &shard.streams_started, 1);
    }

    /// Counts the end of a stream; `reset` if the client reset it.
    pub fn streams_ended(&self, worker: usize, reset: bool) {
        self.add(worker, |shard| &shard.streams_ended, 1);
        self.add(worker, |shard| &shard.resets, u64::from(reset));
    }

    /// Sets the number of backend connections of a worker and of the streams on them.
    pub fn backends(&self, worker: usize, connections: u64, streams: u64) {
        if let Some(shard) = self.0.get(worker) {
            shard.connections.store(connections, Relaxed);
            shard.streams.store(streams, Relaxed);
        }
    }

    fn add(&self, worker: usize, which: impl Fn(&Shard) -> &LocalCounter, n: u64) {
        if let Some(shard) = self.0.get(worker) {
            which(shard).add(n);
        }
    }

    /// The sum of all workers. Ends are read before starts, so that no difference is negative.
    pub fn totals(&self) -> Http2Totals {
        let mut totals = Http2Totals::default();
        for shard in &self.0 {
            let (closed, ended) = (shard.closed.get(), shard.streams_ended.get());
            let begun = shard.streams_started.get();
            totals.connections[0] += shard.opened.get().saturating_sub(closed);
            totals.streams[0] += begun.saturating_sub(ended);
            totals.connections[1] += shard.connections.load(Relaxed);
            totals.streams[1] += shard.streams.load(Relaxed);
            totals.streams_started += begun;
            totals.resets += shard.resets.get();
            totals.streams_refused += shard.streams_refused.get();
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_and_open_is_started_minus_ended() {
        let metrics = Http2Metrics::new(2);
        metrics.opened(0);
        metrics.opened(1);
        metrics.closed(1);
        metrics.streams_refused(1, 3);
        metrics.streams_started(0);
        metrics.streams_started(0);
        metrics.streams_ended(0, true);
        metrics.backends(0, 2, 9);
        metrics.backends(1, 1, 1);
        metrics.streams_started(7);
        let expected = Http2Totals {
            connections: [1, 3],
            streams: [1, 10],
            streams_started: 2,
            resets: 1,
            streams_refused: 3,
        };
        assert_eq!(metrics.totals(), expected, "an unknown worker is ignored");
    }
}
