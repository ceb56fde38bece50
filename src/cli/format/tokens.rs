//! The tokens of a configuration file, with comments.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Open,
    Close,
    Colon,
    Comma,
    /// A string, a number or a word, as written.
    Scalar,
    /// `// ...` without its line break.
    LineComment,
    /// `/* ... */`.
    BlockComment,
}

/// A token and the number of line breaks in front of it.
#[derive(Clone, Copy, Debug)]
pub struct FormatToken<'t> {
    pub kind: TokenKind,
    pub text: &'t str,
    pub line_breaks: usize,
}

/// All tokens; `None` if a string or a comment does not end.
pub fn tokens(text: &str) -> Option<Vec<FormatToken<'_>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut tokens, mut at, mut line_breaks) = (Vec::new(), 0, 0);
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            line_breaks += usize::from(c == '\n');
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = token(&text[at..], c)?;
        let text = text[at..at + length].trim_end_matches(['\r', '\n']);
        tokens.push(FormatToken { kind, text, line_breaks });
        at += length;
        line_breaks = 0;
    }
    Some(tokens)
}

/// The kind and the length of the token at the start of a text.
fn token(text: &str, first: char) -> Option<(TokenKind, usize)> {
    Some(match first {
        '{' | '[' => (TokenKind::Open, 1),
        '}' | ']' => (TokenKind::Close, 1),
        ':' => (TokenKind::Colon, 1),
        ',' => (TokenKind::Comma, 1),
        '"' | '\'' => (TokenKind::Scalar, string_length(text, first)?),
        '/' if text.starts_with("//") => (TokenKind::LineComment, text.find('\n').unwrap_or(text.len())),
        '/' if text.starts_with("/*") => (TokenKind::BlockComment, text[2..].find("*/")? + 4),
        _ => {
            let end = |c: char| c.is_whitespace() || "{}[]:,\"'/".contains(c);
            let length = text.find(end).unwrap_or(text.len());
            (TokenKind::Scalar, length.max(first.len_utf8()))
        }
    })
}

fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
