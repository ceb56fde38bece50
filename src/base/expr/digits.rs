//! JSON whose numbers keep the digits that they are written with.

use super::{
    convert::from_json,
    value::{Map, Value},
};
use serde_json::Value as Json;
use std::sync::Arc;

/// In front of the digits of a number while it is read as a text; a document that contains it is read without digits.
const MARK: &str = "\u{e000}";

/// Which numbers keep their digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// All that would be written in another way.
    All,
    /// Integers that no 64-bit integer holds.
    Large,
}

/// Reads a JSON document.
///
/// # Errors
///
/// It is not JSON.
pub fn parse_json(bytes: &[u8], digits: Digits) -> Result<Value, serde_json::Error> {
    let json: Json = serde_json::from_slice(bytes)?;
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let has_mark = || text.contains(MARK) || text.contains("\\ue000") || text.contains("\\uE000");
    match marked(text, digits).filter(|_| !has_mark()) {
        Some(marked) => serde_json::from_str(&marked).map(|json| from_marked(&json)),
        None => Ok(from_json(&json)),
    }
}

/// The document with marked texts in the place of numbers; `None`: no number needs its digits.
fn marked(text: &str, digits: Digits) -> Option<String> {
    let (mut result, mut rest, mut has_any) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => text_length(rest),
            '-' | '0'..='9' => {
                let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                rest.find(|c| !is_part(c)).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        let is_kept = c != '"' && (c == '-' || c.is_ascii_digit()) && keeps_digits(token, digits);
        if is_kept {
            has_any = true;
            result.extend(["\"", MARK, token, "\""]);
        } else {
            result.push_str(token);
        }
        rest = behind;
    }
    has_any.then_some(result)
}

/// The length of a text with its quotes.
fn text_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    (at + 1).min(bytes.len())
}

fn keeps_digits(token: &str, digits: Digits) -> bool {
    let is_integer = !token.contains(['.', 'e', 'E']);
    match digits {
        _ if is_integer => token.parse::<i64>().is_err() && token.parse::<u64>().is_err(),
        Digits::Large => false,
        Digits::All => token.parse::<f64>().is_ok_and(|number| number.to_string() != token),
    }
}

fn from_marked(json: &Json) -> Value {
    match json {
        Json::String(text) => match text.strip_prefix(MARK) {
            Some(digits) => Value::Digits(digits.into()),
            None => Value::text(text.as_str()),
        },
        Json::Array(items) => Value::list(items.iter().map(from_marked)),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| (Value::text(name.as_str()), from_marked(value));
            Value::Map(Arc::new(Map(members.iter().map(member).collect())))
        }
        other => from_json(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::expr::to_text;

    #[test]
    fn numbers_keep_their_digits() {
        let read = |json: &str, digits| match parse_json(json.as_bytes(), digits).unwrap() {
            Value::List(items) => {
                items.iter().map(|item| to_text(item).unwrap().unwrap().to_string()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let json = r#"[1.50, 2, "3.0\"", 12345678901234567890123, 1e2]"#;
        assert_eq!(read(json, Digits::All), ["1.50", "2", "3.0\"", "12345678901234567890123", "1e2"]);
        assert_eq!(read(json, Digits::Large)[..4], ["1.5", "2", "3.0\"", "12345678901234567890123"]);
        assert!(parse_json(b"[1.5.2]", Digits::All).is_err());
    }
}
