//! Handles that plans with equal settings share, for as long as a plan holds them.

use super::registry::lock;
use std::sync::{Arc, Mutex, Weak};

/// Handles by settings.
#[derive(Debug)]
pub(super) struct SharedHandles<K, V>(Mutex<Vec<(K, Weak<V>)>>);

impl<K, V> Default for SharedHandles<K, V> {
    fn default() -> Self {
        SharedHandles(Mutex::default())
    }
}

impl<K: PartialEq + Clone, V> SharedHandles<K, V> {
    /// The handle of these settings, made unless a plan holds one.
    ///
    /// # Errors
    ///
    /// That of `make`.
    pub(super) fn get_or_try_insert_with<E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let mut handles = lock(&self.0);
        handles.retain(|(_, handle)| handle.strong_count() > 0);
        if let Some(known) = handles.iter().find(|(of, _)| of == key).and_then(|(_, handle)| handle.upgrade())
        {
            return Ok(known);
        }
        let new = Arc::new(make()?);
        handles.push((key.clone(), Arc::downgrade(&new)));
        Ok(new)
    }

    /// The handles in use.
    pub(super) fn handles(&self) -> Vec<Arc<V>> {
        lock(&self.0).iter().filter_map(|(_, handle)| handle.upgrade()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_share_a_handle_while_it_is_held() {
        let handles = SharedHandles::<u8, String>::default();
        let make = || Ok::<_, ()>("one".to_owned());
        let first = handles.get_or_try_insert_with(&1, make).unwrap();
        assert!(Arc::ptr_eq(&first, &handles.get_or_try_insert_with(&1, make).unwrap()));
        assert_eq!(handles.get_or_try_insert_with(&2, || Err("no")).err(), Some("no"));
        assert_eq!(handles.handles().len(), 1);
        drop(first);
        assert!(handles.handles().is_empty());
    }
}
