//! What operators find in a value.

use super::sql_words::may_be_sql;
use crate::waf::bytes::{contains, leading_integer};
use crate::waf::language::macros::MacroText;
use crate::waf::language::operator::{NumberTest, Operator, TextTest};
use crate::waf::language::pattern::Pattern;
use crate::waf::transform::url;
use std::net::IpAddr;

/// A match: the groups of the expression, or the matched text as group 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorMatch {
    /// Positions of the groups.
    pub groups: Vec<Option<(usize, usize)>>,
    /// The text of group 0 when it is not part of the value.
    pub text: Option<Vec<u8>>,
}

impl OperatorMatch {
    fn whole(value: &[u8]) -> Self {
        Self::span(0, value.len())
    }

    fn span(start: usize, end: usize) -> Self {
        Self { groups: vec![Some((start, end))], text: None }
    }
}

/// How much of a match is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Where it is.
    Span,
    /// All groups.
    Groups,
}

/// What an operator finds; `expand` returns the text of an argument with variables.
pub fn find(
    operator: &Operator,
    value: &[u8],
    detail: Detail,
    expand: impl Fn(&MacroText) -> Vec<u8>,
) -> Option<OperatorMatch> {
    match operator {
        Operator::Pattern(pattern) => find_pattern(pattern, value, detail),
        Operator::PatternText(text) => {
            let text = String::from_utf8_lossy(&expand(text)).into_owned();
            Pattern::new(&text, false).ok().and_then(|pattern| find_pattern(&pattern, value, detail))
        }
        Operator::Words(words) => words.find(value).map(|(start, end)| OperatorMatch::span(start, end)),
        Operator::Text(test, text) => match text.constant() {
            Some(text) => find_text(*test, value, text.as_bytes()),
            None => find_text(*test, value, &expand(text)),
        },
        Operator::Number(test, text) => {
            let wanted = match text.constant() {
                Some(text) => leading_integer(text.as_bytes()),
                None => leading_integer(&expand(text)),
            };
            compare(*test, leading_integer(value), wanted).then(|| OperatorMatch::whole(value))
        }
        Operator::Networks(networks) => {
            let address: IpAddr = std::str::from_utf8(value).ok()?.parse().ok()?;
            networks.iter().any(|network| network.contains(address)).then(|| OperatorMatch::whole(value))
        }
        operator => find_invalid(operator, value),
    }
}

fn find_invalid(operator: &Operator, value: &[u8]) -> Option<OperatorMatch> {
    match operator {
        Operator::SqlInjection => find_sql(value),
        Operator::Script => {
            let found = libinjectionrs::detect_xss(value);
            matches!(found, libinjectionrs::XssResult::Xss).then(|| OperatorMatch::whole(value))
        }
        Operator::ByteRange(allowed) => {
            let at = value.iter().position(|byte| !allowed.has(*byte))?;
            Some(OperatorMatch::span(at, at + 1))
        }
        Operator::UrlEncoding => url::has_invalid_escape(value).then(|| OperatorMatch::whole(value)),
        Operator::Utf8 => std::str::from_utf8(value).is_err().then(|| OperatorMatch::whole(value)),
        Operator::Always => Some(OperatorMatch::whole(value)),
        _ => None,
    }
}

fn find_sql(value: &[u8]) -> Option<OperatorMatch> {
    if !may_be_sql(value) {
        return None;
    }
    let found = libinjectionrs::detect_sqli(value);
    found.is_injection().then(|| OperatorMatch {
        text: found.fingerprint.map(|fingerprint| fingerprint.as_str().as_bytes().to_vec()),
        ..OperatorMatch::whole(value)
    })
}

fn find_pattern(pattern: &Pattern, value: &[u8], detail: Detail) -> Option<OperatorMatch> {
    if !pattern.is_match(value) {
        return None;
    }
    match detail {
        Detail::Groups => pattern.captures(value).map(|groups| OperatorMatch { groups, text: None }),
        Detail::Span => pattern.find(value).map(|(start, end)| OperatorMatch::span(start, end)),
    }
}

fn find_text(test: TextTest, value: &[u8], wanted: &[u8]) -> Option<OperatorMatch> {
    let is_found = match test {
        TextTest::Contains => {
            let at = memchr::memmem::find(value, wanted)?;
            return Some(OperatorMatch::span(at, at + wanted.len()));
        }
        TextTest::Within => contains(wanted, value),
        TextTest::Equals => value == wanted,
        TextTest::BeginsWith => value.starts_with(wanted),
        TextTest::EndsWith => value.ends_with(wanted),
    };
    is_found.then(|| OperatorMatch::whole(value))
}

fn compare(test: NumberTest, value: i64, wanted: i64) -> bool {
    match test {
        NumberTest::Equal => value == wanted,
        NumberTest::GreaterOrEqual => value >= wanted,
        NumberTest::Greater => value > wanted,
        NumberTest::LessOrEqual => value <= wanted,
        NumberTest::Less => value < wanted,
    }
}
