//! Strings, numbers and unquoted words.

use super::{ParseAborted, Parser, Step, is_word};
use crate::config::codes;
use crate::config::node::Value;

impl Parser<'_> {
    /// A string; the position is at its opening quote.
    pub(super) fn string(&mut self, quote: u8) -> Step<Box<str>> {
        let start = self.pos;
        self.pos += 1;
        let from = self.pos;
        loop {
            match self.peek() {
                Some(c) if c == quote => {
                    let text = self.text.get(from..self.pos).unwrap_or_default();
                    self.pos += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => return self.string_with_escapes(start, quote),
                Some(c) if c >= b' ' => self.pos += 1,
                Some(b'\t') => self.raw_tab(),
                Some(b'\n' | b'\r') | None => return self.unclosed_string(start),
                Some(_) => self.control_character(),
            }
        }
    }

    pub(super) fn single_quoted(&mut self) -> Step<Box<str>> {
        let start = self.pos;
        let text = self.string(b'\'')?;
        if !self.dialect.single_quotes {
            self.error(
                codes::SINGLE_QUOTES,
                start,
                self.pos,
                "expected a double-quoted string, found single quotes",
            )
            .help(
                "replace ' with \"; single quotes are accepted only in ocelot*.json and with --compat ocelot",
            );
        }
        Ok(text)
    }

    /// An unquoted name: valid in Ocelot's dialect only.
    pub(super) fn unquoted_key(&mut self) -> Box<str> {
        let start = self.pos;
        while self.peek().is_some_and(|c| is_word(c) || c == b'-') {
            self.pos += 1;
        }
        let name = self.text.get(start..self.pos).unwrap_or_default().to_owned();
        if !self.dialect.single_quotes {
            self.error(codes::BAD_WORD, start, self.pos, format!("unquoted name `{name}`"))
                .help(format!("write \"{name}\""));
        }
        name.into()
    }

    /// The slow path, from the first backslash on.
    fn string_with_escapes(&mut self, start: usize, quote: u8) -> Step<Box<str>> {
        let mut unescaped = self.text.get(start + 1..self.pos).unwrap_or_default().to_owned();
        loop {
            match self.peek() {
                Some(c) if c == quote => {
                    self.pos += 1;
                    return Ok(unescaped.into());
                }
                Some(b'\\') => self.escape(&mut unescaped),
                Some(b'\n' | b'\r') | None => return self.unclosed_string(start),
                Some(_) => self.unescaped_run(quote, &mut unescaped),
            }
        }
    }

    fn unescaped_run(&mut self, quote: u8, buffer: &mut String) {
        let from = self.pos;
        while let Some(c) = self.peek() {
            match c {
                b'\\' | b'\n' | b'\r' => break,
                c if c == quote => break,
                b'\t' => self.raw_tab(),
                c if c < b' ' => self.control_character(),
                _ => self.pos += 1,
            }
        }
        buffer.push_str(self.text.get(from..self.pos).unwrap_or_default());
    }

    fn escape(&mut self, buffer: &mut String) {
        let start = self.pos;
        self.pos += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'\'') if self.dialect.single_quotes => '\'',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let c = self.unicode_escape(start);
                return buffer.push(c);
            }
            _ => return self.bad_escape(start, "unknown escape sequence"),
        };
        self.pos += 1;
        buffer.push(plain);
    }

    fn bad_escape(&mut self, start: usize, message: &str) {
        self.corrupt = true;
        let end = (self.pos
            + self.text.get(self.pos..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8))
        .max(start + 1);
        self.error(codes::BAD_ESCAPE, start, end, message).help(
            "a literal backslash is \\\\; the escape sequences are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX",
        );
    }

    /// `\uXXXX`, or a surrogate pair of them; the position is at the `u`.
    fn unicode_escape(&mut self, start: usize) -> char {
        self.pos += 1;
        let Some(first) = self.four_hex() else {
            self.bad_escape(start, "expected four hexadecimal digits after \\u");
            return char::REPLACEMENT_CHARACTER;
        };
        let code = match first {
            0xD800..=0xDBFF => self.low_surrogate(first),
            other => Some(u32::from(other)),
        };
        code.and_then(char::from_u32).unwrap_or_else(|| {
            self.bad_escape(start, "lone surrogate");
            char::REPLACEMENT_CHARACTER
        })
    }

    fn low_surrogate(&mut self, first: u16) -> Option<u32> {
        let before = self.pos;
        if self.bytes.get(self.pos..self.pos + 2) == Some(b"\\u") {
            self.pos += 2;
            if let Some(second @ 0xDC00..=0xDFFF) = self.four_hex() {
                return Some(0x10000 + ((u32::from(first) - 0xD800) << 10) + (u32::from(second) - 0xDC00));
            }
        }
        self.pos = before;
        None
    }

    fn four_hex(&mut self) -> Option<u16> {
        let digits = self.bytes.get(self.pos..self.pos + 4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let code = u16::from_str_radix(self.text.get(self.pos..self.pos + 4)?, 16).ok()?;
        self.pos += 4;
        Some(code)
    }

    fn raw_tab(&mut self) {
        if !self.dialect.single_quotes {
            let at = self.pos;
            self.error(codes::BAD_ESCAPE, at, at + 1, "unescaped tab in a string").help("write \\t");
        }
        self.pos += 1;
    }

    fn control_character(&mut self) {
        let at = self.pos;
        let code = self.bytes[at];
        self.error(
            codes::BAD_ESCAPE,
            at,
            at + 1,
            format!("unescaped control character U+{code:04X} in a string"),
        )
        .help(format!("write \\u{code:04x}"));
        self.pos += 1;
    }

    fn unclosed_string<T>(&mut self, start: usize) -> Step<T> {
        self.fatal(codes::UNCLOSED_STRING, start, self.pos, "unterminated string")
            .help("a string ends on the line where it begins; a line break in a string is \\n");
        Err(ParseAborted)
    }

    /// Skips a string during recovery.
    pub(super) fn skip_string(&mut self) {
        let start = self.pos;
        loop {
            self.pos += 1;
            match self.peek() {
                Some(b'"') => return,
                Some(b'\\') => self.pos += 1,
                Some(b'\n') | None => {
                    self.pos = start;
                    return;
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn number(&mut self) -> Step<Value> {
        let start = self.pos;
        while self.peek().is_some_and(|c| is_word(c) || matches!(c, b'+' | b'-' | b'.')) {
            self.pos += 1;
        }
        let text = self.text.get(start..self.pos).unwrap_or_default();
        if is_json_number(text.as_bytes()) {
            return Ok(Value::Number(text.into()));
        }
        let text = text.to_owned();
        let error = self.error(codes::BAD_NUMBER, start, self.pos, format!("invalid number `{text}`"));
        error.help(number_suggestion(&text));
        let span = self.span(start, self.pos);
        self.diagnostics.suppress(span);
        Ok(Value::Number("0".into()))
    }

    pub(super) fn word(&mut self) -> Step<Value> {
        let start = self.pos;
        while self.peek().is_some_and(|c| is_word(c) || matches!(c, b'-' | b'.' | b'+')) {
            self.pos += 1;
        }
        let word = self.text.get(start..self.pos).unwrap_or_default();
        Ok(match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => self.unexpected_word(start, word.to_owned()),
        })
    }

    fn unexpected_word(&mut self, start: usize, word: String) -> Value {
        let (help, value) = match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => ("write true".to_owned(), Value::Bool(true)),
            "false" | "no" | "off" => ("write false".to_owned(), Value::Bool(false)),
            "none" | "nil" | "null" | "undefined" => ("write null".to_owned(), Value::Null),
            _ => (format!("a string is quoted: \"{word}\""), Value::String(word.as_str().into())),
        };
        self.error(codes::BAD_WORD, start, self.pos, format!("expected a value, found `{word}`")).help(help);
        value
    }
}

/// RFC 8259, section 6.
fn is_json_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn number_suggestion(text: &str) -> String {
    if text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.starts_with("0x") {
        return format!("a value with a unit is a string: \"{text}\"");
    }
    "a number has no leading zeros, no plus sign, no hexadecimal digits, and digits on both sides of the decimal point".to_owned()
}
