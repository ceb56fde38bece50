//! Range requests for stored responses (RFC 9110 14).

use crate::base::bytes::{comma_list, decimal, put_decimal};
use bytes::Bytes;

/// Requests with more ranges get the complete response: protection against many tiny ranges.
const MAX_RANGES: usize = 16;

/// A `Range` field, evaluated for a body of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// Serve the complete body: no valid byte range.
    Whole,
    /// First byte and end (exclusive) of each range.
    Ranges(Vec<(u64, u64)>),
    /// No range overlaps the body: 416.
    Unsatisfiable,
}

/// Parses a `Range` for a body of `length` bytes.
pub fn parse(range: &[u8], length: u64) -> RangeRequest {
    let Some((unit, set)) = split(range, b'=') else { return RangeRequest::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return RangeRequest::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in comma_list(set) {
        count += 1;
        match parse_range_spec(spec, length) {
            _ if count > MAX_RANGES => return RangeRequest::Whole,
            None => return RangeRequest::Whole,
            Some((from, to)) if from < to => parts.push((from, to)),
            Some(_) => {}
        }
    }
    match parts.len() {
        _ if count == 0 => RangeRequest::Whole,
        0 => RangeRequest::Unsatisfiable,
        // Overlapping ranges get the complete body (RFC 9110 14.2).
        2.. if overlap(&parts) => RangeRequest::Whole,
        _ => RangeRequest::Ranges(parts),
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = text.iter().position(|b| *b == at)?;
    Some((&text[..found], &text[found + 1..]))
}

/// `first-last`, `first-` or `-count`. An empty range is beyond the end; `None` is invalid.
fn parse_range_spec(spec: &[u8], length: u64) -> Option<(u64, u64)> {
    let (first, last) = split(spec, b'-')?;
    if first.is_empty() {
        let count = decimal(last)?;
        return Some((length.saturating_sub(count), if count == 0 { 0 } else { length }));
    }
    let first = decimal(first)?;
    let last = if last.is_empty() { u64::MAX } else { decimal(last)? };
    if last < first {
        return None;
    }
    Some((first.min(length), last.saturating_add(1).min(length)))
}

fn overlap(parts: &[(u64, u64)]) -> bool {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

/// `Content-Range` of one range.
pub fn content_range((from, to): (u64, u64), length: u64) -> Vec<u8> {
    let mut text = b"bytes ".to_vec();
    put_decimal(&mut text, from);
    text.push(b'-');
    put_decimal(&mut text, to - 1);
    text.push(b'/');
    put_decimal(&mut text, length);
    text
}

/// `Content-Range` of a 416.
pub fn unsatisfied_range(length: u64) -> Vec<u8> {
    let mut text = b"bytes */".to_vec();
    put_decimal(&mut text, length);
    text
}

/// Appends a range of a body in pieces to `out`, without copying.
pub fn slice(pieces: &[Bytes], (from, to): (u64, u64), buffer: &mut Vec<Bytes>) {
    let mut at = 0u64;
    for piece in pieces {
        let end = at + piece.len() as u64;
        let (first, last) = (from.max(at), to.min(end));
        if first < last {
            buffer.push(piece.slice((first - at) as usize..(last - at) as usize));
        }
        at = end;
    }
}

/// Several ranges as one `multipart/byteranges` body (RFC 9110 14.6), and its `Content-Type`.
pub fn multipart(
    pieces: &[Bytes],
    parts: &[(u64, u64)],
    content_type: Option<&[u8]>,
    boundary: u64,
) -> (Vec<Bytes>, String) {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    let boundary = format!("margay-{boundary:016x}");
    let mut body = Vec::new();
    for part in parts {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if let Some(content_type) = content_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(content_type);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"Content-Range: ");
        head.extend_from_slice(&content_range(*part, length));
        head.extend_from_slice(b"\r\n\r\n");
        body.push(Bytes::from(head));
        slice(pieces, *part, &mut body);
    }
    body.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    (body, format!("multipart/byteranges; boundary={boundary}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(range: &str) -> RangeRequest {
        parse(range.as_bytes(), 10)
    }

    #[test]
    fn ranges_are_limited_to_the_body() {
        for (text, part) in [
            ("bytes=0-1", (0, 2)),
            ("bytes=9-", (9, 10)),
            ("BYTES=2-99", (2, 10)),
            ("bytes=-3", (7, 10)),
            ("bytes=-99", (0, 10)),
            ("bytes=20-30, 1-1", (1, 2)),
        ] {
            assert_eq!(parts(text), RangeRequest::Ranges(vec![part]), "{text}");
        }
        assert_eq!(parts("bytes=0-1,4-5"), RangeRequest::Ranges(vec![(0, 2), (4, 6)]));
    }

    #[test]
    fn invalid_and_overlapping_ranges_get_the_complete_body() {
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        for text in ["lines=0-1", "bytes", "bytes=", "bytes=a-b", "bytes=3-1", "bytes=0-5,3-7", many.as_str()]
        {
            assert_eq!(parts(text), RangeRequest::Whole, "{text}");
        }
    }

    #[test]
    fn ranges_beyond_the_end_are_unsatisfiable() {
        assert_eq!(
            (parts("bytes=10-"), parts("bytes=-0")),
            (RangeRequest::Unsatisfiable, RangeRequest::Unsatisfiable)
        );
        assert_eq!(unsatisfied_range(10), b"bytes */10");
        assert_eq!(parse(b"bytes=0-", 0), RangeRequest::Unsatisfiable);
    }

    #[test]
    fn ranges_span_pieces() {
        let pieces = [Bytes::from_static(b"0123"), Bytes::from_static(b"45"), Bytes::from_static(b"6789")];
        let mut out = Vec::new();
        slice(&pieces, (3, 7), &mut out);
        assert_eq!(out, [&b"3"[..], b"45", b"6"]);
        let (body, content_type) = multipart(&pieces, &[(0, 2), (8, 10)], Some(b"a/b"), 7);
        assert_eq!(content_type, "multipart/byteranges; boundary=margay-0000000000000007");
        assert_eq!(
            body.concat(),
            b"\r\n--margay-0000000000000007\r\nContent-Type: a/b\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
              \r\n--margay-0000000000000007\r\nContent-Type: a/b\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
              \r\n--margay-0000000000000007--\r\n"
        );
    }
}
