//! Connections and requests of HTTP/2, counted by each worker for itself.

use super::counters::LocalCounter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One worker's part.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    opened: LocalCounter,
    closed: LocalCounter,
    streams_started: LocalCounter,
    streams_ended: LocalCounter,
    resets: LocalCounter,
    streams_refused: LocalCounter,
    /// Connections to backends and requests on them, as they were lately.
    connections: AtomicU64,
    streams: AtomicU64,
}

/// The numbers of all workers.
#[derive(Debug)]
pub struct Http2Metrics(Box<[Shard]>);

/// What is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Totals {
    /// Connections that are open, to clients and to backends.
    pub connections: [u64; 2],
    /// Requests that are under way on them.
    pub streams: [u64; 2],
    /// Requests that clients began.
    pub streams_started: u64,
    /// Those that they gave up.
    pub resets: u64,
    /// Those refused because too many that were given up are not done with yet.
    pub streams_refused: u64,
}

impl Http2Metrics {
    pub(super) fn new(workers: usize) -> Http2Metrics {
        Http2Metrics((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// A client connection turned out to be one; `closed` must follow on the same worker.
    pub fn opened(&self, worker: usize) {
        self.add(worker, |shard| &shard.opened, 1);
    }

    /// It ended.
    pub fn closed(&self, worker: usize) {
        self.add(worker, |shard| &shard.closed, 1);
    }

    /// So many requests were refused because too many that were given up are not done with yet.
    pub fn streams_refused(&self, worker: usize, requests: u32) {
        if requests > 0 {
            self.add(worker, |shard| &shard.streams_refused, u64::from(requests));
        }
    }

    /// A request begins; `ended` must follow on the same worker.
    pub fn streams_started(&self, worker: usize) {
        self.add(worker, |shard| &shard.streams_started, 1);
    }

    /// It is over, or was given up by its client.
    pub fn streams_ended(&self, worker: usize, given_up: bool) {
        self.add(worker, |shard| &shard.streams_ended, 1);
        self.add(worker, |shard| &shard.resets, u64::from(given_up));
    }

    /// So many connections to backends does a worker have, with so many requests on them.
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

    /// The sum of all workers. Ends are read before beginnings, so no difference is negative.
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
    fn the_workers_numbers_are_summed_and_what_is_open_is_what_began_and_did_not_end() {
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
        let wanted = Http2Totals {
            connections: [1, 3],
            streams: [1, 10],
            streams_started: 2,
            resets: 1,
            streams_refused: 3,
        };
        assert_eq!(metrics.totals(), wanted, "a worker that does not exist counts nowhere");
    }
}
