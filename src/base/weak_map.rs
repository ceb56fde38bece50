//! State that outlives a plan: found again by its key for as long as somebody holds it.

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
    /// The value under the key, made if nobody holds it any more.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        if known.len() == known.capacity() {
            known.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::new(make());
        known.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_somebody_holds_it() {
        let keyed = WeakMap::<_, u8>::default();
        let one = keyed.get_or_insert_with("a", || 1);
        assert!(Arc::ptr_eq(&one, &keyed.get_or_insert_with("a", || 2)));
        drop(one);
        assert_eq!(*keyed.get_or_insert_with("a", || 3), 3);
    }
}
