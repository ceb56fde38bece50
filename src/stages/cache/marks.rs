//! What was said to be no longer true: a moment for each address, tag and region. An answer that was asked for before
//! that moment is not used any more, also one that is still on its way; nothing has to be searched for.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Two that share a slot are forgotten together, which costs a request and is never wrong.
const SLOTS: usize = 1 << 15;

/// A moment, counted from the start.
pub type Stamp = u64;

#[derive(Debug)]
pub struct Marks {
    slots: Box<[AtomicU64]>,
    last: AtomicU64,
    floor: AtomicU64,
}

impl Default for Marks {
    fn default() -> Self {
        Marks {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            last: AtomicU64::new(0),
            floor: AtomicU64::new(0),
        }
    }
}

impl Marks {
    /// This moment: what is asked for from now on is not older than any mark.
    pub fn now(&self) -> Stamp {
        self.last.load(SeqCst)
    }

    /// All that was asked for until now, under this hash, is no longer true.
    pub fn set(&self, hash: u64) {
        let moment = self.last.fetch_add(1, SeqCst) + 1;
        self.slot(hash).fetch_max(moment, SeqCst);
    }

    /// What is on its way now, and is stored later, is no longer true, whatever it is.
    pub fn set_all(&self) {
        let moment = self.last.fetch_add(1, SeqCst) + 1;
        self.floor.fetch_max(moment, SeqCst);
    }

    /// Whether what was asked for then is still true.
    pub fn allows(&self, hash: u64, since: Stamp) -> bool {
        self.slot(hash).load(SeqCst) <= since
    }

    /// Whether what was asked for then, and is here only now, may still be stored.
    pub fn admits(&self, since: Stamp) -> bool {
        self.floor.load(SeqCst) <= since
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
        let marks = Marks::default();
        let before = marks.now();
        assert!(marks.allows(7, before));
        marks.set(7);
        let after = marks.now();
        assert!(!marks.allows(7, before) && marks.allows(7, after) && marks.allows(8, before));
        marks.set_all();
        assert!(!marks.admits(after) && marks.admits(marks.now()) && marks.allows(8, before));
        marks.set(8);
        assert!(marks.allows(7, after) && !marks.allows(8, after));
    }
}
