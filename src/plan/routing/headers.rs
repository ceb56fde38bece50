//! `UpstreamHeaderTemplates` (docs/ocelot-behavior.md, section 6.5): every named header must be present and match.
//!
//! A template is a regular expression with `{header:name}` for `(.+)`. This is the only place where routing uses the
//! regex crate, so only routes with such templates pay for it.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::bytes::{Captures, Regex};

use crate::base::path_params::PathParams;

/// Looks up a request header: all its lines joined with `,`; `None` when it is absent.
pub trait HeaderLookup {
    /// The joined value of the header with this name (case-insensitive).
    fn join_header_lines(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// A request without headers.
impl HeaderLookup for () {
    fn join_header_lines(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// Pairs of name and value, in order.
impl HeaderLookup for [(&str, &str)] {
    fn join_header_lines(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v);
        let lines: Vec<&str> = lines.collect();
        (!lines.is_empty()).then(|| Cow::Owned(lines.join(",").into_bytes()))
    }
}

/// Why a header template cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid template for the header `{header}`: {reason}")]
pub struct HeaderTemplateError {
    /// The header's name.
    pub header: String,
    /// The error of the regex crate.
    pub reason: String,
}

/// The compiled header templates of one route.
#[derive(Clone, Debug, Default)]
pub struct HeaderTemplates {
    templates: Vec<HeaderTemplate>,
    names: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
struct HeaderTemplate {
    header: Box<str>,
    source: Box<str>,
    regex: Regex,
    /// The groups that capture a value, one for each name, in order. For a name used twice it is the last group.
    groups: Vec<usize>,
}

impl HeaderTemplates {
    /// Compiles pairs of header name and template. Every invalid template is reported.
    pub fn compile(
        pairs: &[(String, String)],
        case_sensitive: bool,
    ) -> Result<HeaderTemplates, Vec<HeaderTemplateError>> {
        let mut compiled = HeaderTemplates::default();
        let mut errors = Vec::new();
        for (header, template) in pairs {
            match HeaderTemplate::compile(header, template, case_sensitive) {
                Ok((template, names)) => {
                    compiled.templates.push(template);
                    compiled.names.extend(names);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// Whether the route has no header templates.
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// The names of the values of these templates, in order.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// `Err` names the first header that is missing or does not match.
    pub fn matches<H: HeaderLookup + ?Sized>(&self, headers: &H) -> Result<(), &str> {
        let fails =
            |t: &&HeaderTemplate| !headers.join_header_lines(&t.header).is_some_and(|v| t.regex.is_match(&v));
        self.templates.iter().find(fails).map_or(Ok(()), |t| Err(&t.header))
    }

    /// Appends the captured values.
    pub fn extract<H: HeaderLookup + ?Sized>(&self, headers: &H, values: &mut PathParams) {
        for template in &self.templates {
            let value = headers.join_header_lines(&template.header).unwrap_or_default();
            let captures = template.regex.captures(&value);
            for group in &template.groups {
                let bytes =
                    captures.as_ref().and_then(|c: &Captures<'_>| c.get(*group)).map(|m| m.as_bytes());
                values.push_bytes(bytes.unwrap_or_default());
            }
        }
    }

    /// Whether every template of `self` also occurs in `other`, with the same text.
    pub(super) fn is_implied_by(&self, other: &HeaderTemplates) -> bool {
        let alike = |a: &HeaderTemplate, b: &HeaderTemplate| {
            a.header.eq_ignore_ascii_case(&b.header)
                && a.source == b.source
                && a.regex.as_str() == b.regex.as_str()
        };
        self.templates.iter().all(|a| other.templates.iter().any(|b| alike(a, b)))
    }
}

impl HeaderTemplate {
    fn compile(
        header: &str,
        template: &str,
        case_sensitive: bool,
    ) -> Result<(HeaderTemplate, Vec<Box<str>>), HeaderTemplateError> {
        let (body, placeholders) = replace_placeholders(template);
        let flags = if case_sensitive { "" } else { "(?i)" };
        let failed =
            |e: regex::Error| HeaderTemplateError { header: header.to_owned(), reason: e.to_string() };
        let regex = Regex::new(&format!("^{flags}{body}$")).map_err(failed)?;
        let (groups, names) = named_groups(&regex, &placeholders);
        let template = HeaderTemplate { header: header.into(), source: template.into(), regex, groups };
        Ok((template, names))
    }
}

/// The names of our own groups in the expression, so that a placeholder may have any name.
const GROUP: &str = "placeholder_";

/// `{header:name}` → a named group; returns the expression and the names in order.
fn replace_placeholders(template: &str) -> (String, Vec<String>) {
    let (mut body, mut names, mut rest) = (String::new(), Vec::new(), template);
    while let Some((at, len)) = next_placeholder(rest) {
        push_expression(&rest[..at], &mut body);
        body.push_str(&format!("(?<{GROUP}{}>.+)", names.len()));
        names.push(rest[at + "{header:".len()..at + len - 1].to_owned());
        rest = &rest[at + len..];
    }
    push_expression(rest, &mut body);
    (body, names)
}

/// Copies an expression; a `{` that does not begin a quantifier is literal, as in .NET.
fn push_expression(text: &str, buffer: &mut String) {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        let class = text[..i].ends_with("\\p") || text[..i].ends_with("\\P");
        if c == '{' && !escaped && !class && !is_quantifier(&text[i..]) {
            buffer.push('\\');
        }
        buffer.push(c);
        escaped = c == '\\' && !escaped;
    }
}

/// Whether the text is `{2}`, `{2,}` or `{2,3}`.
fn is_quantifier(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|t| t.split_once('}')).map(|(inner, _)| inner);
    let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    inner.is_some_and(|inner| match inner.split_once(',') {
        Some((min, max)) => number(min) && (max.is_empty() || number(max)),
        None => number(inner),
    })
}

/// The position and length of the next `{header:...}`.
fn next_placeholder(text: &str) -> Option<(usize, usize)> {
    const OPEN: &[u8] = b"{header:";
    let at = text.as_bytes().windows(OPEN.len()).position(|w| w.eq_ignore_ascii_case(OPEN))?;
    let len = text[at..].find('}')? + 1;
    Some((at, len))
}

/// Each group with the name of its value: ours, those named in the template, the others by their number (.NET numbers
/// unnamed groups separately).
fn named_groups(regex: &Regex, placeholders: &[String]) -> (Vec<usize>, Vec<Box<str>>) {
    let mut by_name: HashMap<Box<str>, usize> = HashMap::new();
    let (mut groups, mut names, mut unnamed) = (Vec::new(), Vec::new(), 0);
    for (group, name) in regex.capture_names().enumerate().skip(1) {
        let ours = name.and_then(|n| n.strip_prefix(GROUP)?.parse::<usize>().ok());
        let name: Box<str> = match (ours.and_then(|i| placeholders.get(i)), name) {
            (Some(placeholder), _) => placeholder.as_str().into(),
            (None, Some(name)) => name.into(),
            (None, None) => {
                unnamed += 1;
                unnamed.to_string().into()
            }
        };
        match by_name.get(&name) {
            Some(position) => groups[*position] = group,
            None => {
                by_name.insert(name.clone(), groups.len());
                groups.push(group);
                names.push(name);
            }
        }
    }
    (groups, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(template: &str, case_sensitive: bool) -> HeaderTemplates {
        HeaderTemplates::compile(&[("X-Kind".to_owned(), template.to_owned())], case_sensitive).unwrap()
    }

    fn values(template: &str, value: &str) -> Option<Vec<(String, String)>> {
        let templates = compile(template, false);
        let headers: &[(&str, &str)] = &[("x-kind", value)];
        templates.matches(headers).ok()?;
        let mut values = PathParams::new();
        templates.extract(headers, &mut values);
        let read = |i: usize| String::from_utf8(values.get(i, b"").unwrap().bytes.to_vec()).unwrap();
        Some(templates.names().iter().enumerate().map(|(i, n)| (n.to_string(), read(i))).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    #[test]
    fn a_placeholder_matches_one_or_more_characters() {
        assert_eq!(values("v-{header:kind}", "v-7"), pairs(&[("kind", "7")]));
        assert_eq!(values("v-{header:kind}", "v-"), None);
        assert_eq!(values("{header:a}-{header:b}", "x-y-z"), pairs(&[("a", "x-y"), ("b", "z")]));
        assert_eq!(values("{HEADER:country-code}", "pl"), pairs(&[("country-code", "pl")]));
    }

    #[test]
    fn other_text_is_a_regular_expression() {
        assert_eq!(values("(red|blue)", "blue"), pairs(&[("1", "blue")]));
        assert_eq!(values("my_{header}", "my_{header}"), pairs(&[]));
        assert_eq!(values(r"\{a}b{2}\p{L}{x", "{a}bbé{X"), pairs(&[]));
        assert_eq!(values("(?<tone>.)(.)", "ab"), pairs(&[("tone", "a"), ("1", "b")]));
    }

    #[test]
    fn matching_is_case_sensitive_only_if_the_route_is() {
        assert_eq!(values("BLUE", "blue"), pairs(&[]));
        assert!(compile("BLUE", true).matches(&[("X-Kind", "blue")][..]).is_err());
    }

    #[test]
    fn all_lines_of_a_header_are_matched_joined_by_commas() {
        let templates = compile("v-7,second", false);
        assert!(templates.matches(&[("X-Kind", "v-7"), ("x-kind", "second")][..]).is_ok());
        assert_eq!(templates.matches(&[("X-Kind", "v-7")][..]), Err("X-Kind"));
        assert_eq!(templates.matches(&()), Err("X-Kind"));
    }

    #[test]
    fn every_invalid_template_is_reported() {
        let bad = |n: &str| (n.to_owned(), "(".to_owned());
        let errors = HeaderTemplates::compile(&[bad("A"), bad("B")], false).unwrap_err();
        assert_eq!(errors.iter().map(|e| e.header.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    }
}
