//! Backslash escapes: `jsDecode`, `cssDecode`, `escapeSeqDecode`.

use super::url::unicode_byte;
use crate::waf::bytes::{hex_byte, hex_value, is_space};

/// `\uHHHH`, `\xHH`, octal digits and letters of JavaScript; any other escaped character stands for itself.
pub fn decode_javascript(input: &[u8]) -> Vec<u8> {
    decode(input, |rest| match rest {
        [b'u', digits @ ..] if unicode_byte(digits).is_some() => (unicode_byte(digits), 5),
        [b'x', digits @ ..] if hex_byte(digits).is_some() => (hex_byte(digits), 3),
        [b'0'..=b'7', ..] => octal(rest, true),
        [letter, ..] => (Some(control(*letter).unwrap_or(*letter)), 1),
        [] => (Some(b'\\'), 0),
    })
}

/// Escapes of ANSI C; a backslash before any other character disappears.
pub fn decode_escapes(input: &[u8]) -> Vec<u8> {
    decode(input, |rest| match rest {
        [b'x' | b'X', digits @ ..] if hex_byte(digits).is_some() => (hex_byte(digits), 3),
        [b'0'..=b'7', ..] => octal(rest, false),
        [letter, ..] => (Some(control(*letter).unwrap_or(*letter)), 1),
        [] => (Some(b'\\'), 0),
    })
}

/// One to six hexadecimal digits and one space behind them, of which the last two digits count.
pub fn decode_css(input: &[u8]) -> Vec<u8> {
    decode(input, |rest| {
        let count = rest.iter().take(6).take_while(|byte| hex_value(**byte).is_some()).count();
        match (count, rest.first()) {
            (0, Some(b'\n')) => (None, 1),
            (0, Some(byte)) => (Some(*byte), 1),
            (0, None) => (None, 0),
            (count, _) => {
                let space = rest.get(count).is_some_and(|byte| is_space(*byte));
                (Some(css_byte(&rest[..count])), count + usize::from(space))
            }
        }
    })
}

/// Replaces each backslash and what follows by the byte that `escape` returns with the length it read.
fn decode(input: &[u8], escape: impl Fn(&[u8]) -> (Option<u8>, usize)) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    while at < input.len() {
        if input[at] != b'\\' {
            output.push(input[at]);
            at += 1;
            continue;
        }
        let (byte, length) = escape(&input[at + 1..]);
        output.extend(byte);
        at += 1 + length;
    }
    output
}

fn control(letter: u8) -> Option<u8> {
    match letter {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        _ => None,
    }
}

/// Up to three octal digits; `is_one_byte` reads only two where three exceed a byte.
fn octal(text: &[u8], is_one_byte: bool) -> (Option<u8>, usize) {
    let mut count = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if is_one_byte && count == 3 && text[0] > b'3' {
        count = 2;
    }
    let value = text[..count].iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
    (Some(value as u8), count)
}

fn css_byte(digits: &[u8]) -> u8 {
    let count = digits.len();
    if count == 1 {
        return hex_value(digits[0]).unwrap_or(0);
    }
    let byte = hex_byte(&digits[count - 2..]).unwrap_or(0);
    let is_leading_zero = digits[..count.saturating_sub(4)].iter().all(|digit| *digit == b'0');
    let is_full_width = count >= 4
        && is_leading_zero
        && digits[count - 4..count - 2].eq_ignore_ascii_case(b"ff")
        && byte > 0
        && byte < 0x5f;
    if is_full_width { byte + 0x20 } else { byte }
}
