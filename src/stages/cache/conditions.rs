//! Conditional requests (RFC 9110 13) that a cache evaluates: entity tags and dates.

use super::dates;
use crate::{base::bytes::trim_ows, pipeline::head::Head};

/// The conditions of a client, kept while the gateway sends its own to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub none_match: Option<Vec<u8>>,
    pub modified_since: Option<Vec<u8>>,
    pub range: Option<Vec<u8>>,
    pub if_range: Option<Vec<u8>>,
}

const NAMES: [&[u8]; 4] = [b"if-none-match", b"if-modified-since", b"range", b"if-range"];

impl Conditions {
    /// Reads the conditions of a request.
    pub fn from_request(request: &Head) -> Conditions {
        let [none_match, modified_since, range, if_range] = NAMES.map(|name| join_lines(request, name));
        Conditions { none_match, modified_since, range, if_range }
    }

    /// Reads the conditions and removes them from the request.
    pub fn take_from_request(request: &mut Head) -> Conditions {
        let conditions = Conditions::from_request(request);
        request
            .remove_if(|_, name| NAMES.iter().any(|last_modified| name.eq_ignore_ascii_case(last_modified)));
        conditions
    }

    /// Whether the request has none of the conditional headers.
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// Whether the client has the stored response already: 304.
    pub fn is_not_modified(&self, stored: &Head, now_unix: i64) -> bool {
        if !(200..300).contains(&stored.status) {
            return false;
        }
        match (&self.none_match, &self.modified_since) {
            (Some(tags), _) => matches_any(tags, stored.get(b"etag")),
            (None, Some(date)) => !is_modified(stored, date, now_unix),
            (None, None) => false,
        }
    }

    /// Whether `If-Range`, if present, matches the stored response (RFC 9110 13.1.5).
    pub fn allows_range(&self, stored: &Head, now_unix: i64) -> bool {
        let Some(validator) = &self.if_range else { return true };
        let validator = trim_ows(validator);
        if validator.starts_with(b"\"") {
            return stored.get(b"etag").map(trim_ows) == Some(validator);
        }
        let date = dates::parse(validator, now_unix);
        date.is_some() && date == stored.get(b"last-modified").and_then(|text| dates::parse(text, now_unix))
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

/// Compares each tag of the list weakly (RFC 9110 8.8.3.2).
fn matches_any(tags: &[u8], stored: Option<&[u8]>) -> bool {
    let tags = trim_ows(tags);
    let Some(stored) = stored.map(|tag| opaque_tag(trim_ows(tag))) else { return tags == b"*" };
    tags == b"*" || elements(tags).any(|tag| opaque_tag(tag) == stored)
}

fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Splits at commas outside of quotes.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    list.split(move |b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
    .map(trim_ows)
    .filter(|tag| !tag.is_empty())
}

/// Without `Last-Modified`, `Date` is used (RFC 9111 4.3.2).
fn is_modified(stored: &Head, date: &[u8], now_unix: i64) -> bool {
    let Some(modified_since) = dates::parse(date, now_unix) else { return true };
    let last_modified = stored.get(b"last-modified").or_else(|| stored.get(b"date"));
    last_modified
        .and_then(|text| dates::parse(text, now_unix))
        .is_none_or(|modified| modified > modified_since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_UNIX: i64 = 1_790_000_000;
    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 2005 08:49:37 GMT";

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::response(200, b"OK");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        head
    }

    fn not_modified(request: &[(&str, &str)], stored: &[(&str, &str)]) -> bool {
        Conditions::from_request(&head(request)).is_not_modified(&head(stored), NOW_UNIX)
    }

    #[test]
    fn tags_are_compared_weakly_and_take_precedence_over_dates() {
        for (request, expected) in [
            ("\"a,b\"", true),
            ("W/\"a,b\"", true),
            ("\"x\", \"a,b\"", true),
            ("*", true),
            ("\"a\"", false),
            ("\"a,b", false),
        ] {
            let stored = [("ETag", "W/\"a,b\""), ("Last-Modified", OLD)];
            assert_eq!(
                not_modified(&[("If-None-Match", request), ("If-Modified-Since", NEW)], &stored),
                expected,
                "{request}"
            );
        }
        assert!(not_modified(
            &[("If-None-Match", "\"x\""), ("If-None-Match", "\"y\"")],
            &[("ETag", "\"y\"")]
        ));
    }

    #[test]
    fn dates_are_compared_in_any_form_with_date_as_the_fallback() {
        let modified_since = |text| [("If-Modified-Since", text)];
        assert!(not_modified(&modified_since(OLD), &[("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT")]));
        assert!(not_modified(&modified_since(NEW), &[("Last-Modified", OLD)]));
        assert!(!not_modified(&modified_since(OLD), &[("Last-Modified", NEW)]));
        assert!(not_modified(&modified_since(NEW), &[("Date", OLD)]));
        assert!(!not_modified(&modified_since("soon"), &[("Last-Modified", OLD)]));
        assert!(!not_modified(&[], &[("Last-Modified", OLD)]));
    }

    #[test]
    fn if_range_needs_a_strong_match() {
        let allows = |text, stored: &[(&str, &str)]| {
            Conditions::from_request(&head(&[("If-Range", text)])).allows_range(&head(stored), NOW_UNIX)
        };
        assert!(allows("\"a\"", &[("ETag", "\"a\"")]));
        assert!(!allows("\"a\"", &[("ETag", "W/\"a\"")]) && !allows("W/\"a\"", &[("ETag", "W/\"a\"")]));
        assert!(allows(OLD, &[("Last-Modified", OLD)]) && !allows(NEW, &[("Last-Modified", OLD)]));
        assert!(Conditions::default().allows_range(&head(&[]), NOW_UNIX));
    }

    #[test]
    fn conditions_are_removed_from_the_request() {
        let mut request = head(&[("If-None-Match", "\"a\""), ("Range", "bytes=0-1"), ("X", "1")]);
        let conditions = Conditions::take_from_request(&mut request);
        assert_eq!((conditions.none_match.as_deref(), request.len()), (Some(&b"\"a\""[..]), 1));
        assert!(Conditions::from_request(&request).is_empty());
    }
}
