//! `Vary`: the named request fields with the values of the original request (RFC 9111 4.1).

use crate::{
    base::{
        accept::{MAX_QUALITY, parse_quality_lenient},
        bytes::{comma_list, trim_ows},
    },
    pipeline::head::Head,
};

/// The requests that a stored response matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaryKey {
    /// All requests with the same cache key.
    None,
    Fields(Box<Vary>),
    /// `Vary: *`: no other request.
    Star,
}

/// The selecting fields and their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    fields: Box<[VaryField]>,
    /// `Content-Language` of the response, if it varies by `Accept-Language`.
    language: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct VaryField {
    name: Box<[u8]>,
    /// The field as received, if it was one line: the fast path of the comparison.
    line: Option<Box<[u8]>>,
    /// The normalized value; `None`: the field was absent.
    normalized: Option<Vec<u8>>,
}

impl VaryKey {
    /// The key of a response to this request.
    pub fn of(response: &Head, request: &Head) -> VaryKey {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in response.get_all(b"vary").flat_map(comma_list) {
            if name == b"*" {
                return VaryKey::Star;
            }
            names.push(name.to_ascii_lowercase().into());
        }
        if names.is_empty() {
            return VaryKey::None;
        }
        names.sort_unstable();
        names.dedup();
        let by_language = names.iter().any(|name| **name == *b"accept-language");
        let language = response.get(b"content-language").filter(|_| by_language);
        let language =
            language.filter(|text| comma_list(text).count() == 1).map(|text| trim_ows(text).into());
        let field = names.into_iter().map(|name| VaryField::of(name, request)).collect();
        VaryKey::Fields(Box::new(Vary { fields: field, language }))
    }

    /// Whether the response may be served for this request.
    pub fn matches(&self, request: &Head) -> bool {
        match self {
            VaryKey::None => true,
            VaryKey::Star => false,
            VaryKey::Fields(vary) => {
                vary.fields.iter().all(|field| field.is_in(request, vary.language.as_deref()))
            }
        }
    }

    /// The selecting fields with the values of the request; absent ones are left out.
    pub fn request_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields: &[VaryField] = match self {
            VaryKey::Fields(vary) => &vary.fields,
            VaryKey::None | VaryKey::Star => &[],
        };
        let value = |field: &'_ VaryField| field.line.is_some() || field.normalized.is_some();
        fields.iter().filter(move |field| value(field)).map(|field| {
            let value = field.line.as_deref().or(field.normalized.as_deref());
            (&*field.name, value.unwrap_or_default())
        })
    }

    /// Whether two responses match the same requests.
    pub fn is_equal(&self, other: &VaryKey) -> bool {
        match (self, other) {
            (VaryKey::Fields(a), VaryKey::Fields(b)) => {
                a.fields.len() == b.fields.len()
                    && a.fields
                        .iter()
                        .zip(&b.fields)
                        .all(|(f, g)| f.name == g.name && f.normalized == g.normalized)
            }
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl VaryField {
    fn of(name: Box<[u8]>, request: &Head) -> VaryField {
        let normalized = normalized(&name, request);
        VaryField { line: single_value(&name, request).map(Into::into), normalized, name }
    }

    fn is_in(&self, request: &Head, language: Option<&[u8]>) -> bool {
        let line = single_value(&self.name, request);
        if line.is_some() && line == self.line.as_deref() {
            return true;
        }
        let normalized_value = normalized(&self.name, request);
        if normalized_value == self.normalized {
            return true;
        }
        let by_language = language.filter(|_| *self.name == *b"accept-language");
        by_language.is_some_and(|language| {
            normalized_value
                .is_some_and(|accepted| preferred_language(&accepted) == Some(language.to_ascii_lowercase()))
        })
    }
}

/// The value of a field that occurs once.
fn single_value<'h>(name: &'h [u8], request: &'h Head) -> Option<&'h [u8]> {
    let mut lines = request.get_all(name);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// The normalized value of a field: one line without optional whitespace; preferences also sorted and in lowercase.
fn normalized(name: &[u8], request: &Head) -> Option<Vec<u8>> {
    let mut lines = request.get_all(name).peekable();
    lines.peek()?;
    let mut elements: Vec<Vec<u8>> = lines.flat_map(elements).map(<[u8]>::to_vec).collect();
    if [&b"accept-language"[..], b"accept-encoding", b"accept-charset"].contains(&name) {
        for element in &mut elements {
            element.retain(|b| *b != b' ' && *b != b'\t');
            element.make_ascii_lowercase();
        }
        elements.sort_unstable();
    }
    Some(elements.join(&b','))
}

/// Splits at commas outside of quotes.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
    .map(trim_ows)
    .filter(|element| !element.is_empty())
}

/// The language with the highest weight, unless there are several.
fn preferred_language(accepted: &[u8]) -> Option<Vec<u8>> {
    let mut weighted: Vec<(u16, &[u8])> = Vec::new();
    for element in comma_list(accepted) {
        let mut parts = element.split(|b| *b == b';');
        let language = parts.next()?;
        let weight = parts.find_map(|part| part.strip_prefix(b"q=")).map_or(Some(MAX_QUALITY), weight)?;
        weighted.push((weight, language));
    }
    weighted.sort_unstable_by(|a, b| b.cmp(a));
    match weighted[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(1.., language), ..] if language != b"*" => Some(language.to_vec()),
        _ => None,
    }
}

/// A weight (`q`) in thousandths.
fn weight(text: &[u8]) -> Option<u16> {
    parse_quality_lenient(std::str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        head
    }

    fn matches(vary: &str, first: &[(&str, &str)], second: &[(&str, &str)]) -> bool {
        let mut response = Head::response(200, b"OK");
        response.append(b"Vary", vary.as_bytes());
        response.append(b"Content-Language", b"de");
        VaryKey::of(&response, &request(first)).matches(&request(second))
    }

    #[test]
    fn named_fields_must_have_equal_values() {
        assert!(matches("Foo", &[("Foo", "1"), ("Bar", "2")], &[("foo", "1"), ("Bar", "3")]));
        assert!(!matches("Foo", &[("Foo", "1")], &[("Foo", "2")]));
        assert!(!matches("Foo", &[], &[("Foo", "1")]) && !matches("Foo", &[("Foo", "1")], &[]));
        assert!(!matches("Foo", &[("Foo", "")], &[]) && matches("Foo, Bar", &[], &[]));
    }

    #[test]
    fn a_star_matches_no_request() {
        for vary in ["*", "Foo, *", ", *", "*, *"] {
            assert!(!matches(vary, &[("Foo", "1")], &[("Foo", "1")]), "{vary}");
        }
    }

    #[test]
    fn line_breaks_and_whitespace_are_normalized() {
        assert!(matches("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")]));
        assert!(matches("Foo", &[("Foo", "1,2")], &[("Foo", " 1,  2 ")]));
        assert!(!matches("Foo", &[("Foo", "\"a, b\"")], &[("Foo", "\"a,b\"")]));
        assert!(!matches("Foo", &[("Foo", "a")], &[("Foo", "A")]));
    }

    #[test]
    fn preferences_are_equal_in_any_order_and_case() {
        let stored = &[("Accept-Language", "en, de")];
        for text in ["de, en", "eN, De", " en ,   de", "fr;q=0.5, de;q=1.0"] {
            assert!(matches("Accept-Language", stored, &[("Accept-Language", text)]), "{text}");
        }
        for text in ["en", "fr, de", "fr", "de;q=0", "*", "fr;q=1.0, de;q=0.5"] {
            assert!(!matches("Accept-Language", stored, &[("Accept-Language", text)]), "{text}");
        }
    }
}
