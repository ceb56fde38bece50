//! What happens at a mistake: how it is said, and where reading goes on.

use super::{ParseAborted, Parser, Step};
use crate::config::codes;
use crate::config::diagnostics::{Code, Diagnostic};
use crate::config::node::Member;
use crate::config::span::{Span, Spanned};

/// After so many syntax errors the rest is noise.
pub(super) const MAX_ERRORS: usize = 30;
/// Up to so many members, doubles are found by comparing each with each.
const LINEAR_SCAN_LIMIT: usize = 32;

impl Parser<'_> {
    pub(super) fn stray_comma(&mut self) -> Step<()> {
        let at = self.pos;
        self.error(codes::SYNTAX, at, at + 1, "there is no value before this comma").help("remove the comma");
        self.pos += 1;
        self.check_errors()
    }

    /// A `}` where `]` is due, or the other way round. True when it most likely closes something further out,
    /// so that this one ends here without a closer.
    pub(super) fn wrong_closer(&mut self, found: u8) -> Step<bool> {
        let opened = self.opening_delimiter();
        let outer = self.open.iter().rev().skip(1).any(|&at| closer_of(self.bytes[at]) == found);
        let here = *self.open.last().unwrap_or(&0);
        let due = closer_of(*self.bytes.get(here).unwrap_or(&b'{')) as char;
        let message = format!("'{}' stands where '{due}' is due", found as char);
        self.fatal(codes::UNCLOSED_BRACE, self.pos, self.pos + 1, message)
            .help(format!("the '{}' that is still open was opened {opened}", opener_of(due)));
        if !outer {
            self.pos += 1;
        }
        self.check_errors()?;
        Ok(outer)
    }

    /// The end of the file inside an object or a list.
    pub(super) fn unclosed<T>(&mut self) -> Step<T> {
        let Some(&at) = self.open.last() else {
            self.fatal(codes::SYNTAX, self.pos, self.pos, "the file ends where a value is due");
            return Err(ParseAborted);
        };
        if self.errors != usize::MAX {
            let opener = self.bytes[at] as char;
            let closer = closer_of(self.bytes[at]) as char;
            self.fatal(codes::UNCLOSED_BRACE, at, at + 1, format!("this '{opener}' is never closed"))
                .help(format!("the file ends without its '{closer}'"));
        }
        self.errors = usize::MAX;
        Err(ParseAborted)
    }

    pub(super) fn unexpected<T>(&mut self, wanted: &str) -> Step<T> {
        let at = self.pos;
        let end = self.end_of_token(at);
        let found = self.text.get(at..end).unwrap_or("?").to_owned();
        self.fatal(codes::SYNTAX, at, end, format!("{wanted} is due here, not {found}"));
        Err(ParseAborted)
    }

    /// After a mistake without an obvious meaning: goes on at the next comma or closer of this level.
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
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(member.key.span);
                true
            }
            std::collections::hash_map::Entry::Occupied(taken) => {
                self.report_duplicate_key(*taken.get(), &member.key);
                false
            }
        });
    }

    pub(super) fn report_duplicate_key(&mut self, first: Span, second: &Spanned<Box<str>>) {
        let place = self.place(first.start as usize);
        self.diagnostics
            .error(
                codes::DUPLICATE_KEY,
                second.span,
                format!("\"{}\" is set twice in one object", second.value),
            )
            .help(format!("it was first set {place}; names are compared without regard to case"));
    }

    /// A mistake whose meaning is plain: reading goes on as if it were not there.
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

    /// A mistake after which the tree cannot be trusted.
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
        self.place(*self.open.last().unwrap_or(&0))
    }

    /// "at line 3, column 7": counted from the start, for messages only.
    pub(super) fn place(&self, at: usize) -> String {
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
