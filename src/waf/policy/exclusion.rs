//! Parts of requests that rules do not inspect.

use crate::waf::bytes::contains;
use crate::waf::request::parts::{Kind, Request, Source, Value};

/// What an exclusion names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the part of its name")]
pub enum ExcludedPart {
    ArgumentValues,
    ArgumentNames,
    HeaderValues,
    HeaderNames,
    CookieValues,
    CookieNames,
    FileNames,
    Xml,
    Body,
    Path,
}

/// Which members of a part an exclusion names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameTest {
    /// Every member.
    Any,
    /// The member of this name.
    Equals(Vec<u8>),
    /// Members whose names begin with a text.
    StartsWith(Vec<u8>),
    /// Members whose names end with a text.
    EndsWith(Vec<u8>),
    /// Members whose names contain a text.
    Contains(Vec<u8>),
    /// JSON members of a path.
    Json(JsonSelector),
}

/// A step of a path to a JSON member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonStep {
    /// The member of this name.
    Member(Vec<u8>),
    /// Any one member.
    AnyMember,
    /// The element of this index.
    Element(usize),
    /// Any element.
    AnyElement,
}

/// A path such as `$.items[*].text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonSelector(Vec<JsonStep>);

/// A pattern of paths: `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<Vec<u8>>);

/// What is not inspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The requests to which it applies; none for all.
    pub path: Option<PathPattern>,
    /// The parts.
    pub part: ExcludedPart,
    /// Their members.
    pub name: NameTest,
}

impl PathPattern {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(|piece| piece.as_bytes().to_vec()).collect())
    }

    /// Whether a path matches from its beginning to its end.
    pub fn is_match(&self, path: &[u8]) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|p| p == path);
        };
        let Some(mut rest) = path.strip_prefix(first.as_slice()) else { return false };
        for piece in middle {
            match memchr::memmem::find(rest, piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.len() >= last.len() && rest.ends_with(last)
    }
}

impl JsonSelector {
    /// Reads a path that begins with `$`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$')?;
        while !rest.is_empty() {
            let (step, after) = json_step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }

    /// Whether the path of a member matches.
    pub fn is_match(&self, path: &[u8]) -> bool {
        let Some(path) = std::str::from_utf8(path).ok().and_then(Self::parse) else { return false };
        let is_equal = |(wanted, found): (&JsonStep, &JsonStep)| match (wanted, found) {
            (JsonStep::AnyMember, JsonStep::Member(_)) | (JsonStep::AnyElement, JsonStep::Element(_)) => true,
            _ => wanted == found,
        };
        self.0.len() == path.0.len() && self.0.iter().zip(&path.0).all(is_equal)
    }
}

/// The first step of a path and what follows it.
fn json_step(text: &str) -> Option<(JsonStep, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let step = match &rest[..end] {
            "" => return None,
            "*" => JsonStep::AnyMember,
            name => JsonStep::Member(name.as_bytes().to_vec()),
        };
        return Some((step, &rest[end..]));
    }
    let rest = text.strip_prefix('[')?;
    if let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        return quoted_member(&rest[1..], quote);
    }
    let (index, after) = rest.split_once(']')?;
    let step = if index == "*" { JsonStep::AnyElement } else { JsonStep::Element(index.parse().ok()?) };
    Some((step, after))
}

/// A name up to the closing quote and bracket.
fn quoted_member(text: &str, quote: char) -> Option<(JsonStep, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            _ if character == quote => {
                return Some((JsonStep::Member(name.into_bytes()), text[at + 1..].strip_prefix(']')?));
            }
            _ => name.push(character),
        }
    }
    None
}

impl Exclusion {
    /// Whether it applies to requests of a path.
    pub fn applies_to(&self, path: &[u8]) -> bool {
        self.path.as_ref().is_none_or(|pattern| pattern.is_match(path))
    }

    /// Whether it names a value.
    pub fn is_naming(&self, request: &Request, value: &Value) -> bool {
        let is_part = match self.part {
            ExcludedPart::ArgumentValues => matches!(value.kind, Kind::QueryValue | Kind::BodyValue),
            ExcludedPart::ArgumentNames => matches!(value.kind, Kind::QueryName | Kind::BodyName),
            ExcludedPart::HeaderValues => value.kind == Kind::HeaderValue,
            ExcludedPart::HeaderNames => value.kind == Kind::HeaderName,
            ExcludedPart::CookieValues => value.kind == Kind::CookieValue,
            ExcludedPart::CookieNames => value.kind == Kind::CookieName,
            ExcludedPart::FileNames => matches!(value.kind, Kind::FileName | Kind::FileField),
            ExcludedPart::Xml => matches!(value.kind, Kind::XmlText | Kind::XmlAttribute),
            ExcludedPart::Body => value.kind == Kind::Body || value.source == Source::Text,
            ExcludedPart::Path => {
                matches!(value.kind, Kind::Path | Kind::BaseName | Kind::Uri | Kind::RawUri | Kind::Line)
            }
        };
        is_part && self.is_selecting(request, value)
    }

    fn is_selecting(&self, request: &Request, value: &Value) -> bool {
        let is_json = value.source == Source::Json;
        let name = request.bytes(value.name);
        let ignores_case = matches!(self.part, ExcludedPart::HeaderValues | ExcludedPart::HeaderNames);
        let lowered;
        let name = if ignores_case {
            lowered = name.to_ascii_lowercase();
            &lowered[..]
        } else {
            name
        };
        match &self.name {
            NameTest::Any => true,
            NameTest::Json(selector) => is_json && selector.is_match(request.bytes(value.path)),
            _ if is_json => false,
            NameTest::Equals(wanted) => name == wanted,
            NameTest::StartsWith(start) => name.starts_with(start),
            NameTest::EndsWith(end) => name.ends_with(end),
            NameTest::Contains(part) => contains(name, part),
        }
    }
}
