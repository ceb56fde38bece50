//! Base64, hexadecimal digits, digests.

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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    input.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

/// The SHA-1 digest, as bytes.
pub fn sha1(input: &[u8]) -> Vec<u8> {
    use sha1::Digest as _;
    sha1::Sha1::digest(input).to_vec()
}

/// The MD5 digest, as bytes (RFC 1321).
pub fn md5(input: &[u8]) -> Vec<u8> {
    let mut message = input.to_vec();
    message.push(0x80);
    message.resize((input.len() + 9).div_ceil(64) * 64 - 8, 0);
    message.extend_from_slice(&(input.len() as u64).wrapping_mul(8).to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks_exact(64) {
        add_md5_block(&mut state, block);
    }
    state.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn add_md5_block(state: &mut [u32; 4], block: &[u8]) {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let word = |at: usize| {
        u32::from_le_bytes([block[at * 4], block[at * 4 + 1], block[at * 4 + 2], block[at * 4 + 3]])
    };
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mix, at) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
            2 => (b ^ c ^ d, (3 * step + 5) % 16),
            _ => (c ^ (b | !d), (7 * step) % 16),
        };
        let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(mix).wrapping_add(constant).wrapping_add(word(at));
        (a, d, c) = (d, c, b);
        b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
    }
    for (value, change) in state.iter_mut().zip([a, b, c, d]) {
        *value = value.wrapping_add(change);
    }
}
