//! The form of a stored response on Redis: a format number, the head and its freshness, and the body, compressed if it is
//! large, in the value itself or in pieces.

use super::super::{entry::EntryMetadata, freshness::Freshness, vary::VaryKey};
use crate::pipeline::head::Head;
use flate2::Crc;
use std::time::{Duration, Instant};

/// The number at the beginning of every value.
const FORMAT: u8 = 1;
/// Bodies up to this size are part of the value.
pub const MAX_INLINE_BODY: usize = 64 << 10;
/// The largest value: an inline body and its head.
pub const MAX_VALUE: usize = MAX_INLINE_BODY + (64 << 10);
/// The size of a piece.
pub const PIECE_BYTES: usize = 256 << 10;
/// Bodies from this size are compressed.
const MIN_COMPRESSED: usize = 16 << 10;
const COMPRESSION_LEVEL: i32 = 1;

/// Where the bytes of a body are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyBytes {
    Inline(Vec<u8>),
    /// In this many pieces, whose keys contain this number.
    Pieces {
        count: u32,
        generation: u64,
    },
}

/// A body as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    /// Its length before compression.
    pub length: u64,
    pub is_compressed: bool,
    /// CRC-32 of the stored bytes.
    pub checksum: u32,
    pub bytes: BodyBytes,
}

/// A stored response.
#[derive(Debug)]
pub struct StoredValue {
    pub head: Head,
    pub vary_key: VaryKey,
    pub freshness: Freshness,
    pub url: Box<[u8]>,
    /// The last purge that was known when the response was requested.
    pub purge_number: u64,
    /// When it was requested, in Unix microseconds of Redis.
    pub requested_us: u64,
    pub body: StoredBody,
}

/// CRC-32.
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The bytes of a body as they are stored, and whether they are compressed.
pub fn compress(body: Vec<u8>, head: &Head) -> (Vec<u8>, bool) {
    if body.len() < MIN_COMPRESSED || head.get(b"content-encoding").is_some() {
        return (body, false);
    }
    match zstd::bulk::compress(&body, COMPRESSION_LEVEL) {
        Ok(compressed) if compressed.len() < body.len() / 10 * 9 => (compressed, true),
        _ => (body, false),
    }
}

/// The body of stored bytes; `None` if they are damaged.
pub fn decompress(bytes: Vec<u8>, body: &StoredBody, max_bytes: u64) -> Option<Vec<u8>> {
    if checksum(&bytes) != body.checksum || body.length > max_bytes {
        return None;
    }
    let length = usize::try_from(body.length).ok()?;
    let body = if body.is_compressed { zstd::bulk::decompress(&bytes, length).ok()? } else { bytes };
    (body.len() == length).then_some(body)
}

/// Encodes a response; `now_us` is the present time of Redis.
pub fn encode(
    metadata: &EntryMetadata,
    body: &StoredBody,
    (purge_number, requested_us): (u64, u64),
    (now, now_us): (Instant, u64),
) -> Vec<u8> {
    let mut value = ValueWriter(vec![FORMAT]);
    value.number(now_us);
    put_freshness(&mut value, &metadata.freshness, now);
    let flags = [
        metadata.freshness.must_revalidate,
        metadata.freshness.always_revalidate,
        metadata.freshness.explicit,
        body.is_compressed,
        metadata.vary_key != VaryKey::None,
    ];
    value.number(flags.iter().enumerate().map(|(bit, flag)| u64::from(*flag) << bit).sum());
    value.number(purge_number);
    value.number(requested_us);
    value.bytes(&metadata.url);
    value.number(metadata.head.status.into());
    value.bytes(metadata.head.reason());
    value.fields(metadata.head.fields().map(|(_, name, value)| (name, value)));
    value.fields(metadata.vary_key.request_fields());
    put_body(&mut value, body);
    value.0
}

/// The age now, and the times of the response, in milliseconds.
fn put_freshness(value: &mut ValueWriter, freshness: &Freshness, now: Instant) {
    let Freshness { lifetime, stale_while_revalidate, stale_if_error, .. } = *freshness;
    for time in [freshness.age(now), lifetime, stale_while_revalidate, stale_if_error] {
        value.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
}

fn put_body(value: &mut ValueWriter, body: &StoredBody) {
    value.number(body.length);
    value.number(body.checksum.into());
    match &body.bytes {
        BodyBytes::Inline(bytes) => {
            value.number(0);
            value.bytes(bytes);
        }
        BodyBytes::Pieces { count, generation } => {
            value.number((*count).into());
            value.number(*generation);
        }
    }
}

/// Decodes a response; the error names what is wrong.
pub fn decode(value: &[u8], (now, now_us): (Instant, u64)) -> Result<StoredValue, &'static str> {
    match value.first() {
        Some(&FORMAT) => {}
        _ => return Err("FORMAT a stored response has an unknown format"),
    }
    read(&mut ValueReader(&value[1..]), now, now_us).ok_or("FORMAT a stored response is damaged")
}

