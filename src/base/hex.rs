//! Hexadecimal text.

/// Two lowercase digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal digits in either case; `None` for anything else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_decoded_in_pairs() {
        assert_eq!(super::decode("001Fa0ff"), Some(vec![0, 0x1f, 0xa0, 255]));
        assert_eq!(super::decode(""), Some(Vec::new()));
        for text in ["0", "0g", "001", "+1", "é"] {
            assert_eq!(super::decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_byte_is_two_digits() {
        assert_eq!(super::encode(&[0, 0x1f, 0xa0, 255]), "001fa0ff");
    }
}
