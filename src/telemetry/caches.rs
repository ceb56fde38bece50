//! Counters of route caches: outcomes of requests and memory of stored responses.

use super::{
    registry::Registry,
    shard::{LocalCounter, Shards},
};
use std::collections::HashSet;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The cache outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Served from a fresh stored response.
    Hit,
    /// Served from a stale stored response.
    Stale,
    /// Served from a stored response that the backend revalidated (304).
    Validated,
    /// Served by the backend with a new response.
    Miss,
    /// Served with the response to a concurrent request for the same key (request coalescing).
    Coalesced,
    /// The request is not cacheable.
    Bypass,
}

impl CacheOutcome {
    /// All outcomes, in the order they are exported.
    pub const ALL: [CacheOutcome; 6] = [
        CacheOutcome::Hit,
        CacheOutcome::Stale,
        CacheOutcome::Validated,
        CacheOutcome::Miss,
        CacheOutcome::Coalesced,
        CacheOutcome::Bypass,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            CacheOutcome::Hit => "hit",
            CacheOutcome::Stale => "stale",
            CacheOutcome::Validated => "revalidated",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Coalesced => "collapsed",
            CacheOutcome::Bypass => "bypass",
        }
    }
}

/// The shard of one worker, in its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard([LocalCounter; 6]);

/// The counters of one route's cache.
#[derive(Debug)]
pub struct CacheMetrics {
    label: Box<str>,
    shards: Shards<Shard>,
}

impl CacheMetrics {
    pub(super) fn new(label: &str, workers: usize) -> CacheMetrics {
        CacheMetrics { label: label.into(), shards: Shards::new(workers) }
    }

    /// The route label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts one outcome; ignored for an unknown worker.
    pub fn count(&self, worker: usize, outcome: CacheOutcome) {
        if let Some(Shard(counts)) = self.shards.of(worker) {
            counts[outcome as usize].add(1);
        }
    }

    /// Whether a request was counted.
    pub fn is_used(&self) -> bool {
        self.shards.iter().next().is_some()
    }

    /// The sum over all workers.
    pub fn total(&self, outcome: CacheOutcome) -> u64 {
        self.shards.iter().map(|Shard(counts)| counts[outcome as usize].get()).sum()
    }
}

/// The memory used by one store of responses, in bytes.
pub type CacheMemory = Arc<AtomicU64>;

/// The counters of all caches.
#[derive(Debug)]
pub struct CacheTable {
    workers: usize,
    routes: Registry<CacheMetrics>,
    memories: Registry<AtomicU64>,
}

impl CacheTable {
    pub(super) fn new(workers: usize) -> CacheTable {
        CacheTable { workers, routes: Registry::default(), memories: Registry::default() }
    }

    /// The handle of a route's cache; equal labels share one handle.
    pub fn route(&self, label: &str) -> Arc<CacheMetrics> {
        self.routes.get_or_insert_with(label, || CacheMetrics::new(label, self.workers))
    }

    /// The handle of a region's memory, `""` for the shared region; equal names share one handle.
    pub fn memory(&self, region: &str) -> CacheMemory {
        self.memories.get_or_insert_with(region, AtomicU64::default)
    }

    /// Removes all routes whose label is not in the set.
    pub(super) fn remove_absent(&self, live: &HashSet<&str>) {
        self.routes.remove_absent(live);
    }

    pub(super) fn all(&self) -> Vec<Arc<CacheMetrics>> {
        self.routes.handles()
    }

    /// (region, bytes held).
    pub(super) fn memories(&self) -> Vec<(Box<str>, u64)> {
        self.memories.entries().into_iter().map(|(region, held)| (region, held.load(Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_cache_outcomes_and_memory() {
        let metrics = Metrics::new(2);
        metrics.caches().route("items").count(1, CacheOutcome::Hit);
        metrics.caches().memory("").store(7, Relaxed);
        let text = metrics.render();
        for line in [
            "margay_cache_requests_total{outcome=\"hit\",route=\"items\"} 1",
            "margay_cache_requests_total{outcome=\"miss\",route=\"items\"} 0",
            "margay_cache_bytes{region=\"\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
