//! What the first bytes of a connection tell of the protocol.

use crate::net::h2::PREFACE;

/// Whether a client begins with HTTP/2 without asking (RFC 9113 3.3). The rest of the preface is looked at by whoever
/// takes over.
pub fn is_h2_preface(bytes: &[u8]) -> bool {
    const MAX_LEADING_LINES: usize = 18;
    bytes.starts_with(&PREFACE[..MAX_LEADING_LINES])
}

/// Whether they are a line of three words of which the last is no version of HTTP.
pub fn is_not_http(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&b| b == b' ').skip(2);
    let third = words.next().filter(|word| !word.is_empty());
    words.next().is_none() && third.is_some_and(|word| !word.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells() {
        assert!(
            is_h2_preface(b"PRI * HTTP/2.0\r\n\r\nSM") && !is_h2_preface(b"PRI * HTTP/2.0\r\nA: b\r\n\r\n")
        );
        assert!(is_not_http(b"INVALID CONNECTION PREFACE\r\n\r\n"));
        assert!(
            !is_not_http(b"GET / HTTP/3\r\n\r\n")
                && !is_not_http(b"GET /\r\n\r\n")
                && !is_not_http(b"a b c d\r\n")
        );
    }
}
