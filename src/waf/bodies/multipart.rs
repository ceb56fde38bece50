//! `multipart/form-data` (RFC 7578), parsed as it arrives: fields are kept, of files only the names and sizes.

use super::disposition::Disposition;
use crate::base::bytes::is_token;
use crate::waf::request::parts::{Kind, Request, Source, Span, Value};

/// The bytes of the header of one part.
const MAX_HEADER_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In front of the first boundary.
    Start,
    /// Behind a boundary, before the end of its line.
    Delimiter,
    /// In the header of a part.
    Header,
    /// In the content of a part.
    Content,
    /// Behind the last boundary.
    End,
}

/// A parser that holds what it needs for the next decision.
#[derive(Debug)]
pub struct MultipartParser {
    /// `--boundary`.
    delimiter: Vec<u8>,
    state: State,
    pending: Vec<u8>,
    /// The lines of the header of the current part.
    lines: Vec<Vec<u8>>,
    name: Vec<u8>,
    file_name: Option<Vec<u8>>,
    content: Vec<u8>,
    file_bytes: u64,
    /// The first violation of the grammar.
    error: Option<&'static str>,
}

impl MultipartParser {
    /// A parser for a boundary without its dashes.
    pub fn new(boundary: &[u8]) -> Self {
        Self {
            delimiter: [b"--", boundary].concat(),
            state: State::Start,
            pending: Vec::new(),
            lines: Vec::new(),
            name: Vec::new(),
            file_name: None,
            content: Vec::new(),
            file_bytes: 0,
            error: None,
        }
    }

    /// The bytes of the file that is being read; none inside of a field or between parts.
    pub fn open_file_bytes(&self) -> Option<u64> {
        (self.state == State::Content && self.file_name.is_some()).then_some(self.file_bytes)
    }

