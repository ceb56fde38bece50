//! Where answers are kept: a trait, so that other places than this process's memory can come, and that memory, bound
//! in bytes. What is kept and what makes room is moka's to decide (TinyLFU): a scan does not push out what is in use.

use super::{
    entry::{Entry, MemoryBudget, MemoryGuard, VariantSet},
    key::Key,
};
use moka::{ops::compute::Op, sync::Cache};
use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Instant,
};

/// A place for stored answers. Shared by all workers; nothing here waits for long.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What is stored under a key.
    fn get(&self, key: Key) -> Option<Arc<VariantSet>>;
    /// Adds an answer under a key.
    fn put(&self, key: Key, entry: Arc<Entry>, now: Instant);
    /// Goes through all that is stored, and lets go of what `keep` does not want; says how many answers went.
    fn retain(&self, keep: &mut dyn FnMut(&Entry) -> bool) -> usize;
    /// Room for so many bytes, if it can be had.
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard>;
    /// Bytes in use.
    fn used_bytes(&self) -> u64;
    /// Answers stored, nearly.
    fn count(&self) -> u64;
}

/// Answers in memory.
#[derive(Debug)]
pub struct Memory {
    cache: Cache<Key, Arc<VariantSet>, BuildHasherDefault<KeyHasher>>,
    budget: Arc<MemoryBudget>,
}

impl Memory {
    /// A store of at most so many bytes. A part of them is left for answers on their way in and out.
    pub fn new(budget: MemoryBudget) -> Memory {
        let cache = Cache::builder()
            .max_capacity(budget.limit - budget.limit / 8)
            .weigher(|_, resource: &Arc<VariantSet>| resource.total_bytes())
            .build_with_hasher(BuildHasherDefault::default());
        Memory { cache, budget: Arc::new(budget) }
    }
}

impl Store for Memory {
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
        let mut gone = 0;
        for (key, resource) in &self.cache {
            let left: smallvec::SmallVec<[Arc<Entry>; 1]> =
                resource.variants.iter().filter(|entry| keep(entry)).cloned().collect();
            if left.len() == resource.variants.len() {
                continue;
            }
            gone += resource.variants.len() - left.len();
            if left.is_empty() {
                self.cache.invalidate(&*key);
            } else {
                self.cache.insert(*key, Arc::new(VariantSet { variants: left }));
            }
        }
        self.cache.run_pending_tasks();
        gone
    }

    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        self.budget.try_reserve(bytes).or_else(|| {
            self.cache.run_pending_tasks();
            self.budget.try_reserve(bytes)
        })
    }

    fn used_bytes(&self) -> u64 {
        self.budget.used.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn count(&self) -> u64 {
        self.cache.entry_count()
    }
}

/// Keys are hashes already, which nobody outside can foresee.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
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
