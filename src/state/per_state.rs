//! What a feature attaches to a shared state.

use super::shared_state::SharedState;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One value for each shared state, alive while a plan holds it.
#[derive(Debug)]
pub struct PerState<T>(Mutex<Vec<(Weak<SharedState>, Weak<T>)>>);

impl<T> Default for PerState<T> {
    fn default() -> Self {
        PerState(Mutex::default())
    }
}

impl<T> PerState<T> {
    /// The value of a shared state, made unless a plan holds it.
    pub fn get_or_insert_with(&self, state: &Arc<SharedState>, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|(_, value)| value.strong_count() > 0);
        let known = values.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(state));
        if let Some(value) = known.and_then(|(_, value)| value.upgrade()) {
            return value;
        }
        let value = make();
        values.push((Arc::downgrade(state), Arc::downgrade(&value)));
        value
    }

    /// The values that plans hold.
    pub fn values(&self) -> Vec<Arc<T>> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().filter_map(|(_, value)| value.upgrade()).collect()
    }
}
