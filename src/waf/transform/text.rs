//! White space, NUL bytes, comments, and the normalization of command lines.

use crate::waf::bytes::is_space;

const NO_BREAK_SPACE: u8 = 0xa0;

fn is_wide_space(byte: u8) -> bool {
    is_space(byte) || byte == NO_BREAK_SPACE
}

/// The value without white space.
pub fn remove_whitespace(input: &[u8]) -> Vec<u8> {
    input.iter().copied().filter(|byte| !is_wide_space(*byte)).collect()
}

/// Each run of white space becomes one space.
pub fn compress_whitespace(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut is_after_space = false;
    for &byte in input {
        let space = is_wide_space(byte);
        if !space {
            output.push(byte);
        } else if !is_after_space {
            output.push(b' ');
        }
        is_after_space = space;
    }
    output
}

/// The value without NUL bytes.
pub fn remove_nulls(input: &[u8]) -> Vec<u8> {
    input.iter().copied().filter(|byte| *byte != 0).collect()
}

/// The value with spaces for NUL bytes.
pub fn replace_nulls(input: &[u8]) -> Vec<u8> {
    input.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()
}

/// Each C comment becomes one space, also one without an end.
pub fn replace_comments(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(start) = memchr::memmem::find(rest, b"/*") {
        output.extend_from_slice(&rest[..start]);
        output.push(b' ');
        rest = after(&rest[start + 2..], b"*/");
    }
    output.extend_from_slice(rest);
    output
}

/// What follows the first `end`; nothing without one.
fn after<'i>(input: &'i [u8], end: &[u8]) -> &'i [u8] {
    memchr::memmem::find(input, end).map_or(&[], |at| &input[at + end.len()..])
}

/// Removes C and HTML comments, and everything behind `--` or `#`.
pub fn remove_comments(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(&byte) = rest.first() {
        rest = match rest {
            [b'/', b'*', inside @ ..] => after(inside, b"*/"),
            [b'<', b'!', b'-', b'-', inside @ ..] => after(inside, b"-->"),
            [b'-', b'-', ..] | [b'#', ..] => break,
            _ => {
                output.push(byte);
                &rest[1..]
            }
        };
    }
    output
}

/// Removes the characters that begin or end a comment.
pub fn remove_comment_characters(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(&byte) = rest.first() {
        let length = match rest {
            [b'<', b'!', b'-', b'-', ..] => 4,
            [b'-', b'-', b'>', ..] => 3,
            [b'/', b'*', ..] | [b'*', b'/', ..] | [b'-', b'-', ..] => 2,
            [b'#', ..] => 1,
            _ => {
                output.push(byte);
                1
            }
        };
        rest = &rest[length..];
    }
    output
}

/// `cmdLine`: without quotes, backslashes and carets, one space for runs of white space, commas and semicolons, no
/// space before `/` and `(`, in lowercase.
pub fn normalize_command_line(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut is_after_space = false;
    for &byte in input {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !is_after_space {
                    output.push(b' ');
                }
                is_after_space = true;
                continue;
            }
            b'/' | b'(' if is_after_space => {
                output.pop();
            }
            _ => {}
        }
        output.push(byte.to_ascii_lowercase());
        is_after_space = false;
    }
    output
}

/// The value without white space at its beginning.
pub fn trim_left(input: &[u8]) -> &[u8] {
    let start = input.iter().position(|byte| !is_space(*byte)).unwrap_or(input.len());
    &input[start..]
}

/// The value without white space at its end.
pub fn trim_right(input: &[u8]) -> &[u8] {
    let end = input.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
    &input[..end]
}
