//! Percent-encoding (RFC 3986 2.1).

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode_byte, utf8_percent_encode,
};
use std::borrow::Cow;

/// Decodes `%XX`, and in a query `+` to a space. A `%` that is not followed by two hexadecimal digits is kept.
pub fn percent_decoded(text: &[u8], in_query: bool) -> Cow<'_, [u8]> {
    if !(in_query && text.contains(&b'+')) {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    match percent_decode(&spaced).into() {
        Cow::Owned(decoded) => Cow::Owned(decoded),
        Cow::Borrowed(_) => Cow::Owned(spaced),
    }
}

/// Appends `%XX`, with uppercase digits.
pub fn put_percent(byte: u8, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(percent_encode_byte(byte).as_bytes());
}

/// All bytes but the unreserved ones (RFC 3986 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a text as one path segment or one query value: everything except unreserved characters is escaped.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A byte that needs no escape in the value of a query parameter (RFC 3986 3.4).
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
        fn escaped_text_decodes_to_the_original(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut escaped = Vec::new();
            text.iter().for_each(|b| if is_unescaped_query_byte(*b) { escaped.push(*b) } else { put_percent(*b, &mut escaped) });
            prop_assert_eq!(&*percent_decoded(&escaped, true), &text[..]);
        }
    }
}
