//! `Cache-Control` of requests and responses (RFC 9111 5.2), and its targeted form `CDN-Cache-Control` (RFC 9213): a
//! dictionary of structured fields (RFC 8941), ignored if malformed.

use crate::{
    base::bytes::{decimal, trim_ows},
    pipeline::head::Head,
};
use sfv::{BareItem, ListEntry};
use smallvec::SmallVec;

/// Longer times are limited to this (RFC 9111 1.2.2).
pub const MAX_DELTA_SECONDS: u32 = 1 << 31;

/// The directives of a request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub no_store: bool,
    /// The whole response is for one recipient.
    pub private: bool,
    pub public: bool,
    /// Reuse requires revalidation.
    pub no_cache: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub only_if_cached: bool,
    /// Seconds, like the directives that follow.
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub min_fresh: Option<u32>,
    /// Without a value: any staleness.
    pub max_stale: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    /// Fields named by `no-cache` or `private`: the response may be stored without them.
    pub no_store_fields: SmallVec<[Box<[u8]>; 1]>,
}

impl Directives {
    /// Parses all `Cache-Control` lines. Of a duplicate, the first counts.
    pub fn from_lines<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Directives {
        let mut directives = Directives::default();
        for line in lines {
            for_each_directive(line, |name, value| directives.add(name, value));
        }
        directives
    }

    /// The directives for a shared cache: the targeted field if valid, else `Cache-Control`; and whether it is targeted.
    pub fn for_shared_cache(head: &Head) -> (Directives, bool) {
        match Self::targeted(head) {
            Some(directives) => (directives, true),
            None => (Self::from_lines(head.get_all(b"cache-control")), false),
        }
    }

    /// RFC 9213 2.2: an empty or malformed field is ignored.
    fn targeted(head: &Head) -> Option<Directives> {
        let mut lines = head.get_all(b"cdn-cache-control").peekable();
        lines.peek()?;
        let members = sfv::Parser::parse_dictionary(&lines.collect::<Vec<_>>().join(&b","[..])).ok()?;
        let mut directives = Directives::default();
        for (name, value) in &members {
            let ListEntry::Item(item) = value else { continue };
            let name = name.as_bytes();
            match &item.bare_item {
                BareItem::Boolean(true) => directives.add(name, None),
                // Times must be numbers; field names are in a string.
                BareItem::Integer(n) => directives.add(name, Some(n.to_string().as_bytes())),
                BareItem::String(text) if !is_time(name) => directives.add(name, Some(text.as_bytes())),
                _ => {}
            }
        }
        (!members.is_empty()).then_some(directives)
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let flag = match name.len() {
            6 if is("public") => &mut self.public,
            7 if is("private") => return self.add_named(value, |directives| &mut directives.private),
            8 if is("no-store") => &mut self.no_store,
            8 if is("no-cache") => return self.add_named(value, |directives| &mut directives.no_cache),
            14 if is("only-if-cached") => &mut self.only_if_cached,
            15 if is("must-revalidate") => &mut self.must_revalidate,
            15 if is("must-understand") => &mut self.must_understand,
            16 if is("proxy-revalidate") => &mut self.proxy_revalidate,
            _ => return self.add_time(name, value),
        };
        *flag = true;
    }

    /// With field names, the directive applies to those fields only.
    fn add_named(&mut self, value: Option<&[u8]>, flag: fn(&mut Directives) -> &mut bool) {
        let before = self.no_store_fields.len();
        let named = value.into_iter().flat_map(crate::base::bytes::comma_list);
        self.no_store_fields.extend(named.map(|name| name.to_ascii_lowercase().into_boxed_slice()));
        if self.no_store_fields.len() == before {
            *flag(self) = true;
        }
    }

    fn add_time(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // An invalid time means stale (RFC 9111 4.2.1).
        let time = value.map_or(0, |value| seconds(value).unwrap_or(0));
        let slot = match name.len() {
            7 if is("max-age") => &mut self.max_age,
            8 if is("s-maxage") => &mut self.s_maxage,
            9 if is("min-fresh") => &mut self.min_fresh,
            9 if is("max-stale") => {
                self.max_stale.get_or_insert(if value.is_none() { MAX_DELTA_SECONDS } else { time });
                return;
            }
            14 if is("stale-if-error") => &mut self.stale_if_error,
            22 if is("stale-while-revalidate") => &mut self.stale_while_revalidate,
            _ => return,
        };
        slot.get_or_insert(time);
    }
}

