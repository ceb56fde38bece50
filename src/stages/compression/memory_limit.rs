//! Memory limit for the encoders of all streams: many or slow clients must not exhaust the memory.

use crate::base::content_coding::ContentCoding;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

const KIB: u64 = 1024;

/// Measured memory of an encoder (docs/compression.md).
fn encoder_memory(coding: ContentCoding, level: u8) -> u64 {
    KIB * match (coding, level) {
        (ContentCoding::Gzip, _) => 512,
        (ContentCoding::Zstd, ..=2) => 640,
        (ContentCoding::Zstd, 3..=4) => 1344,
        (ContentCoding::Zstd, _) => 1856,
        (ContentCoding::Brotli, ..=3) => 2560,
        (ContentCoding::Brotli, 4) => 3520,
        (ContentCoding::Brotli, _) => 5184,
    }
}

/// The shared counter and its limit.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    used: Arc<AtomicU64>,
    max_bytes: u64,
}

impl MemoryLimit {
    /// `used` is shared by all routes; `max_bytes` limits their sum.
    pub fn new(used: &Arc<AtomicU64>, max_bytes: u64) -> MemoryLimit {
        MemoryLimit { used: used.clone(), max_bytes }
    }

    /// Reserves the memory of one encoder, if available.
    pub fn try_reserve(&self, coding: ContentCoding, level: u8) -> Option<MemoryGuard> {
        let bytes = encoder_memory(coding, level);
        let grown = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.max_bytes);
        self.used.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(MemoryGuard { used: self.used.clone(), bytes })
    }
}

/// Reserved memory, released on drop.
#[derive(Debug)]
pub struct MemoryGuard {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reserved_up_to_the_limit_and_released() {
        let memory = MemoryLimit::new(&Arc::default(), 1024 * KIB);
        let first = memory.try_reserve(ContentCoding::Gzip, 1).expect("memory");
        let _second = memory.try_reserve(ContentCoding::Gzip, 9).expect("memory");
        assert!(memory.try_reserve(ContentCoding::Gzip, 1).is_none());
        drop(first);
        assert!(memory.try_reserve(ContentCoding::Zstd, 3).is_none(), "zstd needs more than was released");
        assert!(memory.try_reserve(ContentCoding::Gzip, 1).is_some());
    }
}
