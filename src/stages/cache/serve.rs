//! From what is stored to an answer: whole, in part, or that nothing changed.

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

/// Bytes that are added to a stored head.
const ADDED_HEADERS_LEN: usize = 96;

/// Where the body comes from.
pub enum Source<'e> {
    Stored(&'e Entry),
    /// Still coming in.
    Streaming(FillReader, u64),
}

/// What the request wants beside the answer itself.
pub struct ServeRequest<'x> {
    pub head_only: bool,
    pub conditions: Option<&'x Conditions>,
    pub now: Instant,
    /// What is said about it; nothing where the cache is to be unseen.
    pub cache_status: Option<CacheStatus<'x>>,
}

/// The answer to a request.
pub fn response(about: &EntryMetadata, source: Source, wanted: &ServeRequest) -> Response {
    let length = match &source {
        Source::Stored(entry) => entry.length,
        Source::Streaming(_, length) => *length,
    };
    let conditions = wanted.conditions.filter(|conditions| !conditions.is_empty());
    if let Some(conditions) = conditions {
        if conditions.is_not_modified(&about.head, unix_now()) {
            return not_modified(about, wanted);
        }
        if let (Source::Stored(entry), Some(range), 200) = (&source, &conditions.range, about.head.status)
            && !wanted.head_only
            && conditions.allows_range(&about.head, unix_now())
            && let Some(answer) = partial(entry, range, wanted)
        {
            return answer;
        }
    }
    let mut head = head(about, wanted);
    // What was kept of a HEAD itself says how long the body would be.
    let of_head = wanted.head_only && length == 0 && head.get_known(KnownHeader::ContentLength).is_some();
    if !matches!(head.status, 204 | 304) && !of_head {
        head.remove_known(KnownHeader::ContentLength);
        head.append_number(b"Content-Length", length);
    }
    Response { head, body: if wanted.head_only { Body::Empty } else { body(source) }, ..Response::default() }
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn body(source: Source) -> Body {
    match source {
        Source::Streaming(follow, _) => Body::Stream(Box::new(follow)),
        Source::Stored(entry) => match &entry.body[..] {
            [] => Body::Empty,
            [only] => Body::Bytes(only.clone()),
            several => Body::Stream(Box::new(SegmentedBody::new(several.to_vec()))),
        },
    }
}

/// The stored head, with its age and what is said about it.
fn head(about: &EntryMetadata, wanted: &ServeRequest) -> Head {
    let mut head = about.head.copy(ADDED_HEADERS_LEN);
    if let Some(said) = &wanted.cache_status {
        head.append_number(b"Age", about.freshness.age(wanted.now).as_secs());
        said.append_to(&mut head);
    }
    head
}

/// RFC 9110 15.4.5: nothing about a body that does not follow.
fn not_modified(about: &EntryMetadata, wanted: &ServeRequest) -> Response {
    let mut head = head(about, wanted);
    head.set_status(304, b"Not Modified");
    head.remove_if(|_, name| {
        let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        content && !name.eq_ignore_ascii_case(b"content-location")
    });
    Response { head, body: Body::Empty, ..Response::default() }
}

fn partial(entry: &Entry, range: &[u8], wanted: &ServeRequest) -> Option<Response> {
    let parts = match ranges::read(range, entry.length) {
        RangeRequest::Whole => return None,
        RangeRequest::Unsatisfiable => return Some(range_not_satisfiable(entry, wanted)),
        RangeRequest::Ranges(parts) => parts,
    };
    let mut head = head(&entry.metadata, wanted);
    head.set_status(206, b"Partial Content");
    head.remove_known(KnownHeader::ContentLength);
    let pieces = if let [part] = parts[..] {
        head.set(b"Content-Range", &ranges::content_range(part, entry.length));
        let mut pieces = Vec::new();
        ranges::slice(&entry.body, part, &mut pieces);
        pieces
    } else {
        let kind = entry.metadata.head.get(b"content-type");
        let boundary = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), range);
        let (pieces, kind) = ranges::multipart(&entry.body, &parts, kind, boundary);
        head.set(b"Content-Type", kind.as_bytes());
        pieces
    };
    let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    head.append_number(b"Content-Length", length);
    Some(Response { head, body: full(pieces), ..Response::default() })
}

fn full(mut pieces: Vec<Bytes>) -> Body {
    if pieces.len() == 1 {
        return pieces.pop().map_or(Body::Empty, Body::Bytes);
    }
    Body::Stream(Box::new(SegmentedBody::new(pieces)))
}

/// 416: the answer says how long the whole is.
fn range_not_satisfiable(entry: &Entry, wanted: &ServeRequest) -> Response {
    let mut head = Head::response(416, b"Range Not Satisfiable");
    head.append(b"Content-Range", &ranges::unsatisfied_range(entry.length));
    head.append(b"Content-Length", b"0");
    if let Some(said) = &wanted.cache_status {
        said.append_to(&mut head);
    }
    Response { head, body: Body::Empty, ..Response::default() }
}
