//! The tokens of a filter.

use std::ops::Range;

/// A token and its bytes in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub range: Range<usize>,
}

/// The kinds of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An identifier, a keyword or the name of a function.
    Word,
    Integer(i64),
    /// A text in quotes, with doubled quotes replaced.
    Text(Box<str>),
    /// One of `(`, `)` and `,`.
    Mark(u8),
    /// The end of the filter.
    End,
}

/// Splits a filter. The error is the byte at which it failed.
pub fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let (bytes, mut at, mut tokens) = (text.as_bytes(), 0, Vec::new());
    while let Some(first) = bytes.get(at) {
        let start = at;
        let kind = match first {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'(' | b')' | b',' => {
                at += 1;
                TokenKind::Mark(*first)
            }
            b'\'' => {
                let (literal, end) = quoted(text, start).ok_or(start)?;
                at = end;
                TokenKind::Text(literal)
            }
            b'+' | b'-' | b'0'..=b'9' => {
                at = end_of(bytes, start + 1, |byte| byte.is_ascii_digit());
                TokenKind::Integer(text[start..at].parse().map_err(|_| start)?)
            }
            byte if is_word_byte(*byte) => {
                at = end_of(bytes, start, is_word_byte);
                TokenKind::Word
            }
            _ => return Err(start),
        };
        tokens.push(Token { kind, range: start..at });
    }
    tokens.push(Token { kind: TokenKind::End, range: text.len()..text.len() });
    Ok(tokens)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn end_of(bytes: &[u8], from: usize, belongs: fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|byte| !belongs(*byte)).map_or(bytes.len(), |len| from + len)
}

/// The text in quotes that starts at this byte, and the byte behind it.
fn quoted(text: &str, start: usize) -> Option<(Box<str>, usize)> {
    let (mut literal, mut at) = (String::new(), start + 1);
    loop {
        let len = text[at..].find('\'')?;
        literal.push_str(&text[at..at + len]);
        at += len + 1;
        if !text[at..].starts_with('\'') {
            return Some((literal.into(), at));
        }
        literal.push('\'');
        at += 1;
    }
}
