//! The state of caches that outlives a plan, and its administration: purge and inspection.

use super::{
    coalescing::{Coalescer, UncacheableMarkers},
    entry::{Entry, MemoryBudget},
    invalidation_epochs::InvalidationEpochs,
    purge::Purge,
    shared::{self, LocalMemory, SharedCache},
    store::{MemoryStore, Store},
};
use crate::{
    stages::{key_hasher::Digest, partition_key::PartitionKeys},
    state::{PerState, SharedState, StateError},
    telemetry::Metrics,
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

/// Interval at which unusable entries are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The state that all caches of the process share.
#[derive(Debug, Default)]
pub struct CacheShared {
    pub keys: PartitionKeys,
    pub invalidation: InvalidationEpochs,
    pub coalescer: Arc<Coalescer>,
    pub uncacheable: UncacheableMarkers,
    mark_hasher: RandomState,
}

impl CacheShared {
    /// The mark under which entries with a tag are invalidated.
    pub fn tag_mark(&self, tag: &[u8]) -> u64 {
        self.mark_hasher.hash_one(("tag", tag))
    }

    /// The mark under which the entries of a region are invalidated.
    pub fn region_mark(&self, region: &[u8]) -> u64 {
        self.mark_hasher.hash_one(("region", region))
    }
}

/// A store with the name of its region and its size.
type NamedStore = (String, u64, Weak<MemoryStore>);

/// All stores; nothing is allocated as long as no route has a cache.
#[derive(Debug, Default)]
pub struct CacheRegistry {
    shared: OnceLock<Arc<CacheShared>>,
    stores: Mutex<Vec<NamedStore>>,
    shared_caches: PerState<SharedCache>,
}

/// The description of a stored response for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    pub url: String,
    pub region: String,
    pub status: u16,
    pub bytes: u64,
    pub age_secs: u64,
    /// Seconds of freshness left.
    pub ttl_secs: i64,
    pub tags: Vec<String>,
    pub vary: Option<String>,
}

impl CacheRegistry {
    /// The shared state, created on first use.
    pub fn shared(&self) -> Arc<CacheShared> {
        self.shared.get_or_init(Arc::default).clone()
    }

    /// The store of a region with this size; it lives as long as a plan uses it.
    pub fn store(&self, region: &str, size: u64, metrics: &Metrics) -> Arc<dyn Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|(_, _, store)| store.strong_count() > 0);
        let existing = stores.iter().find(|(name, known_size, _)| name == region && *known_size == size);
        if let Some(store) = existing.and_then(|(_, _, store)| store.upgrade()) {
            return store;
        }
        let budget = MemoryBudget { limit: size, used: metrics.caches().memory(region) };
        let store = Arc::new(MemoryStore::new(budget));
        stores.push((region.to_owned(), size, Arc::downgrade(&store)));
        store
    }

    /// The stores that a plan uses.
    fn stores_in_use(&self) -> Vec<Arc<MemoryStore>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter_map(|(_, _, store)| store.upgrade()).collect()
    }

    /// Whether any route has a cache.
    pub fn is_used(&self) -> bool {
        !self.stores_in_use().is_empty()
    }

    /// Removes stored responses, and prevents older responses in flight from being stored; returns the number removed.
    pub fn purge(&self, purge: &Purge) -> usize {
        let shared = self.shared();
        // Without a mark to match, every response in flight is older than the purge and is not stored.
        match purge {
            Purge::Tag(tag) => shared.invalidation.invalidate(shared.tag_mark(tag)),
            Purge::Region(region) => shared.invalidation.invalidate(shared.region_mark(region)),
            Purge::Url(_) | Purge::Prefix(_) | Purge::All => shared.invalidation.invalidate_all(),
        }
        let removed =
            self.stores_in_use().iter().map(|store| store.retain(&mut |entry| !purge.matches(entry))).sum();
        log::info!("cache: {removed} responses purged ({purge:?})");
        removed
    }

    /// The responses on a shared state.
    pub(super) fn shared_cache(self: &Arc<Self>, state: &Arc<SharedState>) -> Arc<SharedCache> {
        self.shared_caches.get_or_insert_with(state, || {
            let memory: Weak<CacheRegistry> = Arc::downgrade(self);
            shared::start(state, memory)
        })
    }

    /// Purges on all gateways that share responses with this one.
    ///
    /// # Errors
    ///
    /// Redis does not reply.
    pub async fn purge_shared(&self, purge: &Purge) -> Result<(), StateError> {
        for shared in self.shared_caches.values() {
            shared.purge(purge).await?;
        }
        Ok(())
    }

    /// Invalidates the responses of a URL on the gateways that share responses with this one.
    pub(super) fn invalidate_shared(&self, resource: Digest) {
        self.shared_caches.values().iter().for_each(|shared| shared.invalidate(resource));
    }

    /// At most `max_entries` of the selected responses, and the number of all of them.
    pub fn inspect(&self, purge: &Purge, max_entries: usize) -> (Vec<EntrySummary>, usize) {
        let (mut summaries, mut count) = (Vec::new(), 0);
        let (now, shared) = (Instant::now(), self.shared());
        for store in self.stores_in_use() {
            store.retain(&mut |entry| {
                if purge.matches(entry) && entry.metadata.is_valid(&shared.invalidation) {
                    count += 1;
                    if summaries.len() < max_entries {
                        summaries.push(EntrySummary::of(entry, now));
                    }
                }
                true
            });
        }
        (summaries, count)
    }

    /// Removes entries that can no longer be used.
    fn sweep(&self) {
        let (now, shared) = (Instant::now(), self.shared());
        for store in self.stores_in_use() {
            store.retain(&mut |entry| {
                let metadata = &entry.metadata;
                metadata.is_valid(&shared.invalidation)
                    && !metadata.freshness.is_unusable(now, metadata.validates())
            });
        }
    }
}

impl EntrySummary {
    fn of(entry: &Entry, now: Instant) -> EntrySummary {
        let metadata = &entry.metadata;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        EntrySummary {
            url: text(&metadata.url),
            region: metadata.region.to_string(),
            status: metadata.head.status,
            bytes: entry.length,
            age_secs: metadata.freshness.age(now).as_secs(),
            ttl_secs: metadata.freshness.ttl(now),
            tags: metadata.tags().map(text).collect(),
            vary: metadata.head.get(b"vary").map(text),
        }
    }
}

/// Removes unusable entries periodically, as long as the registry exists.
pub async fn sweep_task(registry: Weak<CacheRegistry>) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tick.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        if registry.is_used() {
            registry.sweep();
        }
    }
}

impl LocalMemory for CacheRegistry {
    fn forget(&self, purge: &Purge) {
        self.purge(purge);
    }

    fn invalidate(&self, mark: u64) {
        self.shared().invalidation.invalidate(mark);
    }
}