    /// The first violation of the grammar.
    pub fn error(&self) -> Option<&'static str> {
        self.error
    }

    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8], request: &mut Request) {
        self.pending.extend_from_slice(bytes);
        while self.step(request) {}
    }

    /// Ends the body. `is_cut` is true when the rest of the body is not inspected.
    pub fn finish(&mut self, is_cut: bool, request: &mut Request) {
        match self.state {
            State::End if !self.pending.is_empty() && !self.pending.iter().all(u8::is_ascii_whitespace) => {
                self.fail("data after the last boundary");
            }
            State::End => {}
            State::Content => {
                let rest = std::mem::take(&mut self.pending);
                self.add_content(&rest);
                self.finish_part(request);
                self.fail_unless(is_cut, "multipart without its last boundary");
            }
            State::Delimiter if self.pending == b"--" => {}
            _ => self.fail_unless(is_cut, "multipart without its last boundary"),
        }
    }

    fn fail_unless(&mut self, is_expected: bool, message: &'static str) {
        if !is_expected {
            self.fail(message);
        }
    }

    fn fail(&mut self, message: &'static str) {
        self.error.get_or_insert(message);
    }

    /// Makes one step with what is pending; returns whether another one is possible.
    fn step(&mut self, request: &mut Request) -> bool {
        match self.state {
            State::Start => self.read_start(),
            State::Delimiter => self.read_delimiter_end(),
            State::Header => self.read_header_line(request),
            State::Content => self.read_content(request),
            State::End => false,
        }
    }

    fn read_start(&mut self) -> bool {
        let found = memchr::memmem::find_iter(&self.pending, &self.delimiter)
            .find(|at| *at == 0 || self.pending[at - 1] == b'\n');
        let Some(at) = found else {
            let kept = self.delimiter.len();
            if self.pending.len() > kept + 2 {
                self.fail("data before the first boundary");
                let removed = self.pending.len() - kept;
                self.pending.drain(..removed);
            }
            return false;
        };
        if self.pending[..at].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.fail("data before the first boundary");
        }
        self.pending.drain(..at + self.delimiter.len());
        self.state = State::Delimiter;
        true
    }

    /// Behind `--boundary`: the end of the line, or `--`.
    fn read_delimiter_end(&mut self) -> bool {
        if self.pending.len() < 2 {
            return false;
        }
        if self.pending.starts_with(b"--") {
            self.pending.drain(..2);
            self.state = State::End;
            return true;
        }
        let Some(end) = memchr::memchr(b'\n', &self.pending) else { return self.is_line_too_long() };
        if self.pending[..end] != *b"\r" {
            let is_bare = self.pending[..end].iter().all(|byte| matches!(byte, b' ' | b'\t'));
            self.fail(if is_bare { "bare LF in a multipart body" } else { "data behind a boundary" });
        }
        self.pending.drain(..=end);
        self.state = State::Header;
        true
    }

    fn is_line_too_long(&mut self) -> bool {
        if self.pending.len() > MAX_HEADER_BYTES {
            self.fail("the header of a part is too long");
            self.pending.clear();
        }
        false
    }

    fn read_header_line(&mut self, request: &mut Request) -> bool {
        let Some(end) = memchr::memchr(b'\n', &self.pending) else { return self.is_line_too_long() };
        let mut line: Vec<u8> = self.pending.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        } else {
            self.fail("bare LF in a multipart body");
        }
        if line.is_empty() {
            self.finish_header(request);
            return true;
        }
        // A body that is cut short may have a boundary instead of the rest of a header.
        if line.starts_with(&self.delimiter) {
            self.fail("a part without content");
        }
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            self.fail("folded header of a part");
            if let Some(before) = self.lines.last_mut() {
                before.extend_from_slice(&line);
                return true;
            }
        }
        self.lines.push(line);
        let held: usize = self.lines.iter().map(Vec::len).sum();
        if held > MAX_HEADER_BYTES {
            self.fail("the header of a part is too long");
            self.lines.pop();
        }
        true
    }

    fn finish_header(&mut self, request: &mut Request) {
        let lines = std::mem::take(&mut self.lines);
        let mut disposition: Option<Disposition> = None;
        let mut is_field = false;
        for line in &lines {
            let colon = memchr::memchr(b':', line);
            let name = &line[..colon.unwrap_or(0)];
            if !is_token(name) {
                self.fail("invalid header of a part");
            }
            if name.eq_ignore_ascii_case(b"content-disposition") {
                let value = Disposition::parse(&line[name.len() + 1..]);
                // Of two dispositions a backend may read either: the content is inspected if one is of a field.
                is_field |= value.file_name.is_none();
                disposition = Some(match disposition.take() {
                    None => value,
                    Some(first) => Disposition { file_name: first.file_name.or(value.file_name), ..first },
                });
            }
        }
        let disposition = disposition.unwrap_or(Disposition { is_invalid: true, ..Disposition::default() });
        if disposition.is_invalid {
            self.fail("invalid disposition of a part");
        }
        self.name = disposition.name.unwrap_or_default();
        self.file_name = disposition.file_name;
        self.add_part_headers(&lines, request);
        self.file_name = self.file_name.take().filter(|_| !is_field);
        self.state = State::Content;
    }

    fn add_part_headers(&self, lines: &[Vec<u8>], request: &mut Request) {
        let name = request.add_text(&self.name);
        for line in lines {
            let value = request.add_text(line);
            request.add(Kind::PartHeader, name, value);
        }
        let Some(file_name) = &self.file_name else { return };
        let value = request.add_text(file_name);
        let (kind, source, path) = (Kind::FileName, Source::Multipart, Span::default());
        request.add_named(Value { kind, source, name, value, path }, Kind::FileField);
    }

    /// Reads up to the next boundary; an empty part has it directly behind the header.
    fn read_content(&mut self, request: &mut Request) -> bool {
        let is_fresh = self.content.is_empty() && self.file_bytes == 0;
        if is_fresh && self.pending.starts_with(&self.delimiter) {
            return self.leave_content(0, 0, request);
        }
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&self.pending[from..], &self.delimiter).map(|at| from + at)
        {
            let after = &self.pending[at + self.delimiter.len()..];
            if after.len() < 2 {
                return self.keep_tail(self.pending.len().saturating_sub(self.delimiter.len() + 4));
            }
            let ends_line = at > 0 && self.pending[at - 1] == b'\n';
            let is_delimiter =
                after.starts_with(b"--") || after.trim_ascii_start().is_empty() || ends_early(after);
            if ends_line && is_delimiter {
                let has_return = at > 1 && self.pending[at - 2] == b'\r';
                self.fail_unless(has_return, "bare LF in a multipart body");
                return self.leave_content(at, 1 + usize::from(has_return), request);
            }
            if ends_line {
                self.fail("data behind a boundary");
            }
            from = at + 1;
        }
        self.keep_tail(self.pending.len().saturating_sub(self.delimiter.len() + 4))
    }

    /// Takes all but the end of what is pending as content.
    fn keep_tail(&mut self, length: usize) -> bool {
        let content: Vec<u8> = self.pending.drain(..length).collect();
        self.add_content(&content);
        false
    }

    fn leave_content(&mut self, at: usize, line_end: usize, request: &mut Request) -> bool {
        let content: Vec<u8> = self.pending.drain(..at + self.delimiter.len()).collect();
        self.add_content(&content[..at - line_end.min(at)]);
        self.finish_part(request);
        self.state = State::Delimiter;
        true
    }

    fn add_content(&mut self, bytes: &[u8]) {
        if self.file_name.is_some() {
            self.file_bytes += bytes.len() as u64;
        } else {
            self.content.extend_from_slice(bytes);
        }
    }

    fn finish_part(&mut self, request: &mut Request) {
        let content = std::mem::take(&mut self.content);
        let name = std::mem::take(&mut self.name);
        if self.file_name.take().is_some() {
            request.files_size += self.file_bytes;
            request.file_sizes.push(self.file_bytes);
            request.argument_count += 1;
            self.file_bytes = 0;
            return;
        }
        request.add_argument(Source::Multipart, &name, &content, &[]);
    }
}

/// The end of the line directly behind a boundary.
fn ends_early(after: &[u8]) -> bool {
    after.starts_with(b"\r\n")
        || after.starts_with(b"\n")
        || after.starts_with(b" ")
        || after.starts_with(b"\t")
}
