//! `UpstreamPathTemplate` → a small program that matches what Ocelot's regular expression would match
//! (docs/ocelot-behavior.md, section 6.3).
//!
//! Literal text is converted to the normal form of [`super::path`] first, so that `/é` or `/a b` match their encoded
//! form; characters with a meaning in regular expressions are literal here.

use super::escape::{push_encoded, push_path_text};
use super::extract::LiteralPattern;
use super::path::Target;
use super::program::{Op, Program};
use super::rules::RoutingRules;
use crate::base::path_params::PathParams;

/// Why a path template cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("the template does not start with `/`")]
    NoSlash,
    /// A `{` without its `}`.
    #[error("the `{{` at character {0} has no `}}`")]
    Unclosed(usize),
    /// A placeholder name that contains `/`, `?` or `{`.
    #[error("invalid placeholder `{{{0}}}`: its name must not contain `/`, `?` or `{{`")]
    Name(String),
    /// The same placeholder twice.
    #[error("duplicate placeholder `{{{0}}}`")]
    Twice(String),
}

/// A compiled path template.
#[derive(Clone, Debug)]
pub struct Template {
    program: Program,
    names: Vec<Box<str>>,
    values: Values,
}

/// How the placeholder values are extracted (docs/ocelot-behavior.md, section 6.4).
#[derive(Clone, Debug)]
enum Values {
    /// There are no values, or one that is the whole query (`/c?{rest}`): always empty.
    Empty,
    /// By the second, simpler pattern; `retry`: a second attempt with a `/` appended to the path.
    Extracted { pack: LiteralPattern, retry: bool },
}

impl Template {
    /// Compiles a template.
    pub fn compile(
        text: &str,
        case_sensitive: bool,
        rules: &RoutingRules,
    ) -> Result<Template, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::NoSlash);
        }
        let mut parsed = Parsed::default();
        parsed.read(text)?;
        let catch_all = matches!(&parsed.pieces[..], [Piece::Text(t), Piece::Capture] if t == b"/");
        let values = parsed.values(catch_all, rules);
        let names = std::mem::take(&mut parsed.names);
        let ops = if catch_all { catch_all_ops() } else { parsed.ops() };
        let program = Program { ops, any_case: !case_sensitive || catch_all, catch_all, query: parsed.query };
        Ok(Template { program, names, values })
    }

    /// The placeholder names, in the order of their values.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether the template is exactly `/{name}`, whose priority is always 0.
    pub fn is_catch_all(&self) -> bool {
        self.program.catch_all
    }

    /// Whether the template matches the query too.
    pub fn has_query(&self) -> bool {
        self.program.query
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether the target matches; if not, how many bytes of it match.
    pub fn matches(&self, target: &Target<'_>) -> Result<(), usize> {
        self.program.run(self.match_input(target))
    }

    /// Extracts the values from a target that matches.
    pub fn extract(&self, target: &Target<'_>, values: &mut PathParams) {
        let text = self.match_input(target);
        match &self.values {
            Values::Empty => {
                for _ in &self.names {
                    values.push_range(text.len(), text.len());
                }
            }
            Values::Extracted { pack, retry } => {
                let found = pack.solve(text, false, values) || *retry && pack.solve(text, true, values);
                if !found {
                    super::extract::as_matched(&self.program.ops, self.names.len(), text, values);
                }
            }
        }
    }

    fn match_input<'t>(&self, target: &'t Target<'_>) -> &'t [u8] {
        if self.program.query { target.text() } else { target.path() }
    }
}

fn catch_all_ops() -> Vec<Op> {
    vec![Op::Text(Box::from(&b"/"[..])), Op::CatchAll]
}

/// A piece of the template.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Capture,
    /// The `?` (or `/?`, with `slash`) that separates path and query.
    Query {
        slash: bool,
    },
}

#[derive(Debug, Default)]
struct Parsed {
    pieces: Vec<Piece>,
    names: Vec<Box<str>>,
    query: bool,
    /// The number of placeholders before the `?`.
    path_captures: usize,
    /// The index in `pieces` of the last `/` of the path part.
    last_slash: usize,
}

impl Parsed {
    fn read(&mut self, text: &str) -> Result<(), TemplateError> {
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.find(['{', '?']).unwrap_or(rest.len());
            self.text(&rest[..plain]);
            rest = &rest[plain..];
            if rest.starts_with('{') {
                let end = rest.find('}').ok_or(TemplateError::Unclosed(text.len() - rest.len() + 1))?;
                self.capture(&rest[1..end])?;
                rest = &rest[end + 1..];
            } else if !rest.is_empty() {
                self.question_mark();
                rest = &rest[1..];
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut bytes = Vec::with_capacity(text.len());
        match self.query {
            false => push_path_text(text.as_bytes(), &mut bytes),
            true => push_query_text(text.as_bytes(), &mut bytes),
        }
        self.append(&bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Text(bytes.to_vec())),
        }
        if !self.query && bytes.contains(&b'/') {
            self.last_slash = self.pieces.len() - 1;
        }
    }

