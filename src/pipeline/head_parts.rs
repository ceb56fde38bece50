//! The memory of a message head.

use super::known_header::{KnownHeader, KnownHeaders};

/// A range of the head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub start: u32,
    pub end: u32,
}

impl ByteRange {
    const EMPTY: ByteRange = ByteRange { start: 0, end: 0 };

    /// The bytes in this range.
    pub fn slice(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// One header line; an inactive one was removed or replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub known: KnownHeader,
    pub is_active: bool,
    pub name: ByteRange,
    pub value: ByteRange,
}

/// What a head consists of, but for version and status.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub buf: Vec<u8>,
    pub fields: Vec<Field>,
    /// Method of a request, or reason phrase of a response.
    pub first: ByteRange,
    /// Target of a request.
    pub target_range: ByteRange,
    /// Target as received.
    pub original_target: ByteRange,
    /// Received bytes of the buffer; the bytes after them are the gateway's own.
    pub received_len: u32,
    /// Target as matched by the route, after a rewrite.
    pub routed_target: Option<ByteRange>,
    /// The known headers that were added since the last `clear`; those that were removed remain in it.
    pub added: KnownHeaders,
}

/// The parts of an empty head.
pub(super) static EMPTY_PARTS: Parts = Parts {
    buf: Vec::new(),
    fields: Vec::new(),
    first: ByteRange::EMPTY,
    target_range: ByteRange::EMPTY,
    original_target: ByteRange::EMPTY,
    received_len: 0,
    routed_target: None,
    added: KnownHeaders::of(&[]),
};

impl Parts {
    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.fields.clear();
        (self.first, self.target_range, self.original_target, self.routed_target) = Default::default();
        (self.received_len, self.added) = Default::default();
    }

    /// Adds a header line by its positions.
    pub fn add(&mut self, name: ByteRange, value: ByteRange) -> KnownHeader {
        let known = KnownHeader::of(name.slice(&self.buf));
        self.fields.push(Field { known, is_active: true, name, value });
        self.added.insert(known);
        known
    }

    /// Appends bytes, and returns their range.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> ByteRange {
        let start = self.buf.len() as u32;
        self.buf.extend_from_slice(bytes);
        ByteRange { start, end: self.buf.len() as u32 }
    }
}
