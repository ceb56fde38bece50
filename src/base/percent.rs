//! Percent-encoding (RFC 3986 2.1).

use std::borrow::Cow;

/// The bytes that a text of a URL stands for: `%XX` a byte, in a query `+` a space. A lone `%` is itself.
pub fn percent_decoded(text: &[u8], in_query: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| *b == b'%' || in_query && *b == b'+') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, left) = match (first, tail) {
            (b'%', [high, low, left @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                _ => (b'%', tail),
            },
            (b'+', _) if in_query => (b' ', tail),
            (byte, _) => (*byte, tail),
        };
        plain.push(byte);
        rest = left;
    }
    Cow::Owned(plain)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Writes `%XX` in capitals.
pub fn put_percent(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// A text as one segment of a path or one value of a query: everything but unreserved characters is encoded.
pub fn percent_encoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => put_percent(byte, &mut out),
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A byte that stands in the value of a query parameter as it is (RFC 3986 3.4), and neither splits nor means another.
pub fn is_unescaped_query_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_decoded_once() {
        assert_eq!(&*percent_decoded(b"a%20b+c%2525%zz%", false), b"a b+c%25%zz%");
        assert_eq!(&*percent_decoded(b"a+b", true), b"a b");
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_decoded_to_itself(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut escaped = Vec::new();
            text.iter().for_each(|b| if is_unescaped_query_byte(*b) { escaped.push(*b) } else { put_percent(*b, &mut escaped) });
            prop_assert_eq!(&*percent_decoded(&escaped, true), &text[..]);
        }
    }
}
