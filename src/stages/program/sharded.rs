//! A map of counters in shards, with a bound.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Maximum number of counters of one kind; the oldest windows are dropped first.
const MAX_COUNTERS: usize = 1_000_000;
const SHARDS: usize = 16;

/// A map in shards, so that workers rarely wait for each other.
#[derive(Debug)]
pub struct Sharded<V>([Mutex<HashMap<Box<str>, V>>; SHARDS]);

impl<V> Default for Sharded<V> {
    fn default() -> Self {
        Sharded(std::array::from_fn(|_| Mutex::default()))
    }
}

impl<V> Sharded<V> {
    /// Calls `change` with the entry of a key; `is_old` decides what is dropped when there are too many.
    pub fn with<R>(
        &self,
        key: &str,
        new: impl FnOnce() -> V,
        is_old: impl Fn(&V) -> bool,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard.get_mut(key) {
            return change(entry);
        }
        if shard.len() >= MAX_COUNTERS / SHARDS {
            shard.retain(|_, entry| !is_old(entry));
            if shard.len() >= MAX_COUNTERS / SHARDS {
                shard.clear();
            }
        }
        change(shard.entry(key.into()).or_insert_with(new))
    }

    /// Calls `read` with the entry of a key.
    pub fn get<R>(&self, key: &str, read: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get_mut(key).map(read)
    }

    fn shard(&self, key: &str) -> &Mutex<HashMap<Box<str>, V>> {
        &self.0[crate::base::hash::stable_hash(key.as_bytes()) as usize % SHARDS]
    }
}
