//! Detecting the protocol by the first bytes of a connection.

/// The HTTP/2 connection preface (RFC 9113 3.4); its first lines look like a request head.
pub const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client begins HTTP/2 with prior knowledge (RFC 9113 3.3). The rest of the preface is checked by the HTTP/2
/// connection.
pub fn is_h2_preface(bytes: &[u8]) -> bool {
    const REQUEST_HEAD_BYTES: usize = 18;
    bytes.starts_with(&H2_PREFACE[..REQUEST_HEAD_BYTES])
}

/// Whether the first line has three words and the last is not an HTTP version.
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
    fn the_protocol_is_detected_by_the_first_line() {
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
