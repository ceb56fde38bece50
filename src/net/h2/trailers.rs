//! Inspects header blocks on the wire. Counts the fields of trailers, which the `h2` crate does not expose. The crate drops pseudo-header
//! fields, but trailers that contain any are malformed (RFC 9113 8.1).

use super::{
    error_code::H2ErrorCode,
    hpack::{integer, string},
    request_path::{Fragment, find_fragment},
};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Maximum size of an inspected block; far more than the head limits allow.
const MAX_BLOCK: usize = 256 * 1024;
/// The count of a request whose path has a fragment.
pub const FRAGMENT: usize = usize::MAX;
/// Maximum number of counts that wait for their streams; exceeded only by streams that are never read.
const MAX_PENDING_COUNTS: usize = 1024;

/// Tracks header blocks: requests, whose path is inspected, and trailers.
#[derive(Debug, Default)]
pub struct TrailerBlocks {
    /// The highest stream id seen.
    last_stream_id: u32,
    open: Option<HeaderBlock>,
    /// The memory of the last block.
    memory: Vec<u8>,
}

/// A header block, as far as it was received.
#[derive(Debug)]
struct HeaderBlock {
    stream: u32,
    /// It opened the stream: a request.
    is_request: bool,
    bytes: Vec<u8>,
    /// Where the payload of the current frame begins, and the flags that define its padding.
    frame: usize,
    flags: u8,
    /// Bytes of the frame that were not received yet.
    frame_remaining: usize,
    /// Whether the block ends with this frame.
    last: bool,
}

impl TrailerBlocks {
    /// Handles a HEADERS frame; on an existing stream it contains trailers, otherwise a request.
    pub fn headers(&mut self, stream: u32, flags: u8, length: usize, last: bool) {
        let is_request = stream > self.last_stream_id;
        self.last_stream_id = self.last_stream_id.max(stream);
        let (mut bytes, frame) = (std::mem::take(&mut self.memory), 0);
        bytes.clear();
        self.open =
            Some(HeaderBlock { stream, is_request, bytes, frame, flags, frame_remaining: length, last });
    }

    /// Handles a CONTINUATION frame.
    pub fn continuation(&mut self, length: usize, last: bool) {
        if let Some(block) = &mut self.open {
            (block.frame, block.flags, block.frame_remaining, block.last) =
                (block.bytes.len(), 0, length, last);
        }
    }

    /// Whether a block is incomplete.
    pub fn expects_payload(&self) -> bool {
        self.open.is_some()
    }

    /// Adds bytes of a frame; returns the stream and the number of its trailer fields once they are complete, or [`FRAGMENT`]
    /// for a request whose path has one.
    pub fn push_payload(&mut self, bytes: &[u8]) -> Result<Option<(u32, usize)>, H2ErrorCode> {
        let Some(block) = &mut self.open else { return Ok(None) };
        block.frame_remaining -= bytes.len();
        if block.bytes.len() + bytes.len() <= MAX_BLOCK {
            block.bytes.extend_from_slice(bytes);
        } else if !block.is_request {
            // The head limits apply to requests; of their blocks only the beginning is inspected.
            return Err(H2ErrorCode::ENHANCE_YOUR_CALM);
        }
        if block.frame_remaining > 0 {
            return Ok(None);
        }
        // The `h2` crate reports errors in the block itself.
        block.strip_padding();
        if !block.last {
            return Ok(None);
        }
        let found = match block.is_request {
            false => count_fields(&block.bytes),
            true => match find_fragment(&block.bytes) {
                Some(Fragment::Indexed) => return Err(H2ErrorCode::PROTOCOL_ERROR),
                Some(Fragment::Literal) => Some(FRAGMENT),
                None => None,
            },
        };
        let found = found.map(|fields| (block.stream, fields));
        self.memory = self.open.take().map(|block| block.bytes).unwrap_or_default();
        Ok(found)
    }
}

impl HeaderBlock {
    /// Removes padding and priority of the last frame, leaving the fragment (RFC 9113 6.2).
    fn strip_padding(&mut self) {
        let payload = &self.bytes[self.frame..];
        let padded = self.flags & PADDED != 0;
        let padding = payload.first().copied().filter(|_| padded).map_or(0, usize::from);
        let before = usize::from(padded) + if self.flags & PRIORITY != 0 { 5 } else { 0 };
        self.bytes.truncate(self.bytes.len().saturating_sub(padding).max(self.frame));
        let end = (self.frame + before).min(self.bytes.len());
        self.bytes.drain(self.frame..end);
    }
}

