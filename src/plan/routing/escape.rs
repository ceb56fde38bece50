//! Byte classes and percent-encoding: which bytes are literal, and how the others are encoded.

use crate::base::bytes::is_in;

/// Bytes that are literal in a path (docs/ocelot-behavior.md, section 6.2): letters, digits and `-._~!$&'()*+,;=:@/`.
pub(super) const PATH: u8 = 1;
/// Bytes that .NET's `UrlEncoder.Default` does not encode (docs/ocelot-behavior.md, section 7.4).
pub(super) const ENCODER: u8 = 2;
/// Bytes that are literal in a query; any other byte would make the request line invalid.
pub(super) const QUERY: u8 = 4;
/// Bytes of [`PATH`] that need no further check: all except `/`.
pub(super) const PLAIN: u8 = 8;

/// The classes of each byte.
static BYTE_CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut b = 0x21;
    while b < 0x7f {
        let alphanumeric = (b as u8).is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric || is_in(b as u8, b"-._~!$&'()*+,;=:@/") {
            class |= PATH | if b == b'/' as usize { 0 } else { PLAIN };
        }
        if alphanumeric || is_in(b as u8, b"!$()*,-.;@_~") {
            class |= ENCODER;
        }
        if !is_in(b as u8, b"\"#<>\\^`{|}") {
            class |= QUERY;
        }
        table[b] = class;
        b += 1;
    }
    table
}

/// Whether `byte` belongs to the class.
pub(super) fn contains(byte: u8, class: u8) -> bool {
    BYTE_CLASSES[byte as usize] & class != 0
}

/// The value of one hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|d| d as u8)
}

/// The byte that a `%XX` at the start of `text` encodes.
pub(super) fn decoded(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// Writes `%XX` in upper case.
pub(super) fn push_encoded(byte: u8, buffer: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    buffer.extend_from_slice(&[b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
}

/// Writes `text`; bytes outside `class` become `%XX`, a valid `%XX` is copied unchanged.
pub(super) fn push_escaped(text: &[u8], class: u8, buffer: &mut Vec<u8>) {
    for (i, byte) in text.iter().enumerate() {
        let stays = contains(*byte, class) && *byte != b'%' || *byte == b'%' && decoded(&text[i..]).is_some();
        match stays {
            true => buffer.push(*byte),
            false => push_encoded(*byte, buffer),
        }
    }
}

/// Writes `text` as it is; only bytes that no request target may contain, those beyond ASCII, become `%XX`.
pub(super) fn push_as_spelled(text: &[u8], buffer: &mut Vec<u8>) {
    if text.is_ascii() {
        return buffer.extend_from_slice(text);
    }
    for byte in text {
        match byte.is_ascii() {
            true => buffer.push(*byte),
            false => push_encoded(*byte, buffer),
        }
    }
}

/// Writes the text of a path: decoded once except for `%2F` and `%25`, then encoded again (docs/ocelot-behavior.md,
/// section 6.2).
///
/// `%25` is copied unchanged: decoding it would turn `%252e` into `%2e`, which the backend would decode once more.
pub(super) fn push_path_text(text: &[u8], buffer: &mut Vec<u8>) {
    let mut i = 0;
    while i < text.len() {
        let (byte, width) = match decoded(&text[i..]) {
            Some(b) => (b, 3),
            None => (text[i], 1),
        };
        match (byte, width) {
            (b'/' | b'%', 3) => buffer.extend_from_slice(&text[i..i + 3]),
            (b, _) if contains(b, PATH) => buffer.push(b),
            (b, _) => push_encoded(b, buffer),
        }
        i += width;
    }
}

/// Whether two texts are equal; with `any_case`, ASCII case is ignored.
pub(super) fn eq_maybe_ignore_case(a: &[u8], b: &[u8], any_case: bool) -> bool {
    a == b || any_case && a.eq_ignore_ascii_case(b)
}

/// A hash that ignores ASCII case. Reads eight bytes at a time; the last eight may overlap those before.
pub(super) fn folded_hash(text: &[u8]) -> u32 {
    let mut hash = fold_multiply(0x9e37_79b9, text.len() as u64);
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        hash = fold_multiply(hash, u64::from_le_bytes(*first));
        for chunk in text[8..].chunks_exact(8) {
            hash = fold_multiply(hash, u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        hash = fold_multiply(hash, u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        hash = fold_multiply(hash, u64::from(first) << 32 | u64::from(last));
    } else if let (Some(first), Some(last)) = (text.first(), text.last()) {
        let middle = text[text.len() / 2];
        hash = fold_multiply(hash, u64::from(*first) << 16 | u64::from(middle) << 8 | u64::from(*last));
    }
    hash as u32
}

/// One step of the hash: folds both halves of a wide product. The case bit is set in every byte.
fn fold_multiply(hash: u64, word: u64) -> u64 {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    const MIX: u128 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(hash ^ (word | FOLD)) * MIX;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_text(text: &str) -> String {
        let mut out = Vec::new();
        push_path_text(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_path_is_decoded_once_and_encoded_again() {
        assert_eq!(path_text("/%41b%7e"), "/Ab~");
        assert_eq!(path_text("/é b?#[]"), "/%C3%A9%20b%3F%23%5B%5D");
        assert_eq!(path_text("/%c3%a9"), "/%C3%A9");
        assert_eq!(path_text("/a%2fb%2Fc"), "/a%2fb%2Fc");
        assert_eq!(path_text("/100%/%zz/%4"), "/100%25/%25zz/%254");
    }

    #[test]
    fn a_percent_sign_is_never_decoded_twice() {
        assert_eq!(path_text("/%252e%252e/%25"), "/%252e%252e/%25");
    }

    #[test]
    fn the_folded_hash_ignores_case_only() {
        assert_eq!(folded_hash(b"Catalog-Items/1"), folded_hash(b"cATALOG-ITEMS/1"));
        assert_ne!(folded_hash(b"catalog"), folded_hash(b"catalof"));
        assert_ne!(folded_hash(b""), folded_hash(b" "));
        let texts = [
            "",
            "a",
            "b",
            "ab",
            "ba",
            "abc",
            "abcd",
            "abdc",
            "abcdefg",
            "abcdefgh",
            "abcdefghi",
            "items-10",
            "items-01",
        ];
        let mut hashes: Vec<u32> = texts.iter().map(|t| folded_hash(t.as_bytes())).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn the_hashes_of_numbered_names_are_spread() {
        for (name, from) in [("items-", 0), ("service-", 0), ("", 100_000), ("tenant-of-a-long-name-", 0)] {
            let slots = |i: u32| folded_hash(format!("{name}{}", from + i).as_bytes()) & 0x3fff;
            let mut taken: Vec<u32> = (0..8192).map(slots).collect();
            taken.sort_unstable();
            taken.dedup();
            assert!(
                taken.len() > 6000,
                "{name}: {} of 8192 in 16384 slots; a random hash has 6446",
                taken.len()
            );
        }
    }

    #[test]
    fn a_valid_escape_is_copied_and_a_lone_percent_sign_is_encoded() {
        let mut out = Vec::new();
        push_escaped(b"a%20b% {c}\xc3", QUERY, &mut out);
        assert_eq!(out, b"a%20b%25%20%7Bc%7D%C3");
    }
}
