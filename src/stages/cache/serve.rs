//! Builds responses from stored entries: complete, partial (206) or not modified (304).

use super::{
    conditions::Conditions,
    entry::{Entry, EntryMetadata},
    ranges::{self, RangeRequest},
    segmented_body::SegmentedBody,
    status::CacheStatus,
    streaming_fill::FillReader,
};
use crate::pipeline::{
    body::Body,
    head::{Head, KnownHeader},
    response::Response,
};
use bytes::Bytes;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Room for the fields that are added to a stored head.
const ADDED_HEADERS_LEN: usize = 96;

/// Where the body comes from.
pub enum Source<'e> {
    Stored(&'e Entry),
    /// Still arriving; with its length.
    Streaming(FillReader, u64),
}

/// The parts of the request that decide about the response.
pub struct ServeRequest<'r> {
    pub head_only: bool,
    pub conditions: Option<&'r Conditions>,
    pub now: Instant,
    /// `Cache-Status`; `None` in mode `Ocelot`, where the cache is invisible.
    pub cache_status: Option<CacheStatus<'r>>,
}

/// The response to a request.
pub fn response(metadata: &EntryMetadata, source: Source, request: &ServeRequest) -> Response {
    let length = match &source {
        Source::Stored(entry) => entry.length,
        Source::Streaming(_, length) => *length,
    };
    let conditions = request.conditions.filter(|conditions| !conditions.is_empty());
    if let Some(conditions) = conditions {
        if conditions.is_not_modified(&metadata.head, unix_now()) {
            return not_modified(metadata, request);
        }
        if let (Source::Stored(entry), Some(range), 200) = (&source, &conditions.range, metadata.head.status)
            && !request.head_only
            && conditions.allows_range(&metadata.head, unix_now())
            && let Some(response) = partial(entry, range, request)
        {
            return response;
        }
    }
    let mut head = head(metadata, request);
    // A stored response to HEAD has the length that the body would have.
    let is_head_response =
        request.head_only && length == 0 && head.get_known(KnownHeader::ContentLength).is_some();
    if !matches!(head.status, 204 | 304) && !is_head_response {
        head.remove_known(KnownHeader::ContentLength);
        head.append_number(b"Content-Length", length);
    }
    Response { head, body: if request.head_only { Body::Empty } else { body(source) }, ..Response::default() }
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn body(source: Source) -> Body {
    match source {
        Source::Streaming(reader, _) => Body::Stream(Box::new(reader)),
        Source::Stored(entry) => match &entry.body[..] {
            [] => Body::Empty,
            [only] => Body::Bytes(only.clone()),
            several => Body::Stream(Box::new(SegmentedBody::new(several.to_vec()))),
        },
    }
}

/// The stored head with `Age` and `Cache-Status`.
fn head(metadata: &EntryMetadata, request: &ServeRequest) -> Head {
    let mut head = metadata.head.copy(ADDED_HEADERS_LEN);
    if let Some(cache_status) = &request.cache_status {
        head.append_number(b"Age", metadata.freshness.age(request.now).as_secs());
        cache_status.append_to(&mut head);
    }
    head
}

/// RFC 9110 15.4.5: without the fields of the body.
fn not_modified(metadata: &EntryMetadata, request: &ServeRequest) -> Response {
    let mut head = head(metadata, request);
    head.set_status(304, b"Not Modified");
    head.remove_if(|_, name| {
        let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        content && !name.eq_ignore_ascii_case(b"content-location")
    });
    Response { head, body: Body::Empty, ..Response::default() }
}

fn partial(entry: &Entry, range: &[u8], request: &ServeRequest) -> Option<Response> {
    let parts = match ranges::parse(range, entry.length) {
        RangeRequest::Whole => return None,
        RangeRequest::Unsatisfiable => return Some(range_not_satisfiable(entry, request)),
        RangeRequest::Ranges(parts) => parts,
    };
    let mut head = head(&entry.metadata, request);
    head.set_status(206, b"Partial Content");
    head.remove_known(KnownHeader::ContentLength);
    let pieces = if let [part] = parts[..] {
        head.set(b"Content-Range", &ranges::content_range(part, entry.length));
        let mut pieces = Vec::new();
        ranges::slice(&entry.body, part, &mut pieces);
        pieces
    } else {
        let media_type = entry.metadata.head.get(b"content-type");
        let boundary = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), range);
        let (pieces, content_type) = ranges::multipart(&entry.body, &parts, media_type, boundary);
        head.set(b"Content-Type", content_type.as_bytes());
        pieces
    };
    let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    head.append_number(b"Content-Length", length);
    Some(Response { head, body: body_from_pieces(pieces), ..Response::default() })
}

fn body_from_pieces(mut pieces: Vec<Bytes>) -> Body {
    if pieces.len() == 1 {
        return pieces.pop().map_or(Body::Empty, Body::Bytes);
    }
    Body::Stream(Box::new(SegmentedBody::new(pieces)))
}

/// 416, with the complete length.
fn range_not_satisfiable(entry: &Entry, request: &ServeRequest) -> Response {
    let mut head = Head::response(416, b"Range Not Satisfiable");
    head.append(b"Content-Range", &ranges::unsatisfied_range(entry.length));
    head.append(b"Content-Length", b"0");
    if let Some(cache_status) = &request.cache_status {
        cache_status.append_to(&mut head);
    }
    Response { head, body: Body::Empty, ..Response::default() }
}
