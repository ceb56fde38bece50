//! The request target, normalized once (docs/ocelot-behavior.md, section 6.2). The normalized target is both matched
//! and forwarded.

use std::borrow::Cow;

use super::escape::{PATH, PLAIN, contains, decoded, push_as_spelled, push_path_text};
use super::spelled::spelled_range;

/// A request target whose path is in normal form: one text, the path followed by the raw query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    text: Cow<'a, [u8]>,
    path_len: usize,
    /// The path as the client spelled it, without its dot segments; `None`: as in the text.
    spelled: Option<Cow<'a, [u8]>>,
}

/// Why a request target cannot be routed. The response is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor the `*` of an OPTIONS request.
    #[error("the request target does not start with `/`")]
    NoSlash,
    /// A control byte or a space, or an encoded NUL.
    #[error("the request target contains an invalid byte")]
    Byte,
    /// Longer than the supported maximum.
    #[error("the request target is too long")]
    TooLong,
}

impl<'a> Target<'a> {
    /// Normalizes an origin-form target, or the `*` of an OPTIONS request. Borrows if it is in normal form already.
    pub fn normalize(raw: &'a [u8], options: bool) -> Result<Target<'a>, TargetError> {
        if raw.first() != Some(&b'/') && !(options && raw == b"*") {
            return Err(TargetError::NoSlash);
        }
        if raw.len() > u32::MAX as usize / 4 {
            return Err(TargetError::TooLong);
        }
        let (path_len, normal) = scan(raw)?;
        if raw[path_len..].iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(TargetError::Byte);
        }
        match normal {
            true => Ok(Target { text: Cow::Borrowed(raw), path_len, spelled: None }),
            false => Ok(rewritten(raw, path_len)),
        }
    }

    /// A target that has been normalized: `text` is its whole text, the first `path_len` bytes are the path.
    pub fn from_normalized(text: &'a [u8], path_len: usize) -> Target<'a> {
        Target { text: Cow::Borrowed(text), path_len: path_len.min(text.len()), spelled: None }
    }

    /// The same target with the spelling of its path; empty: as in the text.
    pub fn with_spelling(self, spelled: &'a [u8]) -> Target<'a> {
        Target { spelled: (!spelled.is_empty()).then_some(Cow::Borrowed(spelled)), ..self }
    }

    /// The path as the client spelled it, without its dot segments; `None`: as in [`Target::path`].
    pub fn spelled(&self) -> Option<&[u8]> {
        self.spelled.as_deref()
    }

    /// The spelling of `start..end` of the path.
    pub(super) fn spelled_range(&self, start: usize, end: usize) -> &[u8] {
        let spelled = self.spelled.as_deref().and_then(|spelled| spelled_range(spelled, start, end));
        spelled.unwrap_or(&self.text[start..end])
    }

    /// The path followed by the raw query: the text that the ranges of [`crate::base::path_params::PathParams`] refer
    /// to.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The path in normal form.
    pub fn path(&self) -> &[u8] {
        &self.text[..self.path_len]
    }

    /// The query as received, with its `?`; empty when there is none.
    pub fn query(&self) -> &[u8] {
        &self.text[self.path_len..]
    }

    /// The length of the path in the text.
    pub fn path_len(&self) -> usize {
        self.path_len
    }

    /// Whether the text differs from the received one.
    pub fn is_rewritten(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }

    /// The same target with its own copy of the text.
    pub fn into_owned(self) -> Target<'static> {
        Target {
            text: Cow::Owned(self.text.into_owned()),
            path_len: self.path_len,
            spelled: self.spelled.map(|spelled| Cow::Owned(spelled.into_owned())),
        }
    }
}

/// Finds the end of the path, and whether the path is in normal form already.
fn scan(raw: &[u8]) -> Result<(usize, bool), TargetError> {
    let mut normal = true;
    let mut i = 0;
    while let Some(plain) = raw[i..].iter().position(|b| !contains(*b, PLAIN)) {
        i += plain;
        match raw[i] {
            b'/' => normal &= raw.get(i + 1) != Some(&b'.') || !dot_segment_at(&raw[i + 1..]),
            b'?' => return Ok((i, normal)),
            b'%' => normal &= escape_is_normal(&raw[i..])?,
            b if b <= b' ' || b == 0x7f => return Err(TargetError::Byte),
            _ => normal = false,
        }
        i += 1;
    }
    Ok((raw.len(), normal))
}

/// Whether `text` begins with a segment `.` or `..`.
fn dot_segment_at(text: &[u8]) -> bool {
    let end = text.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(text.len());
    matches!(&text[..end], b"." | b"..")
}

/// Whether the escape at the start of `text` is in normal form.
fn escape_is_normal(text: &[u8]) -> Result<bool, TargetError> {
    match decoded(text) {
        None => Ok(false),
        Some(0) => Err(TargetError::Byte),
        Some(b'/' | b'%') => Ok(true),
        Some(b) => Ok(!contains(b, PATH) && !text[1].is_ascii_lowercase() && !text[2].is_ascii_lowercase()),
    }
}

fn rewritten(raw: &[u8], path_len: usize) -> Target<'static> {
    let mut text = Vec::with_capacity(raw.len() + 16);
    push_path_text(&raw[..path_len], &mut text);
    remove_dot_segments(&mut text, 0);
    let new_len = text.len();
    text.extend_from_slice(&raw[path_len..]);
    let mut spelled = Vec::with_capacity(path_len + 16);
    push_as_spelled(&raw[..path_len], &mut spelled);
    remove_dot_segments(&mut spelled, 0);
    let spelled = (spelled != text[..new_len]).then_some(Cow::Owned(spelled));
    Target { text: Cow::Owned(text), path_len: new_len, spelled }
}

