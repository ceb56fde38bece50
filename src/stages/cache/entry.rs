//! A stored answer, and the answers that are stored under one key.

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

/// What a stored answer takes beside its bytes: its own fields, those of the store, and what the allocator rounds up.
pub const ENTRY_OVERHEAD: usize = 1024;
/// Answers under one key; the oldest makes room.
const MAX_VARIANTS: usize = 16;

/// Bytes in use out of a bound, shared with who wants to know.
#[derive(Debug)]
pub struct MemoryBudget {
    pub limit: u64,
    pub used: Arc<AtomicU64>,
}

impl MemoryBudget {
    /// Takes so many bytes, if there are as many left.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<MemoryGuard> {
        let bytes = bytes as u64;
        let grown = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(MemoryGuard { budget: self.clone(), bytes })
    }
}

/// Bytes in use, given back by being dropped.
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

/// Bytes that count for as long as anybody reads them, also when nothing is stored under their key any more.
struct Counted {
    bytes: Box<[u8]>,
    _hold: MemoryGuard,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A copy of some bytes, counted.
pub fn copy_counted(bytes: Box<[u8]>, hold: MemoryGuard) -> Bytes {
    Bytes::from_owner(Counted { bytes, _hold: hold })
}

/// A body in one or more pieces.
pub type Pieces = SmallVec<[Bytes; 1]>;

/// What is known of an answer once its head is there.
#[derive(Debug)]
pub struct EntryMetadata {
    /// What is sent again: no field of one connection, no `Age`.
    pub head: Head,
    pub vary_key: VaryKey,
    pub freshness: Freshness,
    /// When it was asked for.
    pub epoch: Epoch,
    /// Hashes of its address, its region and its tags.
    pub invalidation_marks: SmallVec<[u64; 2]>,
    /// Scheme, host, path and query, for people and for removal by prefix.
    pub url: Box<[u8]>,
    pub region: Arc<str>,
}

impl EntryMetadata {
    /// Whether nothing was said against it since it was asked for.
    pub fn is_valid(&self, marks: &InvalidationEpochs) -> bool {
        self.invalidation_marks.iter().all(|hash| marks.is_valid(*hash, self.epoch))
    }

    /// Whether there is something to ask the service with.
    pub fn validates(&self) -> bool {
        self.head.get(b"etag").is_some() || self.head.get(b"last-modified").is_some()
    }

    /// The tags it was stored with.
    pub fn tags(&self) -> impl Iterator<Item = &[u8]> {
        tags(&self.head)
    }

    /// The bytes it takes without its body.
    pub fn size(&self) -> usize {
        self.head.capacity() + self.url.len() + ENTRY_OVERHEAD
    }
}

/// The tags of an answer, for removal.
pub fn tags(head: &Head) -> impl Iterator<Item = &[u8]> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    head.get_all(b"surrogate-key").flat_map(move |line| line.split(blank)).filter(|tag| !tag.is_empty())
}

/// A stored answer.
#[derive(Debug)]
pub struct Entry {
    pub metadata: Arc<EntryMetadata>,
    pub body: Pieces,
    pub length: u64,
    pub _hold: MemoryGuard,
}

/// All answers under one key, the newest first.
#[derive(Debug, Default)]
pub struct VariantSet {
    pub variants: SmallVec<[Arc<Entry>; 1]>,
}

impl VariantSet {
    /// The newest answer for that request.
    pub fn find(&self, request: &Head) -> Option<&Arc<Entry>> {
        self.variants.iter().find(|entry| entry.metadata.vary_key.matches(request))
    }

    /// The same with one more, in the place of the one for the same requests.
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

    /// Bytes of all of them.
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
    fn bytes_count_until_the_last_reader_is_through() {
        let budget = Arc::new(MemoryBudget { limit: 10, used: Arc::default() });
        let hold = budget.try_reserve(6).unwrap();
        assert!(budget.try_reserve(5).is_none());
        let bytes = copy_counted(Box::from(*b"abcdef"), hold);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(budget.used.load(Relaxed), 6);
        drop(part);
        assert!(budget.try_reserve(10).is_some());
    }

    pub fn entry(budget: &Arc<MemoryBudget>, foo: &str) -> Arc<Entry> {
        let (mut head, mut request) = (Head::response(200, b"OK"), Head::request(b"GET", b"/"));
        head.append(b"Vary", b"Foo");
        request.append(b"Foo", foo.as_bytes());
        let about = EntryMetadata {
            vary_key: VaryKey::of(&head, &request),
            head,
            freshness: Freshness::with_ttl(Instant::now(), Duration::from_secs(60)),
            epoch: 0,
            invalidation_marks: SmallVec::new(),
            url: Box::from(*b"/"),
            region: "r".into(),
        };
        Arc::new(Entry {
            metadata: Arc::new(about),
            body: Pieces::new(),
            length: 0,
            _hold: budget.try_reserve(1).unwrap(),
        })
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_one_for_the_same_requests() {
        let budget = Arc::new(MemoryBudget { limit: 1000, used: Arc::default() });
        let now = Instant::now();
        let mut resource = VariantSet::default();
        for foo in ["1", "2", "1"] {
            resource = VariantSet::with_variant(Some(&resource), entry(&budget, foo), now);
        }
        assert_eq!(resource.variants.len(), 2);
        let mut request = Head::request(b"GET", b"/");
        assert!(resource.find(&request).is_none());
        request.append(b"Foo", b"2");
        assert!(resource.find(&request).is_some_and(|found| Arc::ptr_eq(found, &resource.variants[1])));
        for n in 0..40 {
            resource = VariantSet::with_variant(Some(&resource), entry(&budget, &format!("x{n}")), now);
        }
        assert_eq!(resource.variants.len(), MAX_VARIANTS);
    }
}
