//! Error reporting and recovery: where parsing continues after an error.

use super::{ParseAborted, Parser, Step};
use crate::config::codes;
use crate::config::diagnostics::{Code, Diagnostic};
use crate::config::node::Member;
use crate::config::span::{Span, Spanned};

/// Parsing stops after this number of syntax errors.
pub(super) const MAX_ERRORS: usize = 30;
/// Up to this number of members, duplicates are found by pairwise comparison.
const LINEAR_SCAN_LIMIT: usize = 32;

impl Parser<'_> {
    pub(super) fn stray_comma(&mut self) -> Step<()> {
        let at = self.pos;
        self.error(codes::SYNTAX, at, at + 1, "expected a value, found `,`").help("remove the comma");
        self.pos += 1;
        self.check_errors()
    }

    /// A `}` instead of `]`, or vice versa. True if it most likely closes an outer bracket, so that the inner one ends
    /// here without its own.
    pub(super) fn wrong_closer(&mut self, found: u8) -> Step<bool> {
        let opened = self.opening_delimiter();
        let outer = self.open.iter().rev().skip(1).any(|&at| closer_of(self.bytes[at]) == found);
        let here = *self.open.last().unwrap_or(&0);
        let expected = closer_of(*self.bytes.get(here).unwrap_or(&b'{')) as char;
        let message = format!("expected `{expected}`, found `{}`", found as char);
        self.fatal(codes::UNCLOSED_BRACE, self.pos, self.pos + 1, message)
            .help(format!("the unclosed `{}` was opened {opened}", opener_of(expected)));
        if !outer {
            self.pos += 1;
        }
        self.check_errors()?;
        Ok(outer)
    }

    /// The end of the file within an object or a list.
    pub(super) fn unclosed<T>(&mut self) -> Step<T> {
        let Some(&at) = self.open.last() else {
            self.fatal(codes::SYNTAX, self.pos, self.pos, "expected a value, found the end of the file");
            return Err(ParseAborted);
        };
        if self.errors != usize::MAX {
            let opener = self.bytes[at] as char;
            let closer = closer_of(self.bytes[at]) as char;
            self.fatal(codes::UNCLOSED_BRACE, at, at + 1, format!("unclosed `{opener}`"))
                .help(format!("the file ends without the matching `{closer}`"));
        }
        self.errors = usize::MAX;
        Err(ParseAborted)
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Step<T> {
        let at = self.pos;
        let end = self.end_of_token(at);
        let found = self.text.get(at..end).unwrap_or("?").to_owned();
        self.fatal(codes::SYNTAX, at, end, format!("expected {expected}, found `{found}`"));
        Err(ParseAborted)
    }

    /// After an error without an obvious meaning: continues at the next comma or closing bracket of this level.
    pub(super) fn synchronize(&mut self) -> Step<()> {
        self.check_errors()?;
        let mut depth = 0usize;
        while let Some(c) = self.peek() {
            match c {
                b'"' => self.skip_string(),
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return Ok(()),
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return Ok(()),
                _ => {}
            }
            self.pos += 1;
        }
        self.unclosed()
    }

    pub(super) fn check_errors(&self) -> Step<()> {
        if self.errors < MAX_ERRORS { Ok(()) } else { Err(ParseAborted) }
    }

    pub(super) fn reject_duplicate_keys(&mut self, members: &mut Vec<Member>) {
        let mut at = 1;
        if members.len() > LINEAR_SCAN_LIMIT {
            return self.reject_duplicate_keys_hashed(members);
        }
        while at < members.len() {
            let name = &members[at].key.value;
            match members[..at].iter().position(|m| m.key.value.eq_ignore_ascii_case(name)) {
                Some(first) if &**name != "//" => {
                    let (first, second) = (members[first].key.span, members.remove(at).key);
                    self.report_duplicate_key(first, &second);
                }
                _ => at += 1,
            }
        }
    }

    pub(super) fn reject_duplicate_keys_hashed(&mut self, members: &mut Vec<Member>) {
        let mut seen = std::collections::HashMap::with_capacity(members.len());
        members.retain(|member| match seen.entry(member.key.value.to_ascii_lowercase()) {
            _ if &*member.key.value == "//" => true,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(member.key.span);
                true
            }
            std::collections::hash_map::Entry::Occupied(first) => {
                self.report_duplicate_key(*first.get(), &member.key);
                false
            }
        });
    }

    pub(super) fn report_duplicate_key(&mut self, first: Span, second: &Spanned<Box<str>>) {
        let place = self.location(first.start as usize);
        self.diagnostics
            .error(codes::DUPLICATE_KEY, second.span, format!("duplicate setting \"{}\"", second.value))
            .help(format!("it is first set {place}; names are case-insensitive"));
    }

    /// An error with an obvious meaning: parsing continues as if it were corrected.
    pub(super) fn error(
        &mut self,
        code: Code,
        start: usize,
        end: usize,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.errors = self.errors.saturating_add(1);
        if self.errors > MAX_ERRORS {
            return self.diagnostics.sink();
        }
        self.diagnostics.error(code, self.span(start, end), message)
    }

    /// An error after which the tree is unreliable.
    pub(super) fn fatal(
        &mut self,
        code: Code,
        start: usize,
        end: usize,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.recoverable = false;
        self.error(code, start, end, message)
    }

    pub(super) fn fatal_at_cursor(&mut self, code: Code, span: Span, message: String) {
        self.fatal(code, span.start as usize, span.end as usize, message);
    }

    pub(super) fn opening_delimiter(&self) -> String {
        self.location(*self.open.last().unwrap_or(&0))
    }

    /// "at line 3, column 7": counted from the start of the file, for messages only.
    pub(super) fn location(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("at line {line}, column {column}")
    }
}

fn closer_of(opener: u8) -> u8 {
    if opener == b'[' { b']' } else { b'}' }
}

fn opener_of(closer: char) -> char {
    if closer == ']' { '[' } else { '{' }
}