fn is_time(name: &[u8]) -> bool {
    [&b"max-age"[..], b"s-maxage", b"stale-if-error", b"stale-while-revalidate"].contains(&name)
}

/// Parses digits; larger numbers are limited to `MAX_DELTA_SECONDS`.
pub fn seconds(text: &[u8]) -> Option<u32> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| decimal(text).map_or(MAX_DELTA_SECONDS, |n| n.min(u64::from(MAX_DELTA_SECONDS)) as u32))
}

/// Calls `visit` with the name and the unquoted value of every directive.
fn for_each_directive<'l>(line: &'l [u8], mut visit: impl FnMut(&'l [u8], Option<&[u8]>)) {
    let mut remaining = line;
    while !remaining.is_empty() {
        let end = end_of_element(remaining);
        let element = trim_ows(&remaining[..end]);
        remaining = remaining.get(end + 1..).unwrap_or_default();
        let Some(equals) = element.iter().position(|b| *b == b'=') else {
            visit(element, None);
            continue;
        };
        let (name, value) = (&element[..equals], &element[equals + 1..]);
        match value {
            [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => visit(name, Some(&unescaped(inner))),
            [b'"', inner @ .., b'"'] => visit(name, Some(inner)),
            value => visit(name, Some(value)),
        }
    }
}

/// The end of the element: a comma outside of quotes.
fn end_of_element(text: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn unescaped(inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        escaped = !escaped && *byte == b'\\';
        if !escaped {
            bytes.push(*byte);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Directives {
        Directives::from_lines(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn directives_are_case_insensitive_and_outside_of_quotes() {
        let directives = read(&["MaX-aGe=5, extension=\"max-age=100, no-store\"", " , No-Cache ,PUBLIC"]);
        assert_eq!(
            (directives.max_age, directives.no_store, directives.no_cache, directives.public),
            (Some(5), false, true, true)
        );
        assert_eq!(read(&["x=\"a\\\", no-store\""]), Directives::default());
    }

    #[test]
    fn the_first_of_two_times_counts_and_an_invalid_time_is_zero() {
        assert_eq!(read(&["max-age=1800, max-age=1"]).max_age, Some(1800));
        assert_eq!(read(&["max-age=1", "max-age=1800"]).max_age, Some(1));
        for (text, time) in [
            ("max-age=003600", Some(3600)),
            ("max-age=\"3600\"", Some(3600)),
            ("max-age=99999999999999999999999", Some(MAX_DELTA_SECONDS)),
            ("max-age='3600'", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age=3600.0", Some(0)),
            ("max-age= 3600", Some(0)),
            ("max-age", Some(0)),
            ("max-age =3600", None),
        ] {
            assert_eq!(read(&[text]).max_age, time, "{text}");
        }
    }

    #[test]
    fn named_fields_are_excluded_from_storing() {
        let directives = read(&["no-cache=\"A, b\", private=c, max-age=1"]);
        assert!(!directives.no_cache && !directives.private);
        assert_eq!(
            directives.no_store_fields.iter().map(|name| &**name).collect::<Vec<_>>(),
            [b"a", b"b", b"c"]
        );
        assert!(read(&["private=\"\""]).private);
    }

    #[test]
    fn max_stale_without_a_value_is_unlimited() {
        assert_eq!(read(&["max-stale"]).max_stale, Some(MAX_DELTA_SECONDS));
        assert_eq!(read(&["max-stale=3, min-fresh=2"]).max_stale, Some(3));
    }

    fn for_response(fields: &[(&str, &str)]) -> (Directives, bool) {
        let mut head = Head::response(200, b"OK");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        Directives::for_shared_cache(&head)
    }

    #[test]
    fn the_targeted_field_replaces_cache_control() {
        let fields = [("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=10, foobar")];
        let (directives, targeted) = for_response(&fields);
        assert_eq!((directives.max_age, directives.no_store, targeted), (Some(10), false, true));
    }

    #[test]
    fn a_malformed_targeted_field_is_ignored() {
        for text in ["max-age=10, &&&&&", "", "Max-Age=10", "max-age =10", "max-age= 10"] {
            let (directives, targeted) =
                for_response(&[("Cache-Control", "no-store"), ("CDN-Cache-Control", text)]);
            assert_eq!((directives.no_store, targeted), (true, false), "{text}");
        }
        // A time of another type is ignored; the field is valid.
        let (directives, targeted) =
            for_response(&[("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=\"10\"")]);
        assert_eq!((directives.max_age, targeted), (None, true));
    }
}
