//! Invalidation: the epoch of the last invalidation of each URL, tag and region. A response whose request was sent before
//! that epoch is not used, even if it is still in flight; nothing has to be searched.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Hashes that share a slot are invalidated together, which costs a backend request and is never wrong.
const SLOTS: usize = 1 << 15;

/// A number that each invalidation increments.
pub type Epoch = u64;

/// The epochs of one cache memory, in a table of fixed size.
#[derive(Debug)]
pub struct InvalidationEpochs {
    slots: Box<[AtomicU64]>,
    latest: AtomicU64,
    global: AtomicU64,
}

impl Default for InvalidationEpochs {
    fn default() -> Self {
        InvalidationEpochs {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            latest: AtomicU64::new(0),
            global: AtomicU64::new(0),
        }
    }
}

impl InvalidationEpochs {
    /// The current epoch, for requests that are sent from now on.
    pub fn current(&self) -> Epoch {
        self.latest.load(SeqCst)
    }

    /// Invalidates all responses with this hash whose requests were sent before.
    pub fn invalidate(&self, hash: u64) {
        let epoch = self.latest.fetch_add(1, SeqCst) + 1;
        self.slot(hash).fetch_max(epoch, SeqCst);
    }

    /// Prevents all responses in flight from being stored.
    pub fn invalidate_all(&self) {
        let epoch = self.latest.fetch_add(1, SeqCst) + 1;
        self.global.fetch_max(epoch, SeqCst);
    }

    /// Whether a response with this hash, requested at `since`, is still valid.
    pub fn is_valid(&self, hash: u64, since: Epoch) -> bool {
        self.slot(hash).load(SeqCst) <= since
    }

    /// Whether a response requested at `since` may be stored.
    pub fn may_store(&self, since: Epoch) -> bool {
        self.global.load(SeqCst) <= since
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        &self.slots[hash as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_applies_to_earlier_requests() {
        let epochs = InvalidationEpochs::default();
        let before = epochs.current();
        assert!(epochs.is_valid(7, before));
        epochs.invalidate(7);
        let after = epochs.current();
        assert!(!epochs.is_valid(7, before) && epochs.is_valid(7, after) && epochs.is_valid(8, before));
        epochs.invalidate_all();
        assert!(!epochs.may_store(after) && epochs.may_store(epochs.current()) && epochs.is_valid(8, before));
        epochs.invalidate(8);
        assert!(epochs.is_valid(7, after) && !epochs.is_valid(8, after));
    }
}
