//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in string values; `$${` writes a literal `${`.
//!
//! What is filled in is never looked at again, so a variable cannot smuggle in another placeholder. Places stay
//! those of the written string. `{Name}` without `$` belongs to templates and header transforms.

use super::codes;
use super::diagnostics::Diagnostics;
use super::files::read_limited;
use super::node::{Node, Value};
use super::span::Span;
use std::io;
use std::path::Path;

/// The largest file that a placeholder may name; secrets are small.
pub const MAX_SECRET: u64 = 1 << 20;

/// Where placeholders get their values: the process environment and the file system, or what a test injects.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    pub variable: &'e dyn Fn(&str) -> Option<String>,
    /// Reads a whole file; must refuse one that is larger than the limit.
    pub read: &'e dyn Fn(&Path, u64) -> io::Result<Vec<u8>>,
}

impl Environment<'static> {
    /// The variables and the files of this process.
    pub fn of_process() -> Self {
        Environment { variable: &|name| std::env::var(name).ok(), read: &read_limited }
    }
}

/// Fills in every string value of a tree.
pub fn interpolate(node: &mut Node, environment: Environment, diagnostics: &mut Diagnostics) {
    match &mut node.value {
        Value::String(text) if text.contains("${") => {
            let mut filler = Interpolator { environment, span: node.span, diagnostics, failed: false };
            *text = filler.interpolate(text).into();
            node.interpolated = true;
            if filler.failed {
                diagnostics.suppress(node.span);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| interpolate(item, environment, diagnostics)),
        Value::Object(members) => {
            members.iter_mut().for_each(|m| interpolate(&mut m.value, environment, diagnostics));
        }
        _ => {}
    }
}

struct Interpolator<'a, 'e> {
    environment: Environment<'e>,
    span: Span,
    diagnostics: &'a mut Diagnostics,
    failed: bool,
}

impl Interpolator<'_, '_> {
    fn interpolate(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                out.push_str(&rest[..at - 1]);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let Some(length) = rest[at..].find('}') else {
                self.report_malformed(format!("the placeholder {} is never closed", name_part(&rest[at..])));
                return out;
            };
            out.push_str(&self.value(&rest[at + 2..at + length]));
            rest = &rest[at + length + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The value of what stands between the braces.
    fn value(&mut self, inner: &str) -> String {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.read_secret_file(path);
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            self.report_malformed(format!("${{{}}} is no placeholder", name_part(inner)));
            return String::new();
        }
        if default.is_some_and(|default| default.contains("${")) {
            self.report_malformed(format!("the default of ${{{name}}} holds another placeholder"));
            return String::new();
        }
        let set = (self.environment.variable)(name);
        let fallback = default.map(str::to_owned);
        match set.filter(|value| !value.is_empty() || fallback.is_none()).or(fallback) {
            Some(value) => value,
            None => self.report_unset(name),
        }
    }

    fn report_unset(&mut self, name: &str) -> String {
        self.failed = true;
        self.diagnostics
            .error(codes::UNSET_VARIABLE, self.span, format!("the environment variable {name} is not set"))
            .help(format!("set it, or give a default: ${{{name}:-value}}"));
        String::new()
    }

    /// The text of a file without the line end that editors leave behind.
    fn read_secret_file(&mut self, path: &str) -> String {
        if path.trim().is_empty() {
            self.report_malformed("${file:} names no file".to_owned());
            return String::new();
        }
        let why = match (self.environment.read)(Path::new(path), MAX_SECRET).map(String::from_utf8) {
            Ok(Ok(text)) => return without_line_end(text),
            Ok(Err(_)) => "it is not UTF-8".to_owned(),
            Err(error) => error.to_string(),
        };
        self.failed = true;
        let message = format!("the file {path} cannot be read: {why}");
        self.diagnostics.error(codes::UNREADABLE_SECRET, self.span, message);
        String::new()
    }

    fn report_malformed(&mut self, message: String) {
        self.failed = true;
        self.diagnostics
            .error(codes::BAD_PLACEHOLDER, self.span, message)
            .help("placeholders are ${NAME}, ${NAME:-default} and ${file:/path}; $${ writes a literal ${");
    }
}

/// Names of environment variables as shells know them; `.` and `-` because .NET and Kubernetes allow them.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The beginning of a text, for a message.
fn name_part(text: &str) -> String {
    text.chars().take(30).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse::{Dialect, parse};
    use crate::config::{Diagnostic, FileId};
    use proptest::prelude::*;

    fn variable(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "EMPTY" => Some(String::new()),
            "SLY" => Some("${PORT}".into()),
            _ => None,
        }
    }

    fn read(path: &Path, _: u64) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/run/secrets/key") => Ok(b"s3cret\r\n".to_vec()),
            Some("/bytes") => Ok(vec![0xff]),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }

    fn filled(text: &str) -> (Node, Vec<Diagnostic>) {
        let mut diagnostics = Diagnostics::default();
        let json = serde_json::json!({ "a": [text] }).to_string();
        let mut node = parse(FileId(0), &json, Dialect::default(), &mut diagnostics).unwrap();
        interpolate(&mut node, Environment { variable: &variable, read: &read }, &mut diagnostics);
        (node.get_ignore_case("a").unwrap().items()[0].clone(), diagnostics.list)
    }

    fn good(text: &str) -> String {
        let (node, said) = filled(text);
        assert!(said.is_empty(), "{said:?}");
        node.as_str().unwrap().to_owned()
    }

    fn report_malformed(text: &str) -> (&'static str, String) {
        let (_, said) = filled(text);
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(said[0].span.is_some());
        (said[0].code.0, said[0].message.clone())
    }

    #[test]
    fn variables_are_filled_in_also_inside_longer_strings() {
        assert_eq!(good("${PORT}"), "8080");
        assert_eq!(good("http://localhost:${PORT}/x${PORT}"), "http://localhost:8080/x8080");
    }

    #[test]
    fn a_default_stands_in_for_an_unset_or_empty_variable() {
        assert_eq!(good("${NONE:-9101}"), "9101");
        assert_eq!(good("${EMPTY:-9101}"), "9101");
        assert_eq!(good("${PORT:-9101}"), "8080");
        assert_eq!(good("[${NONE:-}]"), "[]");
        assert_eq!(good("[${EMPTY}]"), "[]");
    }

    #[test]
    fn files_lose_their_last_line_end() {
        assert_eq!(good("${file:/run/secrets/key}"), "s3cret");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        assert_eq!(good("${SLY}"), "${PORT}");
    }

    #[test]
    fn two_dollars_write_a_literal_placeholder() {
        assert_eq!(good("$${PORT} ${PORT}"), "${PORT} 8080");
    }

    #[test]
    fn other_braces_and_dollars_are_left_alone() {
        for text in ["{BaseUrl}", "$1 {0} $", "/x/{id}", "a$b"] {
            let (node, said) = filled(text);
            assert_eq!((node.as_str(), node.interpolated, said.len()), (Some(text), false, 0));
        }
    }

    #[test]
    fn mistakes_have_their_place_and_say_what_is_wrong() {
        let unset = "the environment variable NONE is not set".to_owned();
        assert_eq!(report_malformed("${NONE}"), ("MG0201", unset));
        assert_eq!(report_malformed("${file:/gone}").0, "MG0202");
        assert_eq!(report_malformed("${file:/bytes}").1, "the file /bytes cannot be read: it is not UTF-8");
        for text in ["${", "${}", "${a b}", "${NONE:-${PORT}}x", "${file:}", "${1}"] {
            assert_eq!(report_malformed(text).0, "MG0203", "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[${}:\\-a-zé ]{0,40}") {
            let _ = filled(&text);
        }
    }
}
