//! A JSON parser with spans and error recovery: every key and value has its source span, comments and trailing commas
//! are allowed, and a syntax error does not hide the following ones (panic-mode recovery).
//!
//! Two dialects: JSON with comments, and Ocelot's, which also accepts single quotes and unquoted names, as Newtonsoft's
//! reader does. Everything else is strict. Input is untrusted: depth and size are bounded, and no text causes a panic.
//! Entry point: [`parse`]; callers are `load` and `policies`.

mod recover;
mod scalar;
mod trivia;

use super::codes;
use super::diagnostics::Diagnostics;
use super::node::{Member, Node, Value};
use super::span::{FileId, Span, Spanned};

/// Maximum nesting depth of objects and arrays, as in .NET's reader.
const MAX_DEPTH: usize = 64;

/// The dialect of JSON that a file may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Accepts single-quoted strings and unquoted names, as Newtonsoft's reader does.
    pub single_quotes: bool,
}

/// Parses one file. `None` if an error makes the tree unreliable; errors with an obvious meaning (a missing comma, a
/// repeated one, single quotes) are reported, and the tree is returned.
pub fn parse(file: FileId, text: &str, dialect: Dialect, diagnostics: &mut Diagnostics) -> Option<Node> {
    let bytes = text.as_bytes();
    let mut parser = Parser {
        file,
        text,
        bytes,
        pos: 0,
        dialect,
        diagnostics,
        open: Vec::new(),
        errors: 0,
        recoverable: true,
        corrupt: false,
    };
    if bytes.len() > u32::MAX as usize {
        parser.error(codes::FILE_TOO_LARGE, 0, 0, "the file is too large");
        return None;
    }
    if text.starts_with('\u{feff}') {
        parser.pos = 3;
    }
    let root = parser.document();
    root.filter(|_| parser.recoverable)
}

/// Parsing cannot continue at this level; the error was reported.
struct ParseAborted;

type Step<T> = Result<T, ParseAborted>;

struct Parser<'a> {
    file: FileId,
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    dialect: Dialect,
    diagnostics: &'a mut Diagnostics,
    /// The offsets of the open brackets that enclose the current position.
    open: Vec<usize>,
    errors: usize,
    /// Every error so far had one obvious meaning.
    recoverable: bool,
    /// The string just parsed contains an error: diagnostics about it are suppressed.
    corrupt: bool,
}

