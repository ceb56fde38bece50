//! Fragments in `:path`, which the `http` crate cuts off before the gateway sees them: `/a#b` would be served as `/a`. A
//! request target has no fragment (RFC 9113 8.3.1, RFC 3986 4.3), so the header block itself is inspected.
//!
//! A value that refers to the dynamic table was inspected when it was added to it. A literal whose name refers to the
//! dynamic table is not inspected: `:path` is in the static table.

use super::hpack::{integer, string};

/// The indexes of `:path` in the static table (RFC 7541, appendix A).
const PATH_INDEXES: std::ops::RangeInclusive<usize> = 4..=5;
const PATH: &[u8] = b":path";
/// `:path` in the Huffman code.
const PATH_HUFFMAN: &[u8] = b"\xb9\x58\xd3\x3f";

/// A fragment in the path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// In this request only.
    Literal,
    /// Later requests may refer to it.
    Indexed,
}

/// Searches the header block of a request.
pub fn find_fragment(mut block: &[u8]) -> Option<Fragment> {
    while let Some(first) = block.first().copied() {
        let (prefix, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let index = integer(&mut block, prefix)?;
        let is_field = !(0x20..0x40).contains(&first);
        let mut is_path = is_field && PATH_INDEXES.contains(&index);
        if is_literal && index == 0 {
            let (name, is_huffman) = string(&mut block)?;
            is_path = name == if is_huffman { PATH_HUFFMAN } else { PATH };
        }
        if is_literal {
            let (value, is_huffman) = string(&mut block)?;
            let has_hash = if is_huffman { has_huffman_hash(value) } else { value.contains(&b'#') };
            if is_path && has_hash {
                return Some(if first & 0xc0 == 0x40 { Fragment::Indexed } else { Fragment::Literal });
            }
        }
        if is_path {
            return None;
        }
    }
    None
}

/// The number of symbols by the length of their code (RFC 7541, appendix B). The code is canonical: codes of one length are
/// consecutive, in the order of their symbols.
const CODES: [(u32, u32); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];
/// `#` is the first of the two symbols with 12 bits.
const HASH: (u32, u32) = (12, 0);

/// Whether a Huffman-coded string contains `#`.
fn has_huffman_hash(text: &[u8]) -> bool {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit) & 1));
    'symbols: loop {
        let (mut code, mut len, mut first) = (0, 0, 0);
        for (code_len, count) in CODES {
            while len < code_len {
                let Some(bit) = bits.next() else { return false };
                (code, len, first) = (code << 1 | bit, len + 1, first << 1);
            }
            if code < first + count {
                if (len, code - first) == HASH {
                    return true;
                }
                continue 'symbols;
            }
            first += count;
        }
        // No code is longer.
        return false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_found_in_every_representation_of_the_path() {
        // `/a#b`, Huffman-coded.
        const HUFFMAN: &[u8] = b"\x60\x7f\xf5\x1f";
        assert!(has_huffman_hash(HUFFMAN));
        let plain = b"\x04/a#b";
        let coded = [&b"\x84"[..], HUFFMAN].concat();
        for value in [&plain[..], &coded] {
            for (start, found) in [
                (&b"\x04"[..], Fragment::Literal),
                (b"\x14", Fragment::Literal),
                (b"\x44", Fragment::Indexed),
                (b"\x82\x87\x45", Fragment::Indexed),
                (b"\x00\x05:path", Fragment::Literal),
                (b"\x40\x84\xb9\x58\xd3\x3f", Fragment::Indexed),
            ] {
                assert_eq!(find_fragment(&[start, value].concat()), Some(found), "{start:x?}");
            }
        }
    }

    #[test]
    fn other_fields_and_paths_without_a_fragment_are_no_finding() {
        for block in [
            &b"\x82\x84\x86\x00\x01a\x03a#b"[..],
            b"\x04\x02/a\x0f\x05\x02#b",
            b"\x04\x83\x60\x71\xff",
            b"\x3f\xe1\x1f\x84",
            b"\x04\x7f",
            b"",
        ] {
            assert_eq!(find_fragment(block), None, "{block:x?}");
        }
    }

    #[test]
    fn every_code_of_the_table_is_complete() {
        let filled: u64 = CODES.iter().map(|(len, count)| u64::from(*count) << (30 - len)).sum();
        assert_eq!(filled, 1 << 30);
        assert_eq!(CODES.iter().map(|(_, count)| count).sum::<u32>(), 257);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_blocks_never_panic(block in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = find_fragment(&block);
        }
    }
}
