//! Interpolation of `${NAME}`, `${NAME:-default}` and `${file:/path}` in string values; `$${` is a literal `${`.
//!
//! Interpolated text is not interpolated again, so a variable cannot inject another placeholder. Spans remain those of
//! the written string. `{Name}` without `$` belongs to templates and header transforms. Values of environment variables
//! such as `Routes__0__Key` are not interpolated.

use super::codes;
use super::diagnostics::Diagnostics;
use super::encoding::decode_without_mark;
use super::files::read_limited;
use super::node::{Node, Value};
use super::span::Span;
use std::io;
use std::path::Path;

/// Maximum size in bytes of a file that a placeholder names; secrets are small.
pub const MAX_SECRET: u64 = 1 << 20;

/// The source of placeholder values: the process environment and the file system, or test doubles.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    pub variable: &'e dyn Fn(&str) -> Option<String>,
    /// Reads a whole file; must fail if the file is larger than the limit.
    pub read: &'e dyn Fn(&Path, u64) -> io::Result<Vec<u8>>,
}

impl Environment<'static> {
    /// The environment variables and the file system of this process.
    pub fn of_process() -> Self {
        Environment { variable: &|name| std::env::var(name).ok(), read: &read_limited }
    }
}

/// Interpolates every string value of a tree.
pub fn interpolate(node: &mut Node, environment: Environment, diagnostics: &mut Diagnostics) {
    match &mut node.value {
        Value::String(text) if !node.interpolated && text.contains("${") => {
            let mut interpolator = Interpolator { environment, span: node.span, diagnostics, failed: false };
            *text = interpolator.interpolate(text).into();
            node.interpolated = true;
            if interpolator.failed {
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
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                result.push_str(&rest[..at - 1]);
                result.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            result.push_str(&rest[..at]);
            let Some(length) = rest[at..].find('}') else {
                self.report_malformed(format!("the placeholder {} is never closed", name_part(&rest[at..])));
                return result;
            };
            result.push_str(&self.value(&rest[at + 2..at + length]));
            rest = &rest[at + length + 1..];
        }
        result.push_str(rest);
        result
    }

    /// The value of the text between the braces.
    fn value(&mut self, inner: &str) -> String {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.read_secret_file(path);
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            self.report_malformed(format!("invalid placeholder ${{{}}}", name_part(inner)));
            return String::new();
        }
        if default.is_some_and(|default| default.contains("${")) {
            self.report_malformed(format!("the default of ${{{name}}} contains another placeholder"));
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
            .error(codes::UNSET_VARIABLE, self.span, format!("environment variable {name} is not set"))
            .help(format!("set it, or add a default: ${{{name}:-value}}"));
        String::new()
    }

    /// The text of a file without the byte order mark and the trailing line break that editors add.
    fn read_secret_file(&mut self, path: &str) -> String {
        if path.trim().is_empty() {
            self.report_malformed("${file:} has no path".to_owned());
            return String::new();
        }
        let reason = match (self.environment.read)(Path::new(path), MAX_SECRET).map(decode_without_mark) {
            Ok(Ok(text)) => return without_line_end(text),
            Ok(Err(error)) => format!("it {}", error.message),
            Err(error) => error.to_string(),
        };
        self.failed = true;
        let message = format!("cannot read the file {path}: {reason}");
        self.diagnostics
            .error(codes::UNREADABLE_SECRET, self.span, message)
            .help("create the file, readable for the user of the gateway; the path is relative to its working directory");
        String::new()
    }

    fn report_malformed(&mut self, message: String) {
        self.failed = true;
        self.diagnostics
            .error(codes::BAD_PLACEHOLDER, self.span, message)
            .help("placeholders are ${NAME}, ${NAME:-default} and ${file:/path}; $${ is a literal ${");
    }
}

/// Names of environment variables as in shells; `.` and `-` because .NET and Kubernetes allow them.
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

/// The beginning of a text, for messages.
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
            "NESTED" => Some("${PORT}".into()),
            _ => None,
        }
    }

    fn read(path: &Path, _: u64) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/run/secrets/key") => Ok(b"s3cret\r\n".to_vec()),
            Some("/bytes") => Ok(vec![0xff]),
            Some("/marked") => Ok(b"\xef\xbb\xbfs3cret\n".to_vec()),
            Some("/utf-16") => Ok(b"\xff\xfes\x003\0\r\0\n\0".to_vec()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }

    fn interpolated(text: &str) -> (Node, Vec<Diagnostic>) {
        let mut diagnostics = Diagnostics::default();
        let json = serde_json::json!({ "a": [text] }).to_string();
        let mut node = parse(FileId(0), &json, Dialect::default(), &mut diagnostics).unwrap();
        interpolate(&mut node, Environment { variable: &variable, read: &read }, &mut diagnostics);
        (node.get_ignore_case("a").unwrap().items()[0].clone(), diagnostics.list)
    }

    fn value(text: &str) -> String {
        let (node, errors) = interpolated(text);
        assert!(errors.is_empty(), "{errors:?}");
        node.as_str().unwrap().to_owned()
    }

    fn error(text: &str) -> (&'static str, String) {
        let (_, errors) = interpolated(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].span.is_some());
        (errors[0].code.0, errors[0].message.clone())
    }

    #[test]
    fn variables_are_interpolated_within_longer_strings() {
        assert_eq!(value("${PORT}"), "8080");
        assert_eq!(value("http://localhost:${PORT}/x${PORT}"), "http://localhost:8080/x8080");
    }

    #[test]
    fn a_default_replaces_an_unset_or_empty_variable() {
        assert_eq!(value("${NONE:-9101}"), "9101");
        assert_eq!(value("${EMPTY:-9101}"), "9101");
        assert_eq!(value("${PORT:-9101}"), "8080");
        assert_eq!(value("[${NONE:-}]"), "[]");
        assert_eq!(value("[${EMPTY}]"), "[]");
    }

    #[test]
    fn the_trailing_line_break_of_a_file_is_removed() {
        assert_eq!(value("${file:/run/secrets/key}"), "s3cret");
        assert_eq!(value("${file:/marked}"), "s3cret");
        assert_eq!(value("${file:/utf-16}"), "s3");
    }

    #[test]
    fn interpolated_text_is_not_interpolated_again() {
        assert_eq!(value("${NESTED}"), "${PORT}");
    }

    #[test]
    fn two_dollars_are_a_literal_dollar() {
        assert_eq!(value("$${PORT} ${PORT}"), "${PORT} 8080");
    }

    #[test]
    fn other_braces_and_dollars_are_unchanged() {
        for text in ["{BaseUrl}", "$1 {0} $", "/x/{id}", "a$b"] {
            let (node, errors) = interpolated(text);
            assert_eq!((node.as_str(), node.interpolated, errors.len()), (Some(text), false, 0));
        }
    }

    #[test]
    fn errors_have_a_span_and_a_message() {
        let unset = "environment variable NONE is not set".to_owned();
        assert_eq!(error("${NONE}"), ("MG0201", unset));
        assert_eq!(error("${file:/gone}").0, "MG0202");
        assert_eq!(
            error("${file:/bytes}").1,
            "cannot read the file /bytes: it is not UTF-8: invalid byte in line 1"
        );
        for text in ["${", "${}", "${a b}", "${NONE:-${PORT}}x", "${file:}", "${1}"] {
            assert_eq!(error(text).0, "MG0203", "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[${}:\\-a-zé ]{0,40}") {
            let _ = interpolated(&text);
        }
    }
}
