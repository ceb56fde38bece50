//! Integers and strings of header blocks (RFC 7541), without decoding them.

/// RFC 7541 5.1.
pub(super) fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let max_prefix = (1usize << prefix) - 1;
    let mut n = usize::from(*first) & max_prefix;
    if n == max_prefix {
        for shift in (0..28).step_by(7) {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            n += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(n);
            }
        }
        return None;
    }
    *block = rest;
    Some(n)
}

/// RFC 7541 5.2: the string, and whether it is Huffman-coded.
pub(super) fn string<'b>(block: &mut &'b [u8]) -> Option<(&'b [u8], bool)> {
    let is_huffman = *block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((text, is_huffman))
}
