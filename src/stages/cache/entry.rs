//! A stored answer, and the answers that are stored under one key.

use super::{freshness::Life, marks::Marks, marks::Stamp, vary::Varies};
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
pub const OVERHEAD: usize = 1024;
/// Answers under one key; the oldest makes room.
const VARIANTS: usize = 16;

/// Bytes in use out of a bound, shared with who wants to know.
#[derive(Debug)]
pub struct Budget {
    pub bound: u64,
    pub held: Arc<AtomicU64>,
}

impl Budget {
    /// Takes so many bytes, if there are as many left.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Hold> {
        let bytes = bytes as u64;
        let grown = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.bound);
        self.held.fetch_update(Relaxed, Relaxed, grown).ok()?;
        Some(Hold { budget: self.clone(), bytes })
    }
}

/// Bytes in use, given back by being dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bytes that count for as long as anybody reads them, also when nothing is stored under their key any more.
struct Counted {
    bytes: Box<[u8]>,
    _hold: Hold,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A copy of some bytes, counted.
pub fn counted(bytes: Box<[u8]>, hold: Hold) -> Bytes {
    Bytes::from_owner(Counted { bytes, _hold: hold })
}

/// A body in one or more pieces.
pub type Pieces = SmallVec<[Bytes; 1]>;

/// What is known of an answer once its head is there.
#[derive(Debug)]
pub struct About {
    /// What is sent again: no field of one connection, no `Age`.
    pub head: Head,
    pub varies: Varies,
    pub life: Life,
    /// When it was asked for.
    pub stamp: Stamp,
    /// Hashes of its address, its region and its tags.
    pub marks: SmallVec<[u64; 2]>,
    /// Scheme, host, path and query, for people and for removal by prefix.
    pub url: Box<[u8]>,
    pub region: Arc<str>,
}

impl About {
    /// Whether nothing was said against it since it was asked for.
    pub fn is_allowed(&self, marks: &Marks) -> bool {
        self.marks.iter().all(|hash| marks.allows(*hash, self.stamp))
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
        self.head.capacity() + self.url.len() + OVERHEAD
    }
}

/// The tags of an answer, for removal.
pub fn tags(head: &Head) -> impl Iterator<Item = &[u8]> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    head.all(b"surrogate-key").flat_map(move |line| line.split(blank)).filter(|tag| !tag.is_empty())
}

/// A stored answer.
#[derive(Debug)]
pub struct Entry {
    pub about: Arc<About>,
    pub body: Pieces,
    pub length: u64,
    pub _hold: Hold,
}

/// All answers under one key, the newest first.
#[derive(Debug, Default)]
pub struct Resource {
    pub variants: SmallVec<[Arc<Entry>; 1]>,
}

impl Resource {
    /// The newest answer for that request.
    pub fn find(&self, request: &Head) -> Option<&Arc<Entry>> {
        self.variants.iter().find(|entry| entry.about.varies.suits(request))
    }

    /// The same with one more, in the place of the one for the same requests.
    pub fn with(old: Option<&Resource>, entry: Arc<Entry>, now: Instant) -> Resource {
        let others = old.into_iter().flat_map(|old| &old.variants).filter(|other| {
            !other.about.varies.same(&entry.about.varies)
                && !other.about.life.is_over(now, other.about.validates())
        });
        let mut variants: SmallVec<[Arc<Entry>; 1]> = SmallVec::new();
        variants.push(entry.clone());
        variants.extend(others.take(VARIANTS - 1).cloned());
        Resource { variants }
    }

    /// Bytes of all of them.
    pub fn weight(&self) -> u32 {
        let bytes = |entry: &Arc<Entry>| entry.length + entry.about.size() as u64;
        u32::try_from(self.variants.iter().map(bytes).sum::<u64>()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn bytes_count_until_the_last_reader_is_through() {
        let budget = Arc::new(Budget { bound: 10, held: Arc::default() });
        let hold = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let bytes = counted(Box::from(*b"abcdef"), hold);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(budget.held.load(Relaxed), 6);
        drop(part);
        assert!(budget.take(10).is_some());
    }

    pub fn entry(budget: &Arc<Budget>, foo: &str) -> Arc<Entry> {
        let (mut head, mut request) = (Head::response(200, b"OK"), Head::request(b"GET", b"/"));
        head.append(b"Vary", b"Foo");
        request.append(b"Foo", foo.as_bytes());
        let about = About {
            varies: Varies::of(&head, &request),
            head,
            life: Life::fixed(Instant::now(), Duration::from_secs(60)),
            stamp: 0,
            marks: SmallVec::new(),
            url: Box::from(*b"/"),
            region: "r".into(),
        };
        Arc::new(Entry {
            about: Arc::new(about),
            body: Pieces::new(),
            length: 0,
            _hold: budget.take(1).unwrap(),
        })
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_one_for_the_same_requests() {
        let budget = Arc::new(Budget { bound: 1000, held: Arc::default() });
        let now = Instant::now();
        let mut resource = Resource::default();
        for foo in ["1", "2", "1"] {
            resource = Resource::with(Some(&resource), entry(&budget, foo), now);
        }
        assert_eq!(resource.variants.len(), 2);
        let mut request = Head::request(b"GET", b"/");
        assert!(resource.find(&request).is_none());
        request.append(b"Foo", b"2");
        assert!(resource.find(&request).is_some_and(|found| Arc::ptr_eq(found, &resource.variants[1])));
        for n in 0..40 {
            resource = Resource::with(Some(&resource), entry(&budget, &format!("x{n}")), now);
        }
        assert_eq!(resource.variants.len(), VARIANTS);
    }
}
