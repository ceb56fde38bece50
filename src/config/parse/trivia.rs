//! Trivia between tokens: whitespace and comments.

use super::{ParseAborted, Parser, Step};
use crate::config::codes;

impl Parser<'_> {
    /// Skips whitespace and comments.
    pub(super) fn skip_trivia(&mut self) -> Step<()> {
        while let Some(c) = self.peek() {
            match c {
                b' ' | b'\n' | b'\r' | b'\t' => self.pos += 1,
                b'/' => self.comment()?,
                b'#' => self.hash_comment(),
                0xC2 | 0xE3 | 0xEF | 0xE2 if self.non_json_whitespace() => {}
                _ => break,
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Step<()> {
        let start = self.pos;
        match self.bytes.get(start + 1) {
            Some(b'/') => self.skip_line(),
            Some(b'*') => match memchr::memmem::find(&self.bytes[start + 2..], b"*/") {
                Some(length) => self.pos = start + 2 + length + 2,
                None => {
                    self.fatal(codes::UNCLOSED_BRACE, start, start + 2, "unclosed comment")
                        .help("a comment that begins with `/*` ends with `*/`");
                    self.errors = usize::MAX;
                    return Err(ParseAborted);
                }
            },
            _ => {
                self.error(codes::SYNTAX, start, start + 1, "unexpected `/`")
                    .help("comments begin with `//`, or are enclosed in `/*` and `*/`");
                self.pos += 1;
                return self.check_errors();
            }
        }
        Ok(())
    }

    fn hash_comment(&mut self) {
        let start = self.pos;
        self.error(codes::SYNTAX, start, start + 1, "`#` does not begin a comment")
            .help("comments begin with `//`");
        self.skip_line();
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.pos..];
        self.pos += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// Characters that look like whitespace but are not in JSON, often pasted from a web page.
    fn non_json_whitespace(&mut self) -> bool {
        let rest = self.text.get(self.pos..).unwrap_or_default();
        let Some(c) =
            rest.chars().next().filter(|c| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
        else {
            return false;
        };
        let start = self.pos;
        self.pos += c.len_utf8();
        let message = format!("U+{:04X} is not whitespace in JSON", c as u32);
        self.error(codes::SYNTAX, start, self.pos, message).help("replace it with an ordinary space");
        true
    }
}