/// Removes the segments `.` and `..` from the path that begins at `start` (RFC 3986 section 5.2.4).
///
/// A segment spelled with `%2e` counts as well: it must not climb out of its path once the backend decodes it.
pub(super) fn remove_dot_segments(text: &mut Vec<u8>, start: usize) {
    let mut write = start;
    let mut read = start;
    while read < text.len() {
        let slash = usize::from(text[read] == b'/');
        let end =
            text[read + slash..].iter().position(|b| *b == b'/').map_or(text.len(), |n| read + slash + n);
        let last = end == text.len();
        match dot_segment_len(&text[read + slash..end]) {
            0 => {
                text.copy_within(read..end, write);
                write += end - read;
            }
            n => {
                if n == 2 {
                    write =
                        text[start..write].iter().rposition(|b| *b == b'/').map_or(start, |at| start + at);
                }
                if last {
                    text[write] = b'/';
                    write += 1;
                }
            }
        }
        read = end;
    }
    text.truncate(write);
}

/// 1 for a segment `.`, 2 for `..`, 0 for every other segment.
fn dot_segment_len(segment: &[u8]) -> usize {
    let mut rest = segment;
    let mut count = 0;
    while !rest.is_empty() {
        match rest {
            [b'.', ..] => rest = &rest[1..],
            [b'%', b'2', b'e' | b'E', ..] => rest = &rest[3..],
            _ => return 0,
        }
        count += 1;
    }
    if count > 2 { 0 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> String {
        let target = Target::normalize(raw.as_bytes(), false).unwrap();
        String::from_utf8(target.text().to_vec()).unwrap()
    }

    #[test]
    fn a_normal_target_is_borrowed() {
        for raw in ["/", "/a/b.c/~x", "/a%20b%C3%A9/%2f%2F%25", "/a?b=..&c=%41", "/a//b/", "/..a/.b/a./..."] {
            let target = Target::normalize(raw.as_bytes(), false).unwrap();
            assert!(!target.is_rewritten(), "{raw}");
            assert_eq!(target.text(), raw.as_bytes());
        }
    }

    #[test]
    fn path_and_query_are_split_at_the_first_question_mark() {
        let target = Target::normalize(b"/a%3fb?c?d", false).unwrap();
        assert_eq!((target.path(), target.query()), (&b"/a%3Fb"[..], &b"?c?d"[..]));
    }

    #[test]
    fn dot_segments_are_removed() {
        for (raw, want) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/a//../b", "/a/b"),
            ("/%2e%2E/a/%2e/b", "/a/b"),
            ("//api/Ab/..", "//api/"),
            ("/b//../", "/b/"),
            ("///../a", "//a"),
            ("/a/..?x=/../", "/?x=/../"),
        ] {
            assert_eq!(normal(raw), want, "{raw}");
        }
    }

    #[test]
    fn invalid_targets_are_refused() {
        assert_eq!(Target::normalize(b"", false), Err(TargetError::NoSlash));
        assert_eq!(Target::normalize(b"a", false), Err(TargetError::NoSlash));
        assert_eq!(Target::normalize(b"*", false), Err(TargetError::NoSlash));
        assert_eq!(Target::normalize(b"*", true).unwrap().path(), b"*");
        assert_eq!(Target::normalize(b"/a%00", false), Err(TargetError::Byte));
        assert_eq!(Target::normalize(b"/a b", false), Err(TargetError::Byte));
        assert_eq!(Target::normalize(b"/a?b\r", false), Err(TargetError::Byte));
    }

    #[test]
    fn normalization_is_idempotent() {
        for raw in ["/%41/../%c3%a9/é|x", "/a/%2e%2e/b%2fc", "/%zz%/..//.//"] {
            let once = normal(raw);
            assert_eq!(normal(&once), once);
        }
    }
}
