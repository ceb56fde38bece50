//! Which requests an answer is for: the fields that its `Vary` names, with the values they had (RFC 9111 4.1).

use crate::{
    base::bytes::{comma_list, trim_ows},
    pipeline::head::Head,
};

/// What an answer says about the requests it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaryKey {
    /// For all that ask the same.
    None,
    Fields(Box<Vary>),
    /// By something that no request shows.
    Star,
}

/// The fields that choose an answer, and what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    fields: Box<[VaryField]>,
    /// The language of the answer, where that is what was chosen.
    language: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct VaryField {
    name: Box<[u8]>,
    /// As it came, if it was one line: most often it comes like that again.
    line: Option<Box<[u8]>>,
    /// What it means; none: the field was not there.
    normalized: Option<Vec<u8>>,
}

impl VaryKey {
    /// Reads the answer to that request.
    pub fn of(answer: &Head, request: &Head) -> VaryKey {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in answer.get_all(b"vary").flat_map(comma_list) {
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
        let language = answer.get(b"content-language").filter(|_| by_language);
        let language =
            language.filter(|text| comma_list(text).count() == 1).map(|text| trim_ows(text).into());
        let chosen = names.into_iter().map(|name| VaryField::of(name, request)).collect();
        VaryKey::Fields(Box::new(Vary { fields: chosen, language }))
    }

    /// Whether the answer is for this request too.
    pub fn matches(&self, request: &Head) -> bool {
        match self {
            VaryKey::None => true,
            VaryKey::Star => false,
            VaryKey::Fields(vary) => {
                vary.fields.iter().all(|chosen| chosen.is_in(request, vary.language.as_deref()))
            }
        }
    }

    /// Whether two answers are for the same requests.
    pub fn is_equal(&self, other: &VaryKey) -> bool {
        match (self, other) {
            (VaryKey::Fields(one), VaryKey::Fields(two)) => {
                one.fields.len() == two.fields.len()
                    && one
                        .fields
                        .iter()
                        .zip(&two.fields)
                        .all(|(a, b)| a.name == b.name && a.normalized == b.normalized)
            }
            (one, two) => std::mem::discriminant(one) == std::mem::discriminant(two),
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
        let meaning = normalized(&self.name, request);
        if meaning == self.normalized {
            return true;
        }
        let by_language = language.filter(|_| *self.name == *b"accept-language");
        by_language.is_some_and(|language| {
            meaning.is_some_and(|wanted| preferred_language(&wanted) == Some(language.to_ascii_lowercase()))
        })
    }
}

/// The value, if the field is there once.
fn single_value<'h>(name: &'h [u8], request: &'h Head) -> Option<&'h [u8]> {
    let mut lines = request.get_all(name);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// What a field means however it is written: one line, no needless blanks; preferences also in any order and case.
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

/// Commas within quotes are part of what they stand in.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
    .map(trim_ows)
    .filter(|element| !element.is_empty())
}

/// The language that is wanted before all others.
fn preferred_language(wanted: &[u8]) -> Option<Vec<u8>> {
    let mut all: Vec<(u32, &[u8])> = Vec::new();
    for element in comma_list(wanted) {
        let mut parts = element.split(|b| *b == b';');
        let language = parts.next()?;
        let weight = parts.find_map(|part| part.strip_prefix(b"q=")).map_or(Some(1000), weight)?;
        all.push((weight, language));
    }
    all.sort_unstable_by(|one, two| two.cmp(one));
    match all[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(1.., language), ..] if language != b"*" => Some(language.to_vec()),
        _ => None,
    }
}

/// A quality of three digits behind the point, in thousandths.
fn weight(text: &[u8]) -> Option<u32> {
    let number: f32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (0.0..=1.0).contains(&number).then_some((number * 1000.0).round() as u32)
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
        let mut answer = Head::response(200, b"OK");
        answer.append(b"Vary", vary.as_bytes());
        answer.append(b"Content-Language", b"de");
        VaryKey::of(&answer, &request(first)).matches(&request(second))
    }

    #[test]
    fn named_fields_must_say_the_same_and_others_need_not() {
        assert!(matches("Foo", &[("Foo", "1"), ("Bar", "2")], &[("foo", "1"), ("Bar", "3")]));
        assert!(!matches("Foo", &[("Foo", "1")], &[("Foo", "2")]));
        assert!(!matches("Foo", &[], &[("Foo", "1")]) && !matches("Foo", &[("Foo", "1")], &[]));
        assert!(!matches("Foo", &[("Foo", "")], &[]) && matches("Foo, Bar", &[], &[]));
    }

    #[test]
    fn a_star_is_for_nobody_else() {
        for vary in ["*", "Foo, *", ", *", "*, *"] {
            assert!(!matches(vary, &[("Foo", "1")], &[("Foo", "1")]), "{vary}");
        }
    }

    #[test]
    fn lines_and_blanks_do_not_matter() {
        assert!(matches("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")]));
        assert!(matches("Foo", &[("Foo", "1,2")], &[("Foo", " 1,  2 ")]));
        assert!(!matches("Foo", &[("Foo", "\"a, b\"")], &[("Foo", "\"a,b\"")]));
        assert!(!matches("Foo", &[("Foo", "a")], &[("Foo", "A")]));
    }

    #[test]
    fn preferences_mean_the_same_in_any_order_and_case() {
        let stored = &[("Accept-Language", "en, de")];
        for text in ["de, en", "eN, De", " en ,   de", "fr;q=0.5, de;q=1.0"] {
            assert!(matches("Accept-Language", stored, &[("Accept-Language", text)]), "{text}");
        }
        for text in ["en", "fr, de", "fr", "de;q=0", "*", "fr;q=1.0, de;q=0.5"] {
            assert!(!matches("Accept-Language", stored, &[("Accept-Language", text)]), "{text}");
        }
    }
}
