//! Host and authority (RFC 9110 7.2, RFC 3986 3.2).

use std::net::Ipv6Addr;

/// uri-host [ ":" port ], not empty, without userinfo.
pub fn is_authority(text: &[u8]) -> bool {
    let (name, port) = split_host_port(text);
    is_name(name) && port.is_none_or(|p| p.len() <= 5 && p.iter().all(u8::is_ascii_digit))
}

/// Name (or bracketed address) and port of an authority.
pub fn split_host_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = match text.first() {
        Some(b'[') => text.iter().position(|&b| b == b']').unwrap_or(0),
        _ => 0,
    };
    match text[from..].iter().position(|&b| b == b':') {
        Some(at) => (&text[..from + at], Some(&text[from + at + 1..])),
        None => (text, None),
    }
}

fn is_name(name: &[u8]) -> bool {
    match name {
        [] => false,
        [b'[', inner @ .., b']'] => std::str::from_utf8(inner).is_ok_and(|s| s.parse::<Ipv6Addr>().is_ok()),
        _ => is_reg_name(name),
    }
}

/// RFC 3986 3.2.2: unreserved, sub-delims and percent-encoded bytes.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [a, b, tail @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => tail,
            (b, _) if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(b) => tail,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_names_or_bracketed_addresses_with_an_optional_port() {
        for good in [&b"gw.test"[..], b"GW.TEST:80", b"[::1]:8080", b"a_b", b"a,b", b"gw.test:"] {
            assert!(is_authority(good), "{}", String::from_utf8_lossy(good));
        }
        for bad in [
            &b""[..],
            b"gw/x",
            b"gw:abc",
            b"gw:80:80",
            b"[::1",
            b"[::g]",
            b"g^w",
            b"u@h",
            b"a b",
            b"gw: 80",
            b":80",
        ] {
            assert!(!is_authority(bad), "{}", String::from_utf8_lossy(bad));
        }
    }
}
