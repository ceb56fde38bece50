//! Just enough of Rust's tokens to read names and braces: comments and literals are skipped, every name and every
//! mark keeps its line.

/// A name (identifier or keyword) or a single mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'s> {
    Name(&'s str),
    Mark(char),
}

#[derive(Clone, Copy, Debug)]
pub struct Token<'s> {
    pub kind: Kind<'s>,
    pub line: usize,
}

impl<'s> Token<'s> {
    pub fn name(&self) -> Option<&'s str> {
        match self.kind {
            Kind::Name(name) => Some(name),
            Kind::Mark(_) => None,
        }
    }

    pub fn is(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// All names and marks of a file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut out, mut line, mut at) = (Vec::new(), 1, 0);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let skipped = skip(rest);
        let length = if skipped > 0 { skipped } else { take(rest, c, line, &mut out) };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    out
}

/// The length of the space, comment or literal at the start, 0 when there is none.
fn skip(rest: &str) -> usize {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        _ if first.is_whitespace() => first.len_utf8(),
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => block_comment(rest),
        '"' => 1 + string(&rest[1..]),
        'b' | 'c' if rest[1..].starts_with('"') => 2 + string(&rest[2..]),
        'b' if rest[1..].starts_with('\'') => 1 + character(&rest[1..]),
        'r' => raw_string(rest, 1),
        'b' | 'c' if rest[1..].starts_with('r') => raw_string(rest, 2),
        '\'' => character(rest),
        '0'..='9' => number(rest),
        _ => 0,
    }
}

/// Pushes the name or mark at the start and returns its length. `r#type` gives one more mark, which does no harm.
fn take<'s>(rest: &'s str, first: char, line: usize, out: &mut Vec<Token<'s>>) -> usize {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let length = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
    let kind = if length > 0 { Kind::Name(&rest[..length]) } else { Kind::Mark(first) };
    out.push(Token { kind, line });
    length.max(first.len_utf8())
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        depth += change;
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// What follows an opening quote, with the closing one.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `br##"…"##`: ends at a quote with as many hashes. `r#name` is not one.
fn raw_string(rest: &str, prefix: usize) -> usize {
    let hashes = rest[prefix..].bytes().take_while(|b| *b == b'#').count();
    let open = prefix + hashes;
    if !rest[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    rest[open + 1..].find(&close).map_or(rest.len(), |at| open + 1 + at + close.len())
}

/// `'a'`, `'\n'`, `'\u{1f}'`; a lifetime counts as its quote, the name follows.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(1, |at| 3 + at + 1),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// Digits with their suffix; `1..2` stays two numbers because the point is a mark.
fn number(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
}
