//! From what is stored to an answer: whole, in part, or that nothing changed.

use super::{
    conditions::Conditions,
    entry::{About, Entry},
    fill::Follow,
    pieces::InPieces,
    ranges::{self, Asked},
    status::Said,
};
use crate::pipeline::{
    answer::Answer,
    body::Body,
    head::{Head, Known},
};
use bytes::Bytes;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Bytes that are added to a stored head.
const ADDED: usize = 96;

/// Where the body comes from.
pub enum Source<'e> {
    Stored(&'e Entry),
    /// Still coming in.
    Open(Follow, u64),
}

/// What the request wants beside the answer itself.
pub struct Wanted<'x> {
    pub head_only: bool,
    pub conditions: Option<&'x Conditions>,
    pub now: Instant,
    /// What is said about it; nothing where the cache is to be unseen.
    pub said: Option<Said<'x>>,
}

/// The answer to a request.
pub fn answer(about: &About, source: Source, wanted: &Wanted) -> Answer {
    let length = match &source {
        Source::Stored(entry) => entry.length,
        Source::Open(_, length) => *length,
    };
    let conditions = wanted.conditions.filter(|conditions| !conditions.is_empty());
    if let Some(conditions) = conditions {
        if conditions.is_not_modified(&about.head, wall()) {
            return not_modified(about, wanted);
        }
        if let (Source::Stored(entry), Some(range), 200) = (&source, &conditions.range, about.head.status)
            && !wanted.head_only
            && conditions.allows_range(&about.head, wall())
            && let Some(answer) = in_part(entry, range, wanted)
        {
            return answer;
        }
    }
    let mut head = head(about, wanted);
    // What was kept of a HEAD itself says how long the body would be.
    let of_head = wanted.head_only && length == 0 && head.known(Known::ContentLength).is_some();
    if !matches!(head.status, 204 | 304) && !of_head {
        head.remove_known(Known::ContentLength);
        head.append_number(b"Content-Length", length);
    }
    Answer { head, body: if wanted.head_only { Body::Empty } else { body(source) }, ..Answer::default() }
}

/// Seconds since 1970.
pub fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn body(source: Source) -> Body {
    match source {
        Source::Open(follow, _) => Body::Stream(Box::new(follow)),
        Source::Stored(entry) => match &entry.body[..] {
            [] => Body::Empty,
            [only] => Body::Bytes(only.clone()),
            several => Body::Stream(Box::new(InPieces::new(several.to_vec()))),
        },
    }
}

/// The stored head, with its age and what is said about it.
fn head(about: &About, wanted: &Wanted) -> Head {
    let mut head = about.head.copy(ADDED);
    if let Some(said) = &wanted.said {
        head.append_number(b"Age", about.life.age(wanted.now).as_secs());
        said.add_to(&mut head);
    }
    head
}

/// RFC 9110 15.4.5: nothing about a body that does not follow.
fn not_modified(about: &About, wanted: &Wanted) -> Answer {
    let mut head = head(about, wanted);
    head.set_status(304, b"Not Modified");
    head.remove_if(|_, name| {
        let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        content && !name.eq_ignore_ascii_case(b"content-location")
    });
    Answer { head, body: Body::Empty, ..Answer::default() }
}

fn in_part(entry: &Entry, range: &[u8], wanted: &Wanted) -> Option<Answer> {
    let parts = match ranges::read(range, entry.length) {
        Asked::Whole => return None,
        Asked::Beyond => return Some(beyond(entry, wanted)),
        Asked::Parts(parts) => parts,
    };
    let mut head = head(&entry.about, wanted);
    head.set_status(206, b"Partial Content");
    head.remove_known(Known::ContentLength);
    let pieces = if let [part] = parts[..] {
        head.set(b"Content-Range", &ranges::content_range(part, entry.length));
        let mut pieces = Vec::new();
        ranges::cut(&entry.body, part, &mut pieces);
        pieces
    } else {
        let kind = entry.about.head.get(b"content-type");
        let boundary = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), range);
        let (pieces, kind) = ranges::multipart(&entry.body, &parts, kind, boundary);
        head.set(b"Content-Type", kind.as_bytes());
        pieces
    };
    let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    head.append_number(b"Content-Length", length);
    Some(Answer { head, body: whole(pieces), ..Answer::default() })
}

fn whole(mut pieces: Vec<Bytes>) -> Body {
    if pieces.len() == 1 {
        return pieces.pop().map_or(Body::Empty, Body::Bytes);
    }
    Body::Stream(Box::new(InPieces::new(pieces)))
}

/// 416: the answer says how long the whole is.
fn beyond(entry: &Entry, wanted: &Wanted) -> Answer {
    let mut head = Head::response(416, b"Range Not Satisfiable");
    head.append(b"Content-Range", &ranges::beyond(entry.length));
    head.append(b"Content-Length", b"0");
    if let Some(said) = &wanted.said {
        said.add_to(&mut head);
    }
    Answer { head, body: Body::Empty, ..Answer::default() }
}
