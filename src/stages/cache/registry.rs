//! What caches keep beyond the life of a plan, and what the operator may do with it.

use super::{
    coalescing::{Coalescer, UncacheableMarkers},
    entry::{Entry, MemoryBudget},
    invalidation_epochs::InvalidationEpochs,
    store::{Memory, Store},
};
use crate::{stages::partition_key::PartitionKeys, telemetry::Metrics};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

/// How often what nobody can use any more is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// What all caches of the process share.
#[derive(Debug, Default)]
pub struct CacheShared {
    pub keys: PartitionKeys,
    pub invalidation: InvalidationEpochs,
    pub coalescer: Arc<Coalescer>,
    pub uncacheable: UncacheableMarkers,
    named_marks: RandomState,
}

impl CacheShared {
    /// The mark of a tag.
    pub fn tag(&self, tag: &[u8]) -> u64 {
        self.named_marks.hash_one(("tag", tag))
    }

    /// The mark of a region.
    pub fn region(&self, region: &[u8]) -> u64 {
        self.named_marks.hash_one(("region", region))
    }
}

/// A store by the name of its region and its size.
type NamedMarks = (String, u64, Weak<Memory>);

/// All that is kept; nothing, as long as no route has a cache.
#[derive(Debug, Default)]
pub struct CacheRegistry {
    shared: OnceLock<Arc<CacheShared>>,
    stores: Mutex<Vec<NamedMarks>>,
}

/// Which answers are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    Url(Vec<u8>),
    Prefix(Vec<u8>),
    Tag(Vec<u8>),
    Region(Vec<u8>),
    All,
}

impl Purge {
    fn matches(&self, entry: &Entry) -> bool {
        let about = &entry.metadata;
        match self {
            Purge::Url(url) => *about.url == url[..],
            Purge::Prefix(prefix) => about.url.starts_with(prefix),
            Purge::Tag(tag) => about.tags().any(|known| known == &tag[..]),
            Purge::Region(region) => about.region.as_bytes() == &region[..],
            Purge::All => true,
        }
    }
}

/// What the operator is shown of a stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    pub url: String,
    pub region: String,
    pub status: u16,
    pub bytes: u64,
    pub age: u64,
    /// Seconds of freshness left.
    pub ttl: i64,
    pub tags: Vec<String>,
    pub vary: Option<String>,
}

impl CacheRegistry {
    /// What all caches share, made when the first one asks for it.
    pub fn shared(&self) -> Arc<CacheShared> {
        self.shared.get_or_init(Arc::default).clone()
    }

    /// The store of that region and size; it lives as long as a plan holds it.
    pub fn store(&self, region: &str, size: u64, metrics: &Metrics) -> Arc<dyn Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|(_, _, store)| store.strong_count() > 0);
        let known = stores.iter().find(|(name, bound, _)| name == region && *bound == size);
        if let Some(store) = known.and_then(|(_, _, store)| store.upgrade()) {
            return store;
        }
        let budget = MemoryBudget { limit: size, used: metrics.caches().memory(region) };
        let store = Arc::new(Memory::new(budget));
        stores.push((region.to_owned(), size, Arc::downgrade(&store)));
        store
    }

    fn all(&self) -> Vec<Arc<Memory>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter_map(|(_, _, store)| store.upgrade()).collect()
    }

    /// Whether any route keeps anything.
    pub fn is_used(&self) -> bool {
        !self.all().is_empty()
    }

    /// Forgets answers, also those on their way; says how many were stored.
    pub fn purge(&self, what: &Purge) -> usize {
        let common = self.shared();
        // What is on its way and cannot be told by a mark is not kept either: everything on its way is older.
        match what {
            Purge::Tag(tag) => common.invalidation.invalidate(common.tag(tag)),
            Purge::Region(region) => common.invalidation.invalidate(common.region(region)),
            Purge::Url(_) | Purge::Prefix(_) | Purge::All => common.invalidation.invalidate_all(),
        }
        let gone = self.all().iter().map(|store| store.retain(&mut |entry| !what.matches(entry))).sum();
        log::info!("cache: {gone} answers forgotten ({what:?})");
        gone
    }

    /// Some of the answers that are meant, and how many there are in all.
    pub fn inspect(&self, what: &Purge, most: usize) -> (Vec<EntrySummary>, usize) {
        let (mut shown, mut count) = (Vec::new(), 0);
        let (now, marks) = (Instant::now(), self.shared());
        for store in self.all() {
            store.retain(&mut |entry| {
                if what.matches(entry) && entry.metadata.is_valid(&marks.invalidation) {
                    count += 1;
                    if shown.len() < most {
                        shown.push(EntrySummary::of(entry, now));
                    }
                }
                true
            });
        }
        (shown, count)
    }

    /// Lets go of what nobody can use any more.
    fn sweep(&self) {
        let (now, common) = (Instant::now(), self.shared());
        for store in self.all() {
            store.retain(&mut |entry| {
                let about = &entry.metadata;
                about.is_valid(&common.invalidation) && !about.freshness.is_unusable(now, about.validates())
            });
        }
    }
}

impl EntrySummary {
    fn of(entry: &Entry, now: Instant) -> EntrySummary {
        let about = &entry.metadata;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        EntrySummary {
            url: text(&about.url),
            region: about.region.to_string(),
            status: about.head.status,
            bytes: entry.length,
            age: about.freshness.age(now).as_secs(),
            ttl: super::lookup::ttl(&about.freshness, now),
            tags: about.tags().map(text).collect(),
            vary: about.head.get(b"vary").map(text),
        }
    }
}

/// Sweeps for as long as somebody keeps anything.
pub async fn sweep_task(kept: Weak<CacheRegistry>) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tick.tick().await;
        let Some(kept) = kept.upgrade() else { return };
        if kept.is_used() {
            kept.sweep();
        }
    }
}
