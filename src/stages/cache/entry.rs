//! A stored response, the responses stored under one key, and the memory budget.

use super::{
    freshness::Freshness, invalidation_epochs::Epoch, invalidation_epochs::InvalidationEpochs, vary::VaryKey,
};
use crate::pipeline::head::Head;
use bytes::Bytes;
use smallvec::SmallVec;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Memory of an entry in addition to its head and body: its fields, those of the store, and allocator overhead.
pub const ENTRY_OVERHEAD_BYTES: usize = 1024;
/// Responses under one key; the oldest is evicted.
const MAX_VARIANTS: usize = 16;

/// A limit of bytes; `used` is shared with the metrics.
#[derive(Debug)]
pub struct MemoryBudget {
    pub limit: u64,
    pub used: Arc<AtomicU64>,
}

impl MemoryBudget {
    /// Reserves `bytes`, if they are available.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<MemoryGuard> {
        let bytes = bytes as u64;
        let grown = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(MemoryGuard { budget: self.clone(), bytes })
    }
}

/// Reserved bytes, released on drop.
#[derive(Debug)]
pub struct MemoryGuard {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bytes that count against the budget as long as a reader holds them, even after the eviction of their entry.
struct Counted {
    bytes: Box<[u8]>,
    _reservation: MemoryGuard,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that own their reservation.
pub fn copy_counted(bytes: Box<[u8]>, reservation: MemoryGuard) -> Bytes {
    Bytes::from_owner(Counted { bytes, _reservation: reservation })
}

/// A body in one or more pieces.
pub type Pieces = SmallVec<[Bytes; 1]>;

/// The length of a body in bytes.
pub fn body_len(pieces: &Pieces) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// The metadata of a response, known once its head has arrived.
#[derive(Debug)]
pub struct EntryMetadata {
    /// The head that is served: without fields of one connection, without `Age`.
    pub head: Head,
    pub vary_key: VaryKey,
    pub freshness: Freshness,
    /// The epoch before its request was sent.
    pub epoch: Epoch,
    /// Hashes of its URL, region and tags.
    pub invalidation_marks: SmallVec<[u64; 2]>,
    /// Scheme, host, path and query, for inspection and for purges by prefix.
    pub url: Box<[u8]>,
    pub region: Arc<str>,
}

impl EntryMetadata {
    /// Whether none of its marks was invalidated after its request.
    pub fn is_valid(&self, epochs: &InvalidationEpochs) -> bool {
        self.invalidation_marks.iter().all(|hash| epochs.is_valid(*hash, self.epoch))
    }

    /// Whether it has a validator for conditional requests.
    pub fn validates(&self) -> bool {
        self.head.get(b"etag").is_some() || self.head.get(b"last-modified").is_some()
    }

    /// Its tags.
    pub fn tags(&self) -> impl Iterator<Item = &[u8]> {
        tags(&self.head)
    }

    /// Its memory in bytes, without its body.
    pub fn size(&self) -> usize {
        self.head.capacity() + self.url.len() + ENTRY_OVERHEAD_BYTES
    }
}

/// The tags of a response (`Surrogate-Key`), for purges.
pub fn tags(head: &Head) -> impl Iterator<Item = &[u8]> {
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    head.get_all(b"surrogate-key").flat_map(move |line| line.split(is_blank)).filter(|tag| !tag.is_empty())
}

/// A stored response.
#[derive(Debug)]
pub struct Entry {
    pub metadata: Arc<EntryMetadata>,
    pub body: Pieces,
    pub length: u64,
    pub _reservation: MemoryGuard,
}

/// All responses under one key, newest first.
#[derive(Debug, Default)]
pub struct VariantSet {
    pub variants: SmallVec<[Arc<Entry>; 1]>,
}

impl VariantSet {
    /// The newest response that matches the request.
    pub fn find(&self, request: &Head) -> Option<&Arc<Entry>> {
        self.variants.iter().find(|entry| entry.metadata.vary_key.matches(request))
    }

    /// The set with one more entry, which replaces the one with an equal `Vary` key.
    pub fn with_variant(old: Option<&VariantSet>, entry: Arc<Entry>, now: Instant) -> VariantSet {
        let others = old.into_iter().flat_map(|old| &old.variants).filter(|other| {
            !other.metadata.vary_key.is_equal(&entry.metadata.vary_key)
                && !other.metadata.freshness.is_unusable(now, other.metadata.validates())
        });
        let mut variants: SmallVec<[Arc<Entry>; 1]> = SmallVec::new();
        variants.push(entry.clone());
        variants.extend(others.take(MAX_VARIANTS - 1).cloned());
        VariantSet { variants }
    }

    /// Total bytes of all variants.
    pub fn total_bytes(&self) -> u32 {
        let bytes = |entry: &Arc<Entry>| entry.length + entry.metadata.size() as u64;
        u32::try_from(self.variants.iter().map(bytes).sum::<u64>()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn bytes_are_reserved_until_the_last_reader_is_dropped() {
        let budget = Arc::new(MemoryBudget { limit: 10, used: Arc::default() });
        let reservation = budget.try_reserve(6).unwrap();
        assert!(budget.try_reserve(5).is_none());
        let bytes = copy_counted(Box::from(*b"abcdef"), reservation);
        let slice = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(budget.used.load(Relaxed), 6);
        drop(slice);
        assert!(budget.try_reserve(10).is_some());
    }

    pub fn entry(budget: &Arc<MemoryBudget>, foo: &str) -> Arc<Entry> {
        let (mut head, mut request) = (Head::response(200, b"OK"), Head::request(b"GET", b"/"));
        head.append(b"Vary", b"Foo");
        request.append(b"Foo", foo.as_bytes());
        let metadata = EntryMetadata {
            vary_key: VaryKey::of(&head, &request),
            head,
            freshness: Freshness::with_ttl(Instant::now(), Duration::from_secs(60)),
            epoch: 0,
            invalidation_marks: SmallVec::new(),
            url: Box::from(*b"/"),
            region: "r".into(),
        };
        Arc::new(Entry {
            metadata: Arc::new(metadata),
            body: Pieces::new(),
            length: 0,
            _reservation: budget.try_reserve(1).unwrap(),
        })
    }

    #[test]
    fn a_new_variant_replaces_the_one_for_the_same_requests() {
        let budget = Arc::new(MemoryBudget { limit: 1000, used: Arc::default() });
        let now = Instant::now();
        let mut variants_of_key = VariantSet::default();
        for foo in ["1", "2", "1"] {
            variants_of_key = VariantSet::with_variant(Some(&variants_of_key), entry(&budget, foo), now);
        }
        assert_eq!(variants_of_key.variants.len(), 2);
        let mut request = Head::request(b"GET", b"/");
        assert!(variants_of_key.find(&request).is_none());
        request.append(b"Foo", b"2");
        assert!(
            variants_of_key
                .find(&request)
                .is_some_and(|entry| Arc::ptr_eq(entry, &variants_of_key.variants[1]))
        );
        for n in 0..40 {
            variants_of_key =
                VariantSet::with_variant(Some(&variants_of_key), entry(&budget, &format!("x{n}")), now);
        }
        assert_eq!(variants_of_key.variants.len(), MAX_VARIANTS);
    }
}
