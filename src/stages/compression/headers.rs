//! What an answer's fields say about compressing it, and what they say afterwards (RFC 9110 8.4, 8.8.3.3, 12.5.5).

use super::media_types::MediaTypes;
use crate::{
    base::{bytes::comma_list, content_coding::ContentCoding},
    pipeline::head::{Head, KnownHeader},
};

/// Fields about the bytes that are sent, not about what they mean: they would be wrong afterwards (RFC 9530, RFC 1864).
const DIGEST_FIELDS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// Whether an answer may be compressed, whoever asks for it.
pub fn is_compressible(head: &Head, kinds: &MediaTypes) -> bool {
    match head.status {
        ..200 | 204 | 205 | 206 => return false,
        // It says what an answer with a body would say, and need not say of what kind that is.
        304 => {}
        _ if head.get(b"content-type").is_none() => return false,
        _ => {}
    }
    head.get(b"content-type").is_none_or(|kind| kinds.matches(kind))
        && head.get(b"content-encoding").is_none()
        && head.get(b"content-range").is_none()
        && !list_contains(head, b"cache-control", b"no-transform")
}

/// Whether a list field has that word.
pub fn list_contains(head: &Head, name: &[u8], word: &[u8]) -> bool {
    head.get_all(name).flat_map(comma_list).any(|item| item.eq_ignore_ascii_case(word))
}

/// Says that other clients may get other bytes.
pub fn add_vary(head: &mut Head) {
    if !list_contains(head, b"vary", b"*") && !list_contains(head, b"vary", b"accept-encoding") {
        head.append(b"Vary", b"Accept-Encoding");
    }
}

/// Says what is true of the compressed bytes, and nothing that was true of the others only.
pub fn rewrite_headers(head: &mut Head, coding: ContentCoding, buffer: &mut Vec<u8>) {
    head.append(b"Content-Encoding", coding.name().as_bytes());
    head.remove_if(|known, name| {
        let same = |other: &[u8]| name.eq_ignore_ascii_case(other);
        known == KnownHeader::ContentLength || same(b"accept-ranges") || DIGEST_FIELDS.into_iter().any(same)
    });
    weaken_etag(head, buffer);
}

/// A strong tag becomes a weak one: the bytes are other ones, the content is the same.
fn weaken_etag(head: &mut Head, buffer: &mut Vec<u8>) {
    head.edit(b"etag", buffer, |tag, buffer| {
        let strong = tag.first() == Some(&b'"');
        if strong {
            buffer.extend_from_slice(b"W/");
            buffer.extend_from_slice(tag);
        }
        strong
    });
}

/// That nothing changed is said of the tag that the client knows: the weak one, if it has what was compressed.
pub fn rewrite_not_modified(head: &mut Head, req: &Head, buffer: &mut Vec<u8>) {
    let Some(tag) = head.get(b"etag").filter(|tag| tag.first() == Some(&b'"')) else { return };
    let knows = |known: &[u8]| known.strip_prefix(b"W/") == Some(tag);
    let mut asked = req.get_all(b"if-none-match").flat_map(comma_list).peekable();
    // Where the cache took the question away, nobody knows: the weak tag holds for both.
    if asked.peek().is_none() || asked.any(knows) {
        weaken_etag(head, buffer);
    }
}
