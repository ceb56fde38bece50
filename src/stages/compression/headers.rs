//! Response headers before and after compression (RFC 9110 8.4, 8.8.3.3, 12.5.5).

use super::media_types::MediaTypes;
use crate::{
    base::{bytes::comma_list, content_coding::ContentCoding},
    pipeline::head::{Head, KnownHeader},
};

/// Digests of the encoded bytes, invalid after compression (RFC 9530, RFC 1864).
const DIGEST_FIELDS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// Whether a response may be compressed, for any client.
pub fn is_compressible(head: &Head, media_types: &MediaTypes) -> bool {
    match head.status {
        ..200 | 204 | 205 | 206 => return false,
        // A 304 has the fields of the response with a body, except perhaps `Content-Type`.
        304 => {}
        _ if head.get(b"content-type").is_none() => return false,
        _ => {}
    }
    head.get(b"content-type").is_none_or(|content_type| media_types.matches(content_type))
        && head.get(b"content-encoding").is_none()
        && head.get(b"content-range").is_none()
        && !list_contains(head, b"cache-control", b"no-transform")
}

/// Whether a list field contains an item, case-insensitive.
pub fn list_contains(head: &Head, name: &[u8], item: &[u8]) -> bool {
    head.get_all(name).flat_map(comma_list).any(|entry| entry.eq_ignore_ascii_case(item))
}

/// Adds `Vary: Accept-Encoding`.
pub fn add_vary(head: &mut Head) {
    if !list_contains(head, b"vary", b"*") && !list_contains(head, b"vary", b"accept-encoding") {
        head.append(b"Vary", b"Accept-Encoding");
    }
}

/// Sets the headers of the compressed response, and removes those that no longer apply.
pub fn rewrite_headers(head: &mut Head, coding: ContentCoding, buffer: &mut Vec<u8>) {
    head.append(b"Content-Encoding", coding.name().as_bytes());
    head.remove_if(|known, name| {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        known == KnownHeader::ContentLength || is(b"accept-ranges") || DIGEST_FIELDS.into_iter().any(is)
    });
    weaken_etag(head, buffer);
}

/// A strong tag becomes a weak one: the bytes differ, the content is the same.
fn weaken_etag(head: &mut Head, buffer: &mut Vec<u8>) {
    head.edit(b"etag", buffer, |tag, buffer| {
        let is_strong = tag.first() == Some(&b'"');
        if is_strong {
            buffer.extend_from_slice(b"W/");
            buffer.extend_from_slice(tag);
        }
        is_strong
    });
}

/// A 304 has the weak tag if the client sent that one, because it has the compressed response.
pub fn rewrite_not_modified(head: &mut Head, req: &Head, buffer: &mut Vec<u8>) {
    let Some(tag) = head.get(b"etag").filter(|tag| tag.first() == Some(&b'"')) else { return };
    let is_weak_form = |known: &[u8]| known.strip_prefix(b"W/") == Some(tag);
    let mut tags = req.get_all(b"if-none-match").flat_map(comma_list).peekable();
    // Without `If-None-Match` (removed by the cache) the weak tag matches both.
    if tags.peek().is_none() || tags.any(is_weak_form) {
        weaken_etag(head, buffer);
    }
}
