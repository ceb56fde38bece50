//! The encodings of configuration files: UTF-8, UTF-16 and UTF-32, as .NET reads them.
//!
//! A byte order mark selects the encoding. Without one, zero bytes identify UTF-16 and UTF-32, because JSON begins with an
//! ASCII character and contains no U+0000 (RFC 4627, section 3).

/// Bytes that are no text in their encoding.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodingError {
    /// "is not UTF-8: invalid byte in line 2".
    pub message: String,
    /// The text with U+FFFD in place of the invalid bytes, as .NET reads it.
    pub lossy_text: String,
}

/// Decodes a file. A UTF-8 byte order mark remains in the text; those of other encodings do not.
pub fn decode(bytes: Vec<u8>) -> Result<String, EncodingError> {
    match *bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] => decode_utf32(&bytes[4..], u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, ..] => decode_utf32(&bytes[4..], u32::from_be_bytes),
        [0xff, 0xfe, ..] => decode_utf16(&bytes[2..], u16::from_le_bytes),
        [0xfe, 0xff, ..] => decode_utf16(&bytes[2..], u16::from_be_bytes),
        [0, 0, 0, _, ..] => decode_utf32(&bytes, u32::from_be_bytes),
        [1..=255, 0, 0, 0, ..] => decode_utf32(&bytes, u32::from_le_bytes),
        [0, 1..=255, ..] => decode_utf16(&bytes, u16::from_be_bytes),
        [1..=255, 0, ..] => decode_utf16(&bytes, u16::from_le_bytes),
        _ => decode_utf8(bytes),
    }
}

/// [`decode`], without a byte order mark.
pub fn decode_without_mark(bytes: Vec<u8>) -> Result<String, EncodingError> {
    let mut text = decode(bytes)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The bytes as UTF-8 without a byte order mark, if they begin with one; other bytes are not text for certain and remain.
pub fn normalize_marked(bytes: Vec<u8>) -> Vec<u8> {
    let is_marked = matches!(*bytes.as_slice(), [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    match is_marked.then(|| decode_without_mark(bytes.clone())) {
        Some(Ok(text)) => text.into_bytes(),
        _ => bytes,
    }
}

fn decode_utf8(bytes: Vec<u8>) -> Result<String, EncodingError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', valid).count() + 1;
        EncodingError {
            message: format!("is not UTF-8: invalid byte in line {line}"),
            lossy_text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, EncodingError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    collect(char::decode_utf16(units).map(Result::ok), rest, "UTF-16")
}

fn decode_utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<String, EncodingError> {
    let (units, rest) = bytes.as_chunks::<4>();
    collect(units.iter().map(|bytes| char::from_u32(unit(*bytes))), rest, "UTF-32")
}

/// The text of characters; `None` is an invalid one, `rest` the bytes of an incomplete one.
fn collect(
    characters: impl Iterator<Item = Option<char>>,
    rest: &[u8],
    encoding: &str,
) -> Result<String, EncodingError> {
    let (mut text, mut line, mut invalid_line) = (String::new(), 1, None);
    let incomplete = (!rest.is_empty()).then_some(None);
    for character in characters.chain(incomplete) {
        line += usize::from(character == Some('\n'));
        invalid_line = invalid_line.or_else(|| character.is_none().then_some(line));
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    match invalid_line {
        None => Ok(text),
        Some(line) => Err(EncodingError {
            message: format!("is not {encoding}: invalid character in line {line}"),
            lossy_text: text,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a text in every encoding, by name, with and without a byte order mark.
    fn encodings(text: &str) -> Vec<(&'static str, Vec<u8>)> {
        let utf16 =
            |to_bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
        let utf32 = |to_bytes: fn(u32) -> [u8; 4]| {
            text.chars().flat_map(|c| to_bytes(u32::from(c))).collect::<Vec<u8>>()
        };
        vec![
            ("UTF-8", text.as_bytes().to_vec()),
            ("UTF-16LE", utf16(u16::to_le_bytes)),
            ("UTF-16BE", utf16(u16::to_be_bytes)),
            ("UTF-32LE", utf32(u32::to_le_bytes)),
            ("UTF-32BE", utf32(u32::to_be_bytes)),
        ]
    }

    #[test]
    fn every_encoding_is_decoded_with_and_without_a_byte_order_mark() {
        let text = "{ \"a\": \"\u{e9}\u{4e2d}\u{1f600}\" }\r\n";
        let marked = format!("\u{feff}{text}");
        for (name, bytes) in encodings(text) {
            assert_eq!(decode(bytes).as_deref(), Ok(text), "{name}");
        }
        for (name, bytes) in encodings(&marked) {
            assert_eq!(decode_without_mark(bytes).as_deref(), Ok(text), "{name}");
        }
        assert_eq!(decode(marked.clone().into_bytes()), Ok(marked), "columns are counted without the mark");
    }

    #[test]
    fn only_marked_bytes_are_normalized() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbfa"[..], &b"a"[..]),
            (b"\xff\xfea\0", b"a"),
            (b"\xff\xfea", b"\xff\xfea"),
            (b"a\0b", b"a\0b"),
        ] {
            assert_eq!(normalize_marked(bytes.to_vec()), expected);
        }
    }

    #[test]
    fn short_files_are_decoded() {
        for text in ["", "1", "{}"] {
            for (name, bytes) in encodings(text) {
                assert_eq!(decode(bytes).as_deref(), Ok(text), "{name}");
            }
        }
    }

    #[test]
    fn invalid_bytes_are_reported_with_their_line_and_replaced() {
        let lossy = |bytes: &[u8]| {
            let error = decode(bytes.to_vec()).unwrap_err();
            (error.message, error.lossy_text)
        };
        let utf8 = lossy(b"{\n\xe9 }");
        assert_eq!(utf8, ("is not UTF-8: invalid byte in line 2".into(), "{\n\u{fffd} }".into()));
        let odd = lossy(b"\xff\xfe{\0\n\0}");
        assert_eq!(odd, ("is not UTF-16: invalid character in line 2".into(), "{\n\u{fffd}".into()));
        let half_of_a_pair = lossy(b"\xfe\xff\0{\xd8\0\0}");
        assert_eq!(half_of_a_pair.1, "{\u{fffd}}");
        assert!(lossy(b"\xff\xfe\0\0{\0\0\0\0\0\x11\0").0.starts_with("is not UTF-32"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>) {
            let _ = decode(bytes);
        }
    }
}
