//! Handles by label: the same label always returns the same handle, so numbers survive a reload.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Handles that are exported until they are removed.
#[derive(Debug)]
pub(super) struct Registry<V>(Mutex<BTreeMap<Box<str>, Arc<V>>>);

impl<V> Default for Registry<V> {
    fn default() -> Self {
        Registry(Mutex::default())
    }
}

impl<V> Registry<V> {
    /// The handle of a label.
    pub fn get_or_insert_with(&self, label: &str, make: impl FnOnce() -> V) -> Arc<V> {
        let mut handles = lock(&self.0);
        if let Some(known) = handles.get(label) {
            return known.clone();
        }
        let new = Arc::new(make());
        handles.insert(label.into(), new.clone());
        new
    }

    /// Removes the handles of all other labels; requests in flight keep theirs.
    pub fn remove_absent(&self, live: &HashSet<&str>) {
        lock(&self.0).retain(|label, _| live.contains(&**label));
    }

    /// All handles, by label.
    pub fn handles(&self) -> Vec<Arc<V>> {
        lock(&self.0).values().cloned().collect()
    }

    /// All labels with their handles.
    pub fn entries(&self) -> Vec<(Box<str>, Arc<V>)> {
        lock(&self.0).iter().map(|(label, handle)| (label.clone(), handle.clone())).collect()
    }
}

/// Handles that are exported while something holds them.
#[derive(Debug)]
pub(super) struct WeakRegistry<K, V>(Mutex<BTreeMap<K, Weak<V>>>);

impl<K, V> Default for WeakRegistry<K, V> {
    fn default() -> Self {
        WeakRegistry(Mutex::default())
    }
}

impl<K: Ord + Clone, V> WeakRegistry<K, V> {
    /// The handle of a key. Beyond `max_exported` handles a new one counts and is not exported.
    pub fn get_or_default(&self, key: K, max_exported: usize) -> Arc<V>
    where
        V: Default,
    {
        let mut handles = lock(&self.0);
        if let Some(known) = handles.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::default();
        handles.retain(|_, handle| handle.strong_count() > 0);
        if handles.len() < max_exported {
            handles.insert(key, Arc::downgrade(&new));
        }
        new
    }

    /// Exports a new handle instead of the previous one of its key.
    pub fn replace(&self, key: K, handle: &Arc<V>) {
        let mut handles = lock(&self.0);
        handles.retain(|_, handle| handle.strong_count() > 0);
        handles.insert(key, Arc::downgrade(handle));
    }

    /// All keys with the handles that are still held.
    pub fn entries(&self) -> Vec<(K, Arc<V>)> {
        let handles = lock(&self.0);
        handles.iter().filter_map(|(key, handle)| Some((key.clone(), handle.upgrade()?))).collect()
    }
}

/// A panic elsewhere must not make the metrics unavailable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
