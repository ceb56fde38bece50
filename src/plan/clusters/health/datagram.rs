//! The datagram of a UDP probe: a text with escapes, or base64.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Largest payload of a UDP datagram over IPv4.
const MAX_BYTES: usize = 65_507;

/// The bytes of a text, in which `\xNN` is one byte.
///
/// # Errors
///
/// A sentence about an escape that is not valid.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes() {
            [b'\\', ..] => (Some(b'\\'), 1),
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (u8::from_str_radix(&after[1..3], 16).ok(), 3)
            }
            _ => (None, 0),
        };
        bytes.push(byte.ok_or("a backslash must begin \\xNN or \\\\")?);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    check_length(bytes)
}

/// The bytes of a base64 text.
///
/// # Errors
///
/// A sentence: the text is not base64.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text.trim()).map_err(|_| "expected base64".to_owned()).and_then(check_length)
}

fn check_length(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    match bytes.len() {
        0..=MAX_BYTES => Ok(bytes),
        length => Err(format!("{length} bytes do not fit into one datagram of {MAX_BYTES} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_contain_any_byte_by_its_number() {
        assert_eq!(unescape("a\\x00\\xfF\\\\b"), Ok(b"a\0\xff\\b".to_vec()));
        for text in ["\\", "\\x", "\\x1", "\\xg0", "\\n", "\\xä"] {
            assert!(unescape(text).is_err(), "{text}");
        }
        assert_eq!(decode("AP8="), Ok(vec![0, 255]));
        assert!(decode("%").is_err() && unescape(&"a".repeat(MAX_BYTES + 1)).is_err());
    }
}