impl Parser<'_> {
    fn document(&mut self) -> Option<Node> {
        self.skip_trivia().ok()?;
        if self.pos >= self.bytes.len() {
            self.error(codes::EMPTY_FILE, 0, 0, "expected a JSON value, found an empty file")
                .help("an empty configuration is {}");
            return None;
        }
        let root = self.value().ok()?;
        self.skip_trivia().ok()?;
        if self.pos < self.bytes.len() {
            let at = self.pos;
            self.error(
                codes::TRAILING_TEXT,
                at,
                self.end_of_token(at),
                "trailing characters after the JSON value",
            )
            .help(
                "a file contains one value: remove the trailing characters, or the brace that closes the value too early",
            );
            return None;
        }
        Some(root)
    }

    fn value(&mut self) -> Step<Node> {
        let start = self.pos;
        let value = match self.peek() {
            Some(b'{') => self.parse_nested(start, Self::object)?,
            Some(b'[') => self.parse_nested(start, Self::array)?,
            Some(b'"') => Value::String(self.string(b'"')?),
            Some(b'\'') => Value::String(self.single_quoted()?),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number()?,
            Some(c) if is_word(c) => self.word()?,
            Some(_) => return self.unexpected("a value"),
            None => return self.unclosed(),
        };
        let span = self.span(start, self.pos);
        if std::mem::take(&mut self.corrupt) {
            self.diagnostics.suppress(span);
        }
        Ok(Node::new(span, value))
    }

    fn parse_nested(&mut self, start: usize, read: fn(&mut Self) -> Step<Value>) -> Step<Value> {
        if self.open.len() >= MAX_DEPTH {
            self.fatal(
                codes::TOO_DEEP,
                start,
                start + 1,
                format!("objects and lists are nested more than {MAX_DEPTH} levels deep"),
            );
            return Err(ParseAborted);
        }
        self.open.push(start);
        self.pos += 1;
        let value = read(self);
        self.open.pop();
        value
    }

    fn array(&mut self) -> Step<Value> {
        let mut items = Vec::new();
        loop {
            self.skip_trivia()?;
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.stray_comma()?,
                Some(b'}') => {
                    if self.wrong_closer(b'}')? {
                        return Ok(Value::Array(items));
                    }
                }
                _ => {
                    match self.value() {
                        Ok(item) => items.push(item),
                        Err(ParseAborted) => self.synchronize()?,
                    }
                    self.separator(b']')?;
                }
            }
        }
        self.pos += 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Step<Value> {
        let mut members = Vec::new();
        loop {
            self.skip_trivia()?;
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => self.stray_comma()?,
                Some(b']') => {
                    if self.wrong_closer(b']')? {
                        self.reject_duplicate_keys(&mut members);
                        return Ok(Value::Object(members));
                    }
                }
                _ => {
                    match self.member() {
                        Ok(member) => members.push(member),
                        Err(ParseAborted) => self.synchronize()?,
                    }
                    self.separator(b'}')?;
                }
            }
        }
        self.pos += 1;
        self.reject_duplicate_keys(&mut members);
        Ok(Value::Object(members))
    }

    fn member(&mut self) -> Step<Member> {
        let start = self.pos;
        let name = match self.peek() {
            Some(b'"') => self.string(b'"')?,
            Some(b'\'') => self.single_quoted()?,
            Some(c) if is_word(c) => self.unquoted_key(),
            Some(_) => return self.unexpected("a quoted name"),
            None => return self.unclosed(),
        };
        let key = Spanned::new(name, self.span(start, self.pos));
        self.skip_trivia()?;
        self.colon(&key)?;
        self.skip_trivia()?;
        Ok(Member { key, value: self.value()? })
    }

    fn colon(&mut self, key: &Spanned<Box<str>>) -> Step<()> {
        match self.peek() {
            Some(b':') => self.pos += 1,
            Some(b'=') => {
                let at = self.pos;
                self.error(codes::MISSING_COLON, at, at + 1, "expected `:` after the name, found `=`");
                self.pos += 1;
            }
            Some(b'}' | b']' | b',') => {
                self.fatal_at_cursor(
                    codes::MISSING_COLON,
                    key.span,
                    format!("missing value of \"{}\"", key.value),
                );
                return Err(ParseAborted);
            }
            Some(_) => {
                let end = key.span.end as usize;
                self.error(codes::MISSING_COLON, end, end, format!("missing `:` after \"{}\"", key.value));
            }
            None => return self.unclosed(),
        }
        Ok(())
    }

    /// After an item or a member: a comma, the closing bracket (left to the caller), or a missing comma.
    fn separator(&mut self, closer: u8) -> Step<()> {
        let end = self.pos;
        self.skip_trivia()?;
        match self.peek() {
            Some(b',') => self.pos += 1,
            Some(c) if c == closer || matches!(c, b'}' | b']') => {}
            None => return self.unclosed(),
            Some(b':') if closer == b']' => {
                let opened = self.opening_delimiter();
                self.fatal(codes::SYNTAX, self.pos, self.pos + 1, "expected `,` or `]`, found `:`")
                    .help(format!("the list was opened {opened}; named members belong between {{ and }}"));
                return self.synchronize();
            }
            Some(c)
                if c == b'"'
                    || c == b'\''
                    || c == b'{'
                    || c == b'['
                    || c == b'-'
                    || is_word(c)
                    || c.is_ascii_digit() =>
            {
                self.error(codes::MISSING_COMMA, end, end, "missing `,`")
                    .help("add a comma after this value");
            }
            Some(_) => {
                let _: Step<()> = self.unexpected("`,` or a closing bracket");
                return self.synchronize();
            }
        }
        self.check_errors()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    /// The end of the word, or of the single character, at an offset.
    fn end_of_token(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let word = rest.bytes().take_while(|&b| is_word(b)).take(40).count();
        at + if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) }
    }
}

/// Whether the byte may be part of an unquoted word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

#[cfg(test)]
mod tests;
