//! Tokens of C#.

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Name(String),
    Number(String),
    Text(String),
    /// An interpolated string; its holes are not parsed yet.
    Interpolated(Vec<Segment>),
    Symbol(&'static str),
}

/// A part of an interpolated string.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Literal(String),
    Hole(String),
}

const SYMBOLS: [&str; 38] = [
    "=>", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "?[", "+=", "-=", "++", "--", "<", ">", "=", "+",
    "-", "*", "/", "%", "!", "?", ":", ";", ",", ".", "(", ")", "[", "]", "{", "}", "&", "|", "^", "~",
];

/// Splits a text into tokens.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { rest: text, tokens: Vec::new() };
    while lexer.next()? {}
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    rest: &'t str,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        if let Some(comment) = self.rest.strip_prefix("//") {
            self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
            return Ok(true);
        }
        if let Some(comment) = self.rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("a comment is not closed")?;
            self.rest = &comment[end + 2..];
            return Ok(true);
        }
        let Some(first) = self.rest.chars().next() else {
            return Ok(false);
        };
        if first.is_alphabetic() || first == '_' {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            self.push(Token::Name(self.rest[..end].to_owned()), end);
        } else if first.is_ascii_digit() {
            self.number();
        } else if first == '\'' {
            self.character()?;
        } else if self.is_string() {
            self.string()?;
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("unexpected `{first}`"))?;
            // `?.5` and `a ?[1] : b` do not occur in policies.
            self.push(Token::Symbol(symbol), symbol.len());
        }
        Ok(true)
    }

    fn push(&mut self, token: Token, length: usize) {
        self.tokens.push(token);
        self.rest = &self.rest[length..];
    }

    fn number(&mut self) {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(self.rest.len());
        // `1.ToString()`: the point is a member access.
        let end = match self.rest[..end].find('.') {
            Some(point) if !self.rest[point + 1..].starts_with(|c: char| c.is_ascii_digit()) => point,
            _ => end,
        };
        let text = self.rest[..end].trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_owned();
        self.push(Token::Number(text), end);
    }

    fn character(&mut self) -> Result<(), String> {
        let inner = &self.rest[1..];
        let end = match inner.starts_with('\\') {
            true => inner.get(2..).and_then(|rest| rest.find('\'')).map(|end| end + 2),
            false => inner.find('\''),
        };
        let end = end.ok_or("a character is not closed")?;
        let text = unescaped(&inner[..end])?;
        self.push(Token::Text(text), end + 2);
        Ok(())
    }

    fn is_string(&self) -> bool {
        ["\"", "@\"", "$\"", "$@\"", "@$\""].iter().any(|start| self.rest.starts_with(start))
    }

    fn string(&mut self) -> Result<(), String> {
        let quote = self.rest.find('"').unwrap_or(0);
        let (is_verbatim, is_interpolated) =
            (self.rest[..quote].contains('@'), self.rest[..quote].contains('$'));
        let inner = &self.rest[quote + 1..];
        let end = closing_quote(inner, is_verbatim, is_interpolated).ok_or("a string is not closed")?;
        let content = &inner[..end];
        let token = match is_interpolated {
            true => Token::Interpolated(interpolated(content, is_verbatim)?),
            false => Token::Text(plain(content, is_verbatim)?),
        };
        self.push(token, quote + 1 + end + 1);
        Ok(())
    }
}

fn plain(text: &str, is_verbatim: bool) -> Result<String, String> {
    if is_verbatim { Ok(text.replace("\"\"", "\"")) } else { unescaped(text) }
}

fn closing_quote(text: &str, is_verbatim: bool, is_interpolated: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'{' if is_interpolated && bytes.get(at + 1) == Some(&b'{') && depth == 0 => at += 1,
            b'{' if is_interpolated => depth += 1,
            b'}' if is_interpolated && depth > 0 => depth -= 1,
            b'"' if depth > 0 => at += closing_quote(&text[at + 1..], false, false)? + 1,
            b'"' if is_verbatim && bytes.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => return Some(at),
            b'\\' if !is_verbatim => at += 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn interpolated(text: &str, is_verbatim: bool) -> Result<Vec<Segment>, String> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let bracket = &rest[at..=at];
        if rest[at + 1..].starts_with(bracket) {
            literal.push_str(bracket);
            rest = &rest[at + 2..];
            continue;
        }
        let inner = &rest[at + 1..];
        let end = end_of_hole(inner).ok_or("a `{` in an interpolated string is not closed")?;
        parts.push(Segment::Literal(plain(&std::mem::take(&mut literal), is_verbatim)?));
        let hole = inner[..end].trim();
        if has_format(hole) {
            return Err(format!("the format in `{{{hole}}}` of an interpolated string"));
        }
        parts.push(Segment::Hole(hole.to_owned()));
        rest = &inner[end + 1..];
    }
    literal.push_str(rest);
    parts.push(Segment::Literal(plain(&literal, is_verbatim)?));
    parts.retain(|part| !matches!(part, Segment::Literal(text) if text.is_empty()));
    Ok(parts)
}

fn end_of_hole(text: &str) -> Option<usize> {
    let (mut depth, mut in_string) = (0_usize, false);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '{' | '(' | '[' if !in_string => depth += 1,
            '}' if !in_string && depth == 0 => return Some(at),
            '}' | ')' | ']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// `{x:000}`: a colon outside of brackets, strings and `? :`.
fn has_format(hole: &str) -> bool {
    let (mut depth, mut in_string, mut questions) = (0_i32, false, 0);
    for c in hole.chars() {
        match c {
            '"' => in_string = !in_string,
            '(' | '[' | '{' if !in_string => depth += 1,
            ')' | ']' | '}' if !in_string => depth -= 1,
            '?' if !in_string => questions += 1,
            ':' if !in_string && depth == 0 && questions == 0 => return true,
            _ => {}
        }
    }
    false
}

/// The text of a string with escapes.
fn unescaped(text: &str) -> Result<String, String> {
    let mut result = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some('0') => result.push('\0'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                result.push(code.ok_or("an invalid \\u escape")?);
            }
            Some(c) => result.push(c),
            None => return Err("a string ends with a backslash".to_owned()),
        }
    }
    Ok(result)
}
