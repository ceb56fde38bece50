//! Base64, hexadecimal digits, digests.

use crate::base::hex;
use crate::waf::bytes::hex_value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Strict base64; an input with another character becomes empty, and an incomplete group at the end is dropped.
pub fn decode_base64(input: &[u8]) -> Vec<u8> {
    let input = input.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_filler = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let text: Vec<u8> = input.iter().copied().filter(|byte| !is_filler(byte)).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return Vec::new();
    }
    let digits = &text[..text.len() - padding];
    if digits.iter().any(|byte| base64_value(*byte).is_none()) {
        return Vec::new();
    }
    let is_complete = (digits.len() + padding).is_multiple_of(4);
    let end = if is_complete { digits.len() } else { digits.len() / 4 * 4 };
    collect_base64(digits[..end].iter().copied())
}

/// Base64 that skips every other character and ends at the first padding.
pub fn decode_base64_lenient(input: &[u8]) -> Vec<u8> {
    let text = input.iter().copied().take_while(|byte| *byte != b'=');
    collect_base64(text.filter(|byte| base64_value(*byte).is_some()))
}

fn collect_base64(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut output = Vec::new();
    for value in digits.filter_map(base64_value) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            output.push((bits >> count) as u8);
        }
    }
    output
}

fn base64_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The base64 text of bytes.
pub fn encode_base64(input: &[u8]) -> Vec<u8> {
    STANDARD.encode(input).into_bytes()
}

/// Pairs of hexadecimal digits; other characters count as 0, as in ModSecurity.
pub fn decode_hex(input: &[u8]) -> Vec<u8> {
    let value = |byte: u8| hex_value(byte).unwrap_or(0);
    input.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

/// Two lowercase hexadecimal digits for each byte.
pub fn encode_hex(input: &[u8]) -> Vec<u8> {
    hex::encode(input).into_bytes()
}

/// The SHA-1 digest, as bytes.
pub fn sha1(input: &[u8]) -> Vec<u8> {
    use sha1::Digest as _;
    sha1::Sha1::digest(input).to_vec()
}

/// The MD5 digest, as bytes (RFC 1321).
pub fn md5(input: &[u8]) -> Vec<u8> {
    use md5::Digest as _;
    md5::Md5::digest(input).to_vec()
}