    fn capture(&mut self, name: &str) -> Result<(), TemplateError> {
        if name.contains(['/', '?', '{']) {
            return Err(TemplateError::Name(name.to_owned()));
        }
        if self.names.iter().any(|n| &**n == name) {
            return Err(TemplateError::Twice(name.to_owned()));
        }
        self.names.push(name.into());
        self.pieces.push(Piece::Capture);
        self.path_captures += usize::from(!self.query);
        Ok(())
    }

    /// The first `?` separates path and query, later ones are literal.
    fn question_mark(&mut self) {
        if self.query {
            return self.append(b"?");
        }
        self.query = true;
        let slash = match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.pop_if(|b| *b == b'/').is_some(),
            _ => false,
        };
        if matches!(self.pieces.last(), Some(Piece::Text(text)) if text.is_empty()) {
            self.pieces.pop();
        }
        self.pieces.push(Piece::Query { slash });
    }

    /// A placeholder spans segments when no `/` follows it (the group for `?` contains one), or after the `?`.
    fn spans_segments(&self, piece: usize, capture_index: usize) -> bool {
        capture_index >= self.path_captures || !self.query && piece > self.last_slash
    }

    /// The program: pieces in order, the optional tail, the optional last `/`.
    fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::with_capacity(self.pieces.len() + 2);
        let tail = self.optional_tail();
        let mut captures = 0;
        for (i, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => push_text(text, tail == Some(i), &mut ops),
                Piece::Query { slash } => ops.push(Op::Query { slash: *slash }),
                Piece::Capture => {
                    ops.push(if self.spans_segments(i, captures) { Op::CatchAll } else { Op::Segment });
                    captures += 1;
                }
            }
        }
        match ops.last_mut() {
            Some(Op::Text(text)) if ends_in_slash(text) && (self.pieces.len() > 1 || text.len() > 1) => {
                let text = std::mem::take(text);
                ops.pop();
                push_text(&text[..text.len() - 1], false, &mut ops);
                ops.push(Op::OptionalSlash);
            }
            _ => {}
        }
        ops.push(Op::End);
        ops
    }

    /// The piece whose last byte is the last `/` of the template, when a placeholder that spans segments follows it.
    fn optional_tail(&self) -> Option<usize> {
        let slash = self.pieces.iter().rposition(|p| match p {
            Piece::Text(text) => text.contains(&b'/'),
            Piece::Query { .. } => true,
            Piece::Capture => false,
        })?;
        let directly = matches!(&self.pieces[slash], Piece::Text(text) if ends_in_slash(text));
        (directly && matches!(self.pieces.get(slash + 1), Some(Piece::Capture))).then_some(slash)
    }

    fn values(&self, catch_all: bool, rules: &RoutingRules) -> Values {
        let rest_of_query = matches!(&self.pieces[..], [.., Piece::Query { .. }, Piece::Capture]);
        if self.names.is_empty() || rest_of_query && self.names.len() == 1 {
            return Values::Empty;
        }
        let retry = !self.query
            && match &self.pieces[..] {
                [.., Piece::Capture] => true,
                [.., Piece::Capture, Piece::Text(text)] => text == b"/",
                _ => false,
            };
        debug_assert!(!catch_all || retry);
        let mut texts = vec![Vec::new()];
        for piece in &self.pieces {
            match (piece, texts.last_mut()) {
                (Piece::Text(text), Some(last)) => last.extend_from_slice(text),
                (Piece::Query { slash }, Some(last)) => {
                    last.extend_from_slice(if *slash { b"/?" } else { b"?" });
                }
                _ => texts.push(Vec::new()),
            }
        }
        Values::Extracted {
            pack: LiteralPattern::extraction_pattern(texts, self.path_captures, self.query, rules),
            retry,
        }
    }
}

/// Appends literal text; with `tail`, its last `/` begins the optional tail.
fn push_text(text: &[u8], tail: bool, ops: &mut Vec<Op>) {
    let (text, slash) = if tail { text.split_at(text.len() - 1) } else { (text, &b""[..]) };
    if !text.is_empty() {
        ops.push(Op::Text(text.into()));
    }
    if tail {
        ops.push(Op::OptionalTail);
        ops.push(Op::Text(slash.into()));
    }
}

fn ends_in_slash(text: &[u8]) -> bool {
    text.last() == Some(&b'/')
}

/// The query is matched as received: only bytes that are invalid in a query are encoded.
fn push_query_text(text: &[u8], buffer: &mut Vec<u8>) {
    for byte in text {
        match byte.is_ascii_graphic() {
            true => buffer.push(*byte),
            false => push_encoded(*byte, buffer),
        }
    }
}
