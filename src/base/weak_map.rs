//! State that outlives a plan: found by its key for as long as it is in use.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Values by key, each alive only while a plan or a request holds it.
#[derive(Debug)]
pub struct WeakMap<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for WeakMap<K, V> {
    fn default() -> Self {
        WeakMap(Mutex::default())
    }
}

impl<K: Hash + Eq, V> WeakMap<K, V> {
    /// The value of the key, created with `make` if it is no longer in use.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = entries.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        if entries.len() == entries.capacity() {
            entries.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::new(make());
        entries.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_it_is_in_use() {
        let keyed = WeakMap::<_, u8>::default();
        let first = keyed.get_or_insert_with("a", || 1);
        assert!(Arc::ptr_eq(&first, &keyed.get_or_insert_with("a", || 2)));
        drop(first);
        assert_eq!(*keyed.get_or_insert_with("a", || 3), 3);
    }
}
