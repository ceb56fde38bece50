//! How much memory the encoders of streams take together: whoever opens many streams, or reads slowly, must not use up all.

use crate::base::coding::Coding;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

const KIB: u64 = 1024;

/// What an encoder takes, measured (docs/compression.md).
fn cost(coding: Coding, level: u8) -> u64 {
    KIB * match (coding, level) {
        (Coding::Gzip, _) => 512,
        (Coding::Zstd, ..=2) => 640,
        (Coding::Zstd, 3..=4) => 1344,
        (Coding::Zstd, _) => 1856,
        (Coding::Brotli, ..=3) => 2560,
        (Coding::Brotli, 4) => 3520,
        (Coding::Brotli, _) => 5184,
    }
}

/// The memory that all encoders share, and how much of it there is.
#[derive(Clone, Debug)]
pub struct Memory {
    used: Arc<AtomicU64>,
    most: u64,
}

impl Memory {
    pub fn new(used: &Arc<AtomicU64>, most: u64) -> Memory {
        Memory { used: used.clone(), most }
    }

    /// The part that one encoder takes, if it is still there.
    pub fn share(&self, coding: Coding, level: u8) -> Option<Share> {
        let bytes = cost(coding, level);
        let grown = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.most);
        self.used.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(Share { used: self.used.clone(), bytes })
    }
}

/// Memory in use, given back by being dropped.
#[derive(Debug)]
pub struct Share {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_out_up_to_its_end_and_comes_back() {
        let memory = Memory::new(&Arc::default(), 1024 * KIB);
        let first = memory.share(Coding::Gzip, 1).expect("memory");
        let _second = memory.share(Coding::Gzip, 9).expect("memory");
        assert!(memory.share(Coding::Gzip, 1).is_none());
        drop(first);
        assert!(memory.share(Coding::Zstd, 3).is_none(), "it needs more than that");
        assert!(memory.share(Coding::Gzip, 1).is_some());
    }
}
