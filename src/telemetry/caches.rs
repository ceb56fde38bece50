//! What the caches of routes did, and what they hold.

use super::counters::LocalCounter;
use std::collections::{BTreeMap, HashSet};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What became of a request at the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Answered with what is stored and fresh.
    Hit,
    /// Answered with what is stored and stale.
    Stale,
    /// The service said that what is stored still holds.
    Validated,
    /// The service answered anew.
    Miss,
    /// Another request for the same was waited for.
    Coalesced,
    /// The request was none for the cache.
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

/// One worker's part; a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard([LocalCounter; 6]);

/// The numbers of one route's cache.
#[derive(Debug)]
pub struct CacheMetrics {
    label: Box<str>,
    shards: Box<[Shard]>,
}

impl CacheMetrics {
    pub(super) fn new(label: &str, workers: usize) -> CacheMetrics {
        CacheMetrics { label: label.into(), shards: (0..workers.max(1)).map(|_| Shard::default()).collect() }
    }

    /// The route these numbers are of.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts one; an unknown worker counts nowhere.
    pub fn count(&self, worker: usize, outcome: CacheOutcome) {
        if let Some(Shard(counts)) = self.shards.get(worker) {
            counts[outcome as usize].add(1);
        }
    }

    /// How many there were, over all workers.
    pub fn total(&self, outcome: CacheOutcome) -> u64 {
        self.shards.iter().map(|Shard(counts)| counts[outcome as usize].get()).sum()
    }
}

/// Bytes that one store of answers holds.
pub type CacheMemory = Arc<AtomicU64>;

/// The numbers of all caches.
#[derive(Debug)]
pub struct CacheTable {
    workers: usize,
    routes: Mutex<BTreeMap<Box<str>, Arc<CacheMetrics>>>,
    memories: Mutex<BTreeMap<Box<str>, CacheMemory>>,
}

impl CacheTable {
    pub(super) fn new(workers: usize) -> CacheTable {
        CacheTable { workers, routes: Mutex::default(), memories: Mutex::default() }
    }

    /// The handle of a route's cache; the same label always gives the same handle.
    pub fn route(&self, label: &str) -> Arc<CacheMetrics> {
        let mut routes = lock(&self.routes);
        if let Some(known) = routes.get(label) {
            return known.clone();
        }
        let new = Arc::new(CacheMetrics::new(label, self.workers));
        routes.insert(label.into(), new.clone());
        new
    }

    /// The handle of the memory of a region, `""` for that of all others; the same name always gives the same handle.
    pub fn memory(&self, region: &str) -> CacheMemory {
        lock(&self.memories).entry(region.into()).or_default().clone()
    }

    /// Forgets every route whose label is not among these.
    pub(super) fn remove_absent(&self, live: &HashSet<&str>) {
        lock(&self.routes).retain(|label, _| live.contains(&**label));
    }

    pub(super) fn all(&self) -> Vec<Arc<CacheMetrics>> {
        lock(&self.routes).values().cloned().collect()
    }

    /// (region, bytes held).
    pub(super) fn memories(&self) -> Vec<(Box<str>, u64)> {
        let memories = lock(&self.memories);
        memories.iter().map(|(region, held)| (region.clone(), held.load(Relaxed))).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_shows_what_a_cache_did_and_what_it_holds() {
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
