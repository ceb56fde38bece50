//! Parts of a stored whole (RFC 9110 14): which ones are asked for, and how they are answered.

use crate::base::bytes::{comma_list, decimal, put_decimal};
use bytes::Bytes;

/// More parts than these are a way to make work, not to read: the whole is given instead.
const MAX_RANGES: usize = 16;

/// What a `Range` asks of a body of some length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// Nothing that could be given in parts.
    Whole,
    /// First byte, and the one behind the last, of each.
    Ranges(Vec<(u64, u64)>),
    /// Nothing that the body has: 416.
    Unsatisfiable,
}

/// Reads a `Range` for a body of that length.
pub fn read(range: &[u8], length: u64) -> RangeRequest {
    let Some((unit, set)) = split(range, b'=') else { return RangeRequest::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return RangeRequest::Whole;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for spec in comma_list(set) {
        asked += 1;
        match parse_range_spec(spec, length) {
            _ if asked > MAX_RANGES => return RangeRequest::Whole,
            None => return RangeRequest::Whole,
            Some((from, to)) if from < to => parts.push((from, to)),
            Some(_) => {}
        }
    }
    match parts.len() {
        _ if asked == 0 => RangeRequest::Whole,
        0 => RangeRequest::Unsatisfiable,
        // Parts that overlap, or are more than the whole, are answered with the whole (RFC 9110 14.2).
        2.. if overlap(&parts) => RangeRequest::Whole,
        _ => RangeRequest::Ranges(parts),
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = text.iter().position(|b| *b == at)?;
    Some((&text[..found], &text[found + 1..]))
}

/// `first-last`, `first-` or `-count`; an empty part lies beyond the end, none is no part.
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

/// The value of `Content-Range` for one part.
pub fn content_range((from, to): (u64, u64), length: u64) -> Vec<u8> {
    let mut text = b"bytes ".to_vec();
    put_decimal(&mut text, from);
    text.push(b'-');
    put_decimal(&mut text, to - 1);
    text.push(b'/');
    put_decimal(&mut text, length);
    text
}

/// The value of `Content-Range` where there is no such part.
pub fn unsatisfied_range(length: u64) -> Vec<u8> {
    let mut text = b"bytes */".to_vec();
    put_decimal(&mut text, length);
    text
}

/// Those bytes of a body in pieces, without copying any.
pub fn slice(pieces: &[Bytes], (from, to): (u64, u64), out: &mut Vec<Bytes>) {
    let mut at = 0u64;
    for piece in pieces {
        let end = at + piece.len() as u64;
        let (first, last) = (from.max(at), to.min(end));
        if first < last {
            out.push(piece.slice((first - at) as usize..(last - at) as usize));
        }
        at = end;
    }
}

/// Several parts as one body (RFC 9110 14.6), and its `Content-Type`.
pub fn multipart(
    pieces: &[Bytes],
    parts: &[(u64, u64)],
    kind: Option<&[u8]>,
    boundary: u64,
) -> (Vec<Bytes>, String) {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    let boundary = format!("margay-{boundary:016x}");
    let mut body = Vec::new();
    for part in parts {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if let Some(kind) = kind {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(kind);
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
        read(range.as_bytes(), 10)
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
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
    fn what_is_no_range_asks_for_the_whole() {
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        for text in ["lines=0-1", "bytes", "bytes=", "bytes=a-b", "bytes=3-1", "bytes=0-5,3-7", many.as_str()]
        {
            assert_eq!(parts(text), RangeRequest::Whole, "{text}");
        }
    }

    #[test]
    fn what_lies_beyond_the_end_is_not_there() {
        assert_eq!(
            (parts("bytes=10-"), parts("bytes=-0")),
            (RangeRequest::Unsatisfiable, RangeRequest::Unsatisfiable)
        );
        assert_eq!(unsatisfied_range(10), b"bytes */10");
        assert_eq!(read(b"bytes=0-", 0), RangeRequest::Unsatisfiable);
    }

    #[test]
    fn parts_are_cut_out_of_pieces() {
        let pieces = [Bytes::from_static(b"0123"), Bytes::from_static(b"45"), Bytes::from_static(b"6789")];
        let mut out = Vec::new();
        slice(&pieces, (3, 7), &mut out);
        assert_eq!(out, [&b"3"[..], b"45", b"6"]);
        let (body, kind) = multipart(&pieces, &[(0, 2), (8, 10)], Some(b"a/b"), 7);
        assert_eq!(kind, "multipart/byteranges; boundary=margay-0000000000000007");
        assert_eq!(
            body.concat(),
            b"\r\n--margay-0000000000000007\r\nContent-Type: a/b\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
              \r\n--margay-0000000000000007\r\nContent-Type: a/b\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
              \r\n--margay-0000000000000007--\r\n"
        );
    }
}
