//! `Cache-Control` of requests and answers (RFC 9111 5.2), and the targeted form of it (RFC 9213), which is a
//! dictionary of structured fields (RFC 8941) and counts for nothing if it is not one.

use super::structured;
use crate::{
    base::bytes::{decimal, trim_ows},
    pipeline::head::Head,
};
use smallvec::SmallVec;

/// Longer times mean nothing more (RFC 9111 1.2.2).
pub const MAX_DELTA_SECONDS: u32 = 1 << 31;

/// What a sender says about keeping an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub no_store: bool,
    /// The whole answer is for one recipient only.
    pub private: bool,
    pub public: bool,
    /// Never without asking again.
    pub no_cache: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub min_fresh: Option<u32>,
    /// Without a number: however stale.
    pub max_stale: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
    /// Fields that `no-cache` or `private` name: the rest may be kept without them.
    pub no_store_fields: SmallVec<[Box<[u8]>; 1]>,
}

impl Directives {
    /// Reads all `Cache-Control` lines. Where one is said twice, the first counts.
    pub fn from_lines<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Directives {
        let mut all = Directives::default();
        for line in lines {
            for_each_directive(line, |name, value| all.add(name, value));
        }
        all
    }

    /// What holds for a shared cache: the targeted field if it is one, else `Cache-Control`; and whether it is targeted.
    pub fn for_shared_cache(head: &Head) -> (Directives, bool) {
        match Self::targeted(head) {
            Some(directives) => (directives, true),
            None => (Self::from_lines(head.get_all(b"cache-control")), false),
        }
    }

    /// RFC 9213 2.2: a field that is empty or malformed is as if it were not there.
    fn targeted(head: &Head) -> Option<Directives> {
        let mut lines = head.get_all(b"cdn-cache-control").peekable();
        lines.peek()?;
        let members = structured::dictionary(&lines.collect::<Vec<_>>().join(&b","[..]))?;
        let mut all = Directives::default();
        for (name, value) in &members {
            match value {
                structured::Value::True => all.add(name, None),
                // Times are numbers and nothing else; fields are named in a string.
                structured::Value::Number(n) => all.add(name, Some(n.to_string().as_bytes())),
                structured::Value::Text(text) if !is_time(name) => all.add(name, Some(text)),
                _ => {}
            }
        }
        (!members.is_empty()).then_some(all)
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let flag = match name.len() {
            6 if is("public") => &mut self.public,
            7 if is("private") => return self.add_named(value, |all| &mut all.private),
            8 if is("no-store") => &mut self.no_store,
            8 if is("no-cache") => return self.add_named(value, |all| &mut all.no_cache),
            14 if is("only-if-cached") => &mut self.only_if_cached,
            15 if is("must-revalidate") => &mut self.must_revalidate,
            15 if is("must-understand") => &mut self.must_understand,
            16 if is("proxy-revalidate") => &mut self.proxy_revalidate,
            _ => return self.add_time(name, value),
        };
        *flag = true;
    }

    /// With fields named, only those are meant.
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
        // A time that is none means the worst: stale at once (RFC 9111 4.2.1).
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

/// Digits only; what does not fit is as much as can be.
pub fn seconds(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| decimal(text).map_or(MAX_DELTA_SECONDS, |n| n.min(u64::from(MAX_DELTA_SECONDS)) as u32))
}

/// Calls `take` for every directive: its name, and its value without quotes.
fn for_each_directive<'l>(line: &'l [u8], mut take: impl FnMut(&'l [u8], Option<&[u8]>)) {
    let mut rest = line;
    while !rest.is_empty() {
        let end = end_of_element(rest);
        let element = trim_ows(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
        let Some(equals) = element.iter().position(|b| *b == b'=') else {
            take(element, None);
            continue;
        };
        let (name, value) = (&element[..equals], &element[equals + 1..]);
        match value {
            [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => take(name, Some(&unescaped(inner))),
            [b'"', inner @ .., b'"'] => take(name, Some(inner)),
            value => take(name, Some(value)),
        }
    }
}

/// Where the element ends: at a comma outside of quotes.
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
    let mut plain = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        escaped = !escaped && *byte == b'\\';
        if !escaped {
            plain.push(*byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Directives {
        Directives::from_lines(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn directives_are_found_in_any_case_and_only_outside_of_quotes() {
        let all = read(&["MaX-aGe=5, extension=\"max-age=100, no-store\"", " , No-Cache ,PUBLIC"]);
        assert_eq!((all.max_age, all.no_store, all.no_cache, all.public), (Some(5), false, true, true));
        assert_eq!(read(&["x=\"a\\\", no-store\""]), Directives::default());
    }

    #[test]
    fn the_first_of_two_times_counts_and_a_time_that_is_none_is_zero() {
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
    fn named_fields_are_left_out_and_the_rest_may_be_kept() {
        let all = read(&["no-cache=\"A, b\", private=c, max-age=1"]);
        assert!(!all.no_cache && !all.private);
        assert_eq!(all.no_store_fields.iter().map(|name| &**name).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert!(read(&["private=\"\""]).private);
    }

    #[test]
    fn stale_times_of_a_request_may_be_without_end() {
        assert_eq!(read(&["max-stale"]).max_stale, Some(MAX_DELTA_SECONDS));
        assert_eq!(read(&["max-stale=3, min-fresh=2"]).max_stale, Some(3));
    }

    fn answer(fields: &[(&str, &str)]) -> (Directives, bool) {
        let mut head = Head::response(200, b"OK");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        Directives::for_shared_cache(&head)
    }

    #[test]
    fn the_targeted_field_takes_the_place_of_the_other_one() {
        let fields = [("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=10, foobar")];
        let (all, targeted) = answer(&fields);
        assert_eq!((all.max_age, all.no_store, targeted), (Some(10), false, true));
    }

    #[test]
    fn a_targeted_field_that_is_no_dictionary_counts_for_nothing() {
        for text in ["max-age=10, &&&&&", "", "Max-Age=10", "max-age =10", "max-age= 10"] {
            let (all, targeted) = answer(&[("Cache-Control", "no-store"), ("CDN-Cache-Control", text)]);
            assert_eq!((all.no_store, targeted), (true, false), "{text}");
        }
        // A time of another type is no time; the field is one all the same.
        let (all, targeted) =
            answer(&[("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=\"10\"")]);
        assert_eq!((all.max_age, targeted), (None, true));
    }
}
