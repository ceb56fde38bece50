//! Conditions of requests (RFC 9110 13) as far as a cache decides them: entity tags and dates.

use super::dates;
use crate::{base::bytes::trim_ows, pipeline::head::Head};

/// What a client asks to be true, kept while the gateway asks for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub none_match: Option<Vec<u8>>,
    pub modified_since: Option<Vec<u8>>,
    pub range: Option<Vec<u8>>,
    pub if_range: Option<Vec<u8>>,
}

const NAMES: [&[u8]; 4] = [b"if-none-match", b"if-modified-since", b"range", b"if-range"];

impl Conditions {
    /// What the request says.
    pub fn from_request(request: &Head) -> Conditions {
        let [none_match, modified_since, range, if_range] = NAMES.map(|name| join_lines(request, name));
        Conditions { none_match, modified_since, range, if_range }
    }

    /// Takes them out of the request.
    pub fn take_from_request(request: &mut Head) -> Conditions {
        let taken = Conditions::from_request(request);
        request.remove_if(|_, name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)));
        taken
    }

    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// Whether the client has what the head describes already: 304 is enough.
    pub fn is_not_modified(&self, stored: &Head, wall: i64) -> bool {
        if !(200..300).contains(&stored.status) {
            return false;
        }
        match (&self.none_match, &self.modified_since) {
            (Some(tags), _) => matches_any(tags, stored.get(b"etag")),
            (None, Some(date)) => !is_modified(stored, date, wall),
            (None, None) => false,
        }
    }

    /// Whether a part is wanted of exactly what the head describes (RFC 9110 13.1.5).
    pub fn allows_range(&self, stored: &Head, wall: i64) -> bool {
        let Some(validator) = &self.if_range else { return true };
        let validator = trim_ows(validator);
        if validator.starts_with(b"\"") {
            return stored.get(b"etag").map(trim_ows) == Some(validator);
        }
        let date = dates::parse(validator, wall);
        date.is_some() && date == stored.get(b"last-modified").and_then(|text| dates::parse(text, wall))
    }
}

fn join_lines(request: &Head, name: &[u8]) -> Option<Vec<u8>> {
    let mut lines = request.get_all(name);
    let first = lines.next()?.to_vec();
    Some(lines.fold(first, |mut all, line| {
        all.extend_from_slice(b", ");
        all.extend_from_slice(line);
        all
    }))
}

/// Weak comparison (RFC 9110 8.8.3.2) with each tag of the list.
fn matches_any(tags: &[u8], stored: Option<&[u8]>) -> bool {
    let tags = trim_ows(tags);
    let Some(stored) = stored.map(|tag| opaque_tag(trim_ows(tag))) else { return tags == b"*" };
    tags == b"*" || elements(tags).any(|tag| opaque_tag(tag) == stored)
}

fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Commas may stand within the quotes of a tag.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    list.split(move |b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
    .map(trim_ows)
    .filter(|tag| !tag.is_empty())
}

/// Without `Last-Modified`, the date of the answer stands in for it (RFC 9111 4.3.2).
fn is_modified(stored: &Head, date: &[u8], wall: i64) -> bool {
    let Some(since) = dates::parse(date, wall) else { return true };
    let known = stored.get(b"last-modified").or_else(|| stored.get(b"date"));
    known.and_then(|text| dates::parse(text, wall)).is_none_or(|modified| modified > since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 1_790_000_000;
    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 2005 08:49:37 GMT";

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::response(200, b"OK");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        head
    }

    fn not_modified(asked: &[(&str, &str)], stored: &[(&str, &str)]) -> bool {
        Conditions::from_request(&head(asked)).is_not_modified(&head(stored), WALL)
    }

    #[test]
    fn tags_are_compared_weakly_and_go_before_dates() {
        for (asked, wanted) in [
            ("\"a,b\"", true),
            ("W/\"a,b\"", true),
            ("\"x\", \"a,b\"", true),
            ("*", true),
            ("\"a\"", false),
            ("\"a,b", false),
        ] {
            let stored = [("ETag", "W/\"a,b\""), ("Last-Modified", OLD)];
            assert_eq!(
                not_modified(&[("If-None-Match", asked), ("If-Modified-Since", NEW)], &stored),
                wanted,
                "{asked}"
            );
        }
        assert!(not_modified(
            &[("If-None-Match", "\"x\""), ("If-None-Match", "\"y\"")],
            &[("ETag", "\"y\"")]
        ));
    }

    #[test]
    fn dates_are_compared_in_any_form_and_the_date_of_the_answer_stands_in() {
        let since = |text| [("If-Modified-Since", text)];
        assert!(not_modified(&since(OLD), &[("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT")]));
        assert!(not_modified(&since(NEW), &[("Last-Modified", OLD)]));
        assert!(!not_modified(&since(OLD), &[("Last-Modified", NEW)]));
        assert!(not_modified(&since(NEW), &[("Date", OLD)]));
        assert!(!not_modified(&since("soon"), &[("Last-Modified", OLD)]));
        assert!(!not_modified(&[], &[("Last-Modified", OLD)]));
    }

    #[test]
    fn a_part_is_given_only_of_what_the_client_has_the_rest_of() {
        let allows = |text, stored: &[(&str, &str)]| {
            Conditions::from_request(&head(&[("If-Range", text)])).allows_range(&head(stored), WALL)
        };
        assert!(allows("\"a\"", &[("ETag", "\"a\"")]));
        assert!(!allows("\"a\"", &[("ETag", "W/\"a\"")]) && !allows("W/\"a\"", &[("ETag", "W/\"a\"")]));
        assert!(allows(OLD, &[("Last-Modified", OLD)]) && !allows(NEW, &[("Last-Modified", OLD)]));
        assert!(Conditions::default().allows_range(&head(&[]), WALL));
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut asked = head(&[("If-None-Match", "\"a\""), ("Range", "bytes=0-1"), ("X", "1")]);
        let taken = Conditions::take_from_request(&mut asked);
        assert_eq!((taken.none_match.as_deref(), asked.len()), (Some(&b"\"a\""[..]), 1));
        assert!(Conditions::from_request(&asked).is_empty());
    }
}