fn read(from: &mut ValueReader, now: Instant, now_us: u64) -> Option<StoredValue> {
    let stored_us = from.number()?;
    let mut times = [Duration::ZERO; 4];
    for time in &mut times {
        *time = Duration::from_millis(from.number()?);
    }
    let [age, lifetime, stale_while_revalidate, stale_if_error] = times;
    let flags = from.number()?;
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let freshness = Freshness {
        received_at: now,
        initial: age.saturating_add(Duration::from_micros(now_us.saturating_sub(stored_us))),
        lifetime,
        stale_while_revalidate,
        stale_if_error,
        must_revalidate: flag(0),
        always_revalidate: flag(1),
        explicit: flag(2),
    };
    let (purge_number, requested_us, url) = (from.number()?, from.number()?, from.bytes()?.into());
    let mut head = Head::response(u16::try_from(from.number()?).ok()?, from.bytes()?);
    from.fields(&mut head)?;
    let mut request = Head::request(b"GET", b"/");
    from.fields(&mut request)?;
    let (length, checksum) = (from.number()?, u32::try_from(from.number()?).ok()?);
    let bytes = match from.number()? {
        0 => BodyBytes::Inline(from.bytes()?.to_vec()),
        count => BodyBytes::Pieces { count: u32::try_from(count).ok()?, generation: from.number()? },
    };
    let vary_key = if flag(4) { VaryKey::of(&head, &request) } else { VaryKey::None };
    let body = StoredBody { length, is_compressed: flag(3), checksum, bytes };
    Some(StoredValue { head: head.to_stored(), vary_key, freshness, url, purge_number, requested_us, body })
}

/// Appends numbers and texts with their lengths.
struct ValueWriter(Vec<u8>);

impl ValueWriter {
    fn number(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn fields<'f>(&mut self, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        for (name, value) in fields {
            self.bytes(name);
            self.bytes(value);
        }
        self.bytes(b"");
    }
}

/// Reads what [`ValueWriter`] wrote.
struct ValueReader<'v>(&'v [u8]);

impl<'v> ValueReader<'v> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'v [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn fields(&mut self, head: &mut Head) -> Option<()> {
        loop {
            match self.bytes()? {
                b"" => return Some(()),
                name => head.append(name, self.bytes()?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(now: Instant) -> EntryMetadata {
        let (mut head, mut request) = (Head::response(200, b"OK"), Head::request(b"GET", b"/"));
        for (name, value) in [("ETag", "\"1\""), ("Vary", "Accept-Language, X-A"), ("Surrogate-Key", "a b")] {
            head.append(name.as_bytes(), value.as_bytes());
        }
        request.append(b"Accept-Language", b"de, en;q=0.5");
        EntryMetadata {
            vary_key: VaryKey::of(&head, &request),
            head,
            freshness: Freshness::with_ttl(now, Duration::from_secs(60)),
            epoch: 0,
            invalidation_marks: smallvec::SmallVec::new(),
            url: Box::from(*b"http://h/a"),
            region: "r".into(),
        }
    }

    fn body(bytes: &[u8]) -> StoredBody {
        let (checksum, length) = (checksum(bytes), bytes.len() as u64);
        StoredBody { length, is_compressed: false, checksum, bytes: BodyBytes::Inline(bytes.to_vec()) }
    }

    #[test]
    fn a_response_is_read_as_it_was_written_and_has_aged() {
        let now = Instant::now();
        let (metadata, body) = (metadata(now), body(b"hello"));
        let value = encode(&metadata, &body, (7, 900), (now, 1_000));
        let read = decode(&value, (now, 5_001_000)).expect("a response");
        let fields =
            |head: &Head| head.fields().map(|(_, n, v)| (n.to_vec(), v.to_vec())).collect::<Vec<_>>();
        assert_eq!((read.head.status, fields(&read.head)), (200, fields(&metadata.head)));
        assert!(read.vary_key.is_equal(&metadata.vary_key) && read.body == body);
        assert_eq!((read.purge_number, read.requested_us, &*read.url), (7, 900, &b"http://h/a"[..]));
        assert_eq!(read.freshness.remaining(now), Some(Duration::from_secs(55)));
        assert!(read.freshness.must_revalidate && read.freshness.explicit);
    }

    #[test]
    fn damaged_and_unknown_values_are_errors() {
        let now = Instant::now();
        let value = encode(&metadata(now), &body(b"hello"), (7, 900), (now, 1_000));
        for length in 0..value.len() {
            assert!(decode(&value[..length], (now, 1_000)).is_err(), "{length}");
        }
        assert!(decode(&[&[2], &value[1..]].concat(), (now, 1_000)).is_err());
    }

    #[test]
    fn a_large_body_is_compressed_and_a_damaged_one_is_not_served() {
        let text = b"margay ".repeat(10_000);
        let (bytes, is_compressed) = compress(text.clone(), &Head::response(200, b"OK"));
        assert!(is_compressed && bytes.len() < text.len() / 10);
        let stored = StoredBody {
            length: text.len() as u64,
            is_compressed,
            checksum: checksum(&bytes),
            bytes: BodyBytes::Inline(Vec::new()),
        };
        assert_eq!(decompress(bytes.clone(), &stored, u64::MAX).as_deref(), Some(&text[..]));
        assert_eq!(decompress(bytes.clone(), &stored, 10), None, "larger than allowed");
        assert_eq!(decompress(bytes[1..].to_vec(), &stored, u64::MAX), None);
    }
}
