//! Storage of responses: the trait `Store`, and its implementation in memory, bounded in bytes. moka implements
//! admission and eviction (TinyLFU): a scan does not evict entries in use.

use super::{
    entry::{Entry, MemoryBudget, MemoryGuard, VariantSet},
    key::Key,
};
use moka::{ops::compute::Op, sync::Cache};
use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

/// Storage of responses, shared by all workers. Its methods do not block for long.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The responses stored under a key.
    fn get(&self, key: Key) -> Option<Arc<VariantSet>>;
    /// Adds a response under a key.
    fn put(&self, key: Key, entry: Arc<Entry>, now: Instant);
    /// Visits all responses and removes those for which `keep` is false; returns the number removed.
    fn retain(&self, keep: &mut dyn FnMut(&Entry) -> bool) -> usize;
    /// Reserves `bytes` of the memory budget, if available.
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard>;
    /// Whether a response that another gateway has stored is worth memory here: while there is room, and for a URL that was
    /// requested before. A scan would replace one response by another that is not requested again either.
    fn is_worth_storing(&self, key: Key, bytes: usize) -> bool;
    /// Bytes in use.
    fn used_bytes(&self) -> u64;
    /// Approximate number of keys.
    fn count(&self) -> u64;
}

/// Responses in memory.
#[derive(Debug)]
pub struct MemoryStore {
    cache: Cache<Key, Arc<VariantSet>, BuildHasherDefault<IdentityHasher>>,
    budget: Arc<MemoryBudget>,
    /// Marks of keys that were requested while the memory was full.
    requested: OnceLock<Box<[AtomicU32]>>,
}

/// How many marks of requested keys a store has.
const REQUESTED_CAPACITY: usize = 4096;

impl MemoryStore {
    /// A store within `budget`. An eighth of it is left for responses that are being stored or sent.
    pub fn new(budget: MemoryBudget) -> MemoryStore {
        let cache = Cache::builder()
            .max_capacity(budget.limit - budget.limit / 8)
            .weigher(|_, variants: &Arc<VariantSet>| variants.total_bytes())
            .build_with_hasher(BuildHasherDefault::default());
        MemoryStore { cache, budget: Arc::new(budget), requested: OnceLock::new() }
    }

    /// Whether the key was requested before, among the last ones.
    fn was_requested(&self, key: Key) -> bool {
        let marks =
            self.requested.get_or_init(|| (0..REQUESTED_CAPACITY).map(|_| AtomicU32::new(0)).collect());
        let Key([slot, mark]) = key;
        // Zero is the mark of an empty slot.
        let mark = (mark >> 32) as u32 | 1;
        marks[slot as usize % REQUESTED_CAPACITY].swap(mark, Relaxed) == mark
    }
}

impl Store for MemoryStore {
    fn get(&self, key: Key) -> Option<Arc<VariantSet>> {
        self.cache.get(&key)
    }

    fn put(&self, key: Key, entry: Arc<Entry>, now: Instant) {
        let _ = self.cache.entry(key).and_compute_with(|old| {
            let old = old.map(moka::Entry::into_value);
            Op::Put(Arc::new(VariantSet::with_variant(old.as_deref(), entry, now)))
        });
    }

    fn retain(&self, keep: &mut dyn FnMut(&Entry) -> bool) -> usize {
        let mut removed = 0;
        for (key, set) in &self.cache {
            let retained: smallvec::SmallVec<[Arc<Entry>; 1]> =
                set.variants.iter().filter(|entry| keep(entry)).cloned().collect();
            if retained.len() == set.variants.len() {
                continue;
            }
            removed += set.variants.len() - retained.len();
            if retained.is_empty() {
                self.cache.invalidate(&*key);
            } else {
                self.cache.insert(*key, Arc::new(VariantSet { variants: retained }));
            }
        }
        self.cache.run_pending_tasks();
        removed
    }

    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        self.budget.try_reserve(bytes).or_else(|| {
            self.cache.run_pending_tasks();
            self.budget.try_reserve(bytes)
        })
    }

    fn is_worth_storing(&self, key: Key, bytes: usize) -> bool {
        let limit = self.budget.limit - self.budget.limit / 8;
        self.used_bytes() + bytes as u64 <= limit || self.was_requested(key)
    }

    fn used_bytes(&self) -> u64 {
        self.budget.used.load(Relaxed)
    }

    fn count(&self) -> u64 {
        self.cache.entry_count()
    }
}

/// Keys are keyed hashes already.
#[derive(Debug, Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = self.0.rotate_left(32) ^ n;
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_takes_only_responses_that_were_requested_before() {
        let store = MemoryStore::new(MemoryBudget { limit: 800, used: Arc::default() });
        let (one, other) = (Key([1, 2 << 32]), Key([1, 4 << 32]));
        assert!(store.is_worth_storing(one, 700));
        let _in_use = store.try_reserve(700).unwrap();
        assert!(!store.is_worth_storing(one, 1) && store.is_worth_storing(one, 1));
        assert!(
            !store.is_worth_storing(other, 1) && !store.is_worth_storing(one, 1),
            "the slot has one mark"
        );
    }
}
