//! Finds the end of an expression in text that is not XML: brackets, strings, characters and comments of C#.

/// The offset behind the bracket that closes `@(` or `@{` at the start of a text.
pub fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => at = end_of_string(bytes, at, is_verbatim(bytes, at))?,
            b'\'' => at = end_of_char(bytes, at)?,
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|b| *b == b'\n')?;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => at += find(&bytes[at..], b"*/")? + 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether `@` stands in front of the quote, perhaps with `$`.
fn is_verbatim(bytes: &[u8], quote: usize) -> bool {
    let before = |n: usize| quote.checked_sub(n).and_then(|at| bytes.get(at));
    before(1) == Some(&b'@') || (before(1) == Some(&b'$') && before(2) == Some(&b'@'))
}

/// The offset of the closing quote.
fn end_of_string(bytes: &[u8], open: usize, verbatim: bool) -> Option<usize> {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' if verbatim && bytes.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => return Some(at),
            b'\\' if !verbatim => at += 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn end_of_char(bytes: &[u8], open: usize) -> Option<usize> {
    let at = if bytes.get(open + 1) == Some(&b'\\') { open + 3 } else { open + 2 };
    (at..bytes.len().min(at + 6)).find(|at| bytes[*at] == b'\'')
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
