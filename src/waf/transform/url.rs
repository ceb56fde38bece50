//! Percent escapes: `urlDecode`, `urlDecodeUni`, and `utf8toUnicode`, which writes them.

use crate::base::percent::percent_decoded;
use crate::waf::bytes::{hex_byte, hex_value};

/// `%HH` and `+`; an invalid escape stays as it is.
pub fn decode(input: &[u8]) -> Vec<u8> {
    percent_decoded(input, true).into_owned()
}

/// `decode` and `%uHHHH`, of which the low byte counts; full-width ASCII becomes ASCII.
pub fn decode_unicode(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    while at < input.len() {
        let rest = &input[at..];
        let (byte, length) = match rest {
            [b'%', b'u' | b'U', digits @ ..] => match unicode_byte(digits) {
                Some(byte) => (byte, 6),
                None => (b'%', 1),
            },
            [b'%', digits @ ..] => hex_byte(digits).map_or((b'%', 1), |byte| (byte, 3)),
            [b'+', ..] => (b' ', 1),
            _ => (rest[0], 1),
        };
        output.push(byte);
        at += length;
    }
    output
}

/// The byte that four hexadecimal digits stand for.
pub fn unicode_byte(digits: &[u8]) -> Option<u8> {
    let (high, low) = (hex_byte(digits)?, hex_byte(digits.get(2..)?)?);
    let is_full_width = high == 0xff && low > 0 && low < 0x5f;
    Some(if is_full_width { low.wrapping_add(0x20) } else { low })
}

/// Every character of several bytes becomes `%uHHHH`; invalid bytes stay as they are.
pub fn encode_unicode(input: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut output = Vec::with_capacity(input.len() + 16);
    let mut at = 0;
    while at < input.len() {
        let Some((code, length)) = character(&input[at..]) else {
            output.push(input[at]);
            at += 1;
            continue;
        };
        output.extend_from_slice(b"%u");
        if code > 0xffff {
            output.push(DIGITS[(code >> 16 & 15) as usize]);
        }
        for shift in [12, 8, 4, 0] {
            output.push(DIGITS[(code >> shift & 15) as usize]);
        }
        at += length;
    }
    output
}

/// The code point of two to four bytes, and their number; overlong forms are read like any other.
fn character(input: &[u8]) -> Option<(u32, usize)> {
    let (bits, length) = match *input.first()? {
        first @ 0xc0..=0xdf => (first & 0x1f, 2),
        first @ 0xe0..=0xef => (first & 0x0f, 3),
        first @ 0xf0..=0xf4 => (first & 0x07, 4),
        _ => return None,
    };
    let mut code = u32::from(bits);
    for &byte in input.get(1..length)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3f);
    }
    Some((code, length))
}

/// Whether a text has a `%` that does not begin an escape.
pub fn has_invalid_escape(input: &[u8]) -> bool {
    memchr::memchr_iter(b'%', input).any(|at| {
        let digit = |offset: usize| input.get(at + offset).copied().and_then(hex_value);
        digit(1).is_none() || digit(2).is_none()
    })
}
