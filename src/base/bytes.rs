//! Byte classes of RFC 9110 and RFC 9112 as tables: one lookup per byte.

const TCHARS: u8 = 1;
const FIELD_VALUE_BYTES: u8 = 2;
const TARGET_BYTES: u8 = 4;

/// The classes of each byte.
static CLASS: [u8; 256] = byte_classes();

const fn byte_classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut b = 0usize;
    while b < 256 {
        let byte = b as u8;
        let mut class = 0;
        // RFC 9110 5.6.2: tchar.
        if byte.is_ascii_alphanumeric() || is_in(byte, b"!#$%&'*+-.^_`|~") {
            class |= TCHARS;
        }
        // RFC 9110 5.5: field-vchar (VCHAR and obs-text), SP and HTAB; every other control byte is refused.
        if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) {
            class |= FIELD_VALUE_BYTES;
        }
        // RFC 9112 3.2: no white space, no control bytes and no fragment in a request target.
        if byte > 0x20 && byte < 0x7f && byte != b'#' || byte >= 0x80 {
            class |= TARGET_BYTES;
        }
        table[b] = class;
        b += 1;
    }
    table
}

/// Whether `set` contains the byte; for tables that are built at compile time.
pub const fn is_in(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// RFC 9110 5.6.2: a token, at min_digits one byte.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| CLASS[b as usize] & TCHARS != 0)
}

/// A byte of a token.
pub fn is_tchar(byte: u8) -> bool {
    CLASS[byte as usize] & TCHARS != 0
}

/// A field value without control bytes (HTAB is fine); may be empty.
pub fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|&b| CLASS[b as usize] & FIELD_VALUE_BYTES != 0)
}

/// A request target without white space, control bytes or a fragment; bytes above 0x7f are left to the normalizer.
pub fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| CLASS[b as usize] & TARGET_BYTES != 0)
}

/// Removes optional white space (RFC 9110 5.6.3) from both ends.
pub fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a comma-separated list (RFC 9110 5.6.1), trimmed and without empty ones.
pub fn comma_list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b',').map(trim_ows).filter(|part| !part.is_empty())
}

/// A number of decimal digits only; `None` if it overflows.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes a number in decimal digits without allocating.
pub fn put_decimal(buffer: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

/// Writes a number in lowercase hexadecimal digits, padded to `min_digits`.
pub fn put_hex(buffer: &mut Vec<u8>, n: u64, min_digits: u32) {
    let digits = min_digits.max((u64::BITS - n.leading_zeros()).div_ceil(4));
    buffer.extend((0..digits).rev().map(|at| b"0123456789abcdef"[(n >> (at * 4) & 15) as usize]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_rfc_9110() {
        assert!(is_token(b"M!#$%&'*+-.^_`|~9"));
        for bad in [&b""[..], b"a b", b"a:b", b"a(", b"\xe9", b"a\x7f"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn field_values_contain_no_control_bytes_except_tabs() {
        assert!(is_field_value(b"caf\xe9\t x"));
        for bad in [&b"a\0"[..], b"a\r", b"a\n", b"a\x7f", b"\x0b"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn decimals_are_digits_only_and_never_wrap() {
        assert_eq!(decimal(b"010"), Some(10));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+5", b"-5", b"5 ", b"1_0", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
        let mut buffer = Vec::new();
        put_decimal(&mut buffer, 0);
        put_decimal(&mut buffer, 1234);
        assert_eq!(buffer, b"01234");
    }

    #[test]
    fn lists_drop_empty_elements() {
        assert_eq!(
            comma_list(b",, X-Hop ,\t,keep-alive").collect::<Vec<_>>(),
            [&b"X-Hop"[..], b"keep-alive"]
        );
    }
}
