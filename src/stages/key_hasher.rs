//! Hashes of keys that are made of several parts: keyed ones for the state of this process, SHA-256 for state that several
//! processes share. Clients can produce collisions of neither.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// The key of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u64; 2]);

/// A key for a store that several processes share.
pub type Digest = [u8; 16];

/// What hashes the parts of a key.
pub(super) trait PartHasher {
    /// Adds the length first, so that `ab, c` and `a, bc` differ.
    fn add(&mut self, bytes: &[u8]);

    /// Marks an absent value: a length that no text has.
    fn write_absent(&mut self);
}

/// Two keyed hashes in progress.
#[derive(Clone, Debug)]
pub(super) struct KeyHasher([DefaultHasher; 2]);

impl KeyHasher {
    /// An empty hasher with these seeds.
    pub fn new(seeds: &[RandomState; 2]) -> KeyHasher {
        KeyHasher([seeds[0].build_hasher(), seeds[1].build_hasher()])
    }

    /// The key of what was added.
    pub fn finish(&self) -> Key {
        Key([self.0[0].finish(), self.0[1].finish()])
    }
}

impl PartHasher for KeyHasher {
    fn add(&mut self, bytes: &[u8]) {
        for hasher in &mut self.0 {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
    }

    fn write_absent(&mut self) {
        for hasher in &mut self.0 {
            hasher.write_usize(usize::MAX);
        }
    }
}

/// SHA-256 in progress.
#[derive(Clone)]
pub(super) struct DigestHasher(ring::digest::Context);

impl std::fmt::Debug for DigestHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("DigestHasher")
    }
}

impl Default for DigestHasher {
    fn default() -> Self {
        DigestHasher(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl DigestHasher {
    /// The key of what was added.
    pub fn finish(self) -> Digest {
        let mut digest = Digest::default();
        digest.copy_from_slice(&self.0.finish().as_ref()[..16]);
        digest
    }
}

impl PartHasher for DigestHasher {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn write_absent(&mut self) {
        self.0.update(&u64::MAX.to_be_bytes());
    }
}
