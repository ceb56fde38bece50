//! What was said to be no longer true: a moment for each address, tag and region. An answer that was asked for before
//! that moment is not used any more, also one that is still on its way; nothing has to be searched for.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Two that share a slot are forgotten together, which costs a request and is never wrong.
const SLOTS: usize = 1 << 15;

/// A moment, counted from the start.
pub type Epoch = u64;

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
    /// This moment: what is asked for from now on is not older than any mark.
    pub fn current(&self) -> Epoch {
        self.latest.load(SeqCst)
    }

    /// All that was asked for until now, under this hash, is no longer true.
    pub fn invalidate(&self, hash: u64) {
        let moment = self.latest.fetch_add(1, SeqCst) + 1;
        self.slot(hash).fetch_max(moment, SeqCst);
    }

    /// What is on its way now, and is stored later, is no longer true, whatever it is.
    pub fn invalidate_all(&self) {
        let moment = self.latest.fetch_add(1, SeqCst) + 1;
        self.global.fetch_max(moment, SeqCst);
    }

    /// Whether what was asked for then is still true.
    pub fn is_valid(&self, hash: u64, since: Epoch) -> bool {
        self.slot(hash).load(SeqCst) <= since
    }

    /// Whether what was asked for then, and is here only now, may still be stored.
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
    fn a_mark_holds_for_what_was_asked_before_it() {
        let marks = InvalidationEpochs::default();
        let before = marks.current();
        assert!(marks.is_valid(7, before));
        marks.invalidate(7);
        let after = marks.current();
        assert!(!marks.is_valid(7, before) && marks.is_valid(7, after) && marks.is_valid(8, before));
        marks.invalidate_all();
        assert!(!marks.may_store(after) && marks.may_store(marks.current()) && marks.is_valid(8, before));
        marks.invalidate(8);
        assert!(marks.is_valid(7, after) && !marks.is_valid(8, after));
    }
}