/// The number of fields of a block (RFC 7541 6), without decoding it. `None`: truncated.
fn count_fields(mut block: &[u8]) -> Option<usize> {
    let mut fields = 0;
    while let Some(first) = block.first().copied() {
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let named = integer(&mut block, prefix)? != 0;
        fields += usize::from(!(0x20..0x40).contains(&first));
        if literal && !named {
            string(&mut block)?;
        }
        if literal {
            string(&mut block)?;
        }
    }
    Some(fields)
}

/// The field counts of trailers that were not read yet.
#[derive(Debug, Default)]
pub struct TrailerCounts(Mutex<VecDeque<(u32, usize)>>, AtomicUsize);

impl TrailerCounts {
    /// Adds the count of a stream; drops the oldest when there are too many.
    pub fn put(&self, stream: u32, fields: usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.1.store(waiting.len() + 1, Relaxed);
        if waiting.len() == MAX_PENDING_COUNTS {
            waiting.pop_front();
        }
        waiting.push_back((stream, fields));
    }

    /// Removes and returns the count of a stream.
    pub fn take(&self, stream: u32) -> Option<usize> {
        if self.1.load(Relaxed) == 0 {
            return None;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = waiting.iter().position(|(of, _)| *of == stream)?;
        let found = waiting.remove(at).map(|(_, fields)| fields);
        self.1.store(waiting.len(), Relaxed);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indexed, with an indexed name, with a literal name (never indexed), a size update, and an index of two bytes.
    const FIVE: &[u8] = b"\x82\x44\x03/ab\x10\x01a\x02bc\x3f\xe1\x1f\xff\x00\x00\x01x\x00";

    #[test]
    fn fields_are_counted_in_every_representation() {
        assert_eq!(count_fields(FIVE), Some(5));
        assert_eq!(count_fields(b""), Some(0));
        for end in 1..FIVE.len() {
            let cut = count_fields(&FIVE[..end]);
            assert!(cut.is_none_or(|n| n < 5), "{end}: {cut:?}");
        }
        assert_eq!(count_fields(b"\xff\xff\xff\xff\xff\xff\x01"), None, "the integer is too large");
    }

    #[test]
    fn a_block_may_be_padded_split_and_continued() {
        let mut blocks = TrailerBlocks::default();
        blocks.headers(3, 0, 1, true);
        assert_eq!(blocks.push_payload(b"\x82").ok(), Some(None), "the block opens a stream");
        let payload = [&b"\x02\0\0\0\0\x07"[..], &FIVE[..4], b"\0\0"].concat();
        for size in 1..payload.len() {
            blocks.headers(3, PADDED | PRIORITY, payload.len(), false);
            for piece in payload.chunks(size) {
                assert_eq!(blocks.push_payload(piece).ok(), Some(None));
            }
            blocks.continuation(FIVE.len() - 4, true);
            let ends: Vec<_> =
                FIVE[4..].chunks(size).map(|piece| blocks.push_payload(piece).unwrap()).collect();
            assert_eq!(ends.last(), Some(&Some((3, 5))), "{size}");
            assert!(!blocks.expects_payload());
        }
    }

    #[test]
    fn an_oversized_block_is_a_flood_and_unread_counts_are_dropped() {
        let mut blocks = TrailerBlocks::default();
        blocks.headers(1, 0, 0, true);
        assert!(blocks.push_payload(b"").is_ok());
        blocks.headers(1, 0, MAX_BLOCK + 1, false);
        assert_eq!(blocks.push_payload(&[0; MAX_BLOCK + 1]), Err(H2ErrorCode::ENHANCE_YOUR_CALM));
        let counts = TrailerCounts::default();
        (0..=MAX_PENDING_COUNTS as u32).for_each(|stream| counts.put(stream, 7));
        assert_eq!((counts.take(0), counts.take(1), counts.take(1)), (None, Some(7), None));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_blocks_never_panic(frames in proptest::collection::vec(
            (proptest::num::u8::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..40)), 1..5,
        )) {
            let mut blocks = TrailerBlocks::default();
            blocks.headers(1, 0, 0, true);
            let _ = blocks.push_payload(b"");
            for (at, (flags, payload)) in frames.iter().enumerate() {
                let last = at + 1 == frames.len();
                match at {
                    0 => blocks.headers(1, *flags, payload.len(), last),
                    _ => blocks.continuation(payload.len(), last),
                }
                let _ = blocks.push_payload(payload);
            }
            proptest::prop_assert!(!blocks.expects_payload());
        }
    }
}
