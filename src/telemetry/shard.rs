//! Counters per worker.
//!
//! A worker writes only its own shard, so an increment is a plain load and store: no locked instruction, no cache line
//! shared between cores. A shard is allocated by the first request of its worker: an idle route costs a few bytes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that one worker writes and any thread reads.
#[derive(Debug, Default)]
pub(super) struct LocalCounter(AtomicU64);

impl LocalCounter {
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The shards of all workers, each allocated when its worker first counts.
#[derive(Debug)]
pub(super) struct Shards<T>(Box<[OnceLock<Box<T>>]>);

impl<T: Default> Shards<T> {
    pub(super) fn new(workers: usize) -> Shards<T> {
        Shards((0..workers.max(1)).map(|_| OnceLock::new()).collect())
    }

    /// The shard of a worker; `None` for an unknown worker.
    pub(super) fn of(&self, worker: usize) -> Option<&T> {
        self.0.get(worker).map(|shard| &**shard.get_or_init(Box::default))
    }

    /// The shards that exist.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|shard| shard.get().map(|shard| &**shard))
    }
}
