//! Valid and invalid headers, in pieces and random; the `ppp` crate checks what is written.

use super::{
    header::{MAX_V1_LEN, V1, V2, V2_HEADER_LEN},
    parse::crc32c,
    *,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

fn header(bytes: &[u8]) -> Option<(Option<ProxyAddresses>, usize)> {
    match parse(bytes) {
        Ok(Parsed::Header { addresses: ends, length }) => Some((ends, length)),
        _ => None,
    }
}

fn ends(from: &str, to: &str) -> ProxyAddresses {
    ProxyAddresses { source: from.parse().unwrap(), destination: to.parse().unwrap() }
}

/// A version 2 header.
fn v2_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [V2, &[command, family], &length[..], rest].concat()
}

const FOUR: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn the_line_of_version_1_names_both_ends() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\nGET /";
    assert_eq!(header(line), Some((Some(ends("192.0.2.1:12345", "198.51.100.2:443")), 45)));
    let line = b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n";
    assert_eq!(header(line), Some((Some(ends("[2001:db8::1]:0", "[::ffff:1.2.3.4]:65535")), line.len())));
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"] {
        assert_eq!(header(unknown.as_bytes()), Some((None, unknown.len())), "{unknown}");
    }
}

#[test]
fn an_invalid_v1_line_is_rejected() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 012345 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +12345 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 65536\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 127.0.0.1 127.0.0.1 1 1\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY UNKNOWN\t\r\n",
        "PROXY \r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    let endless = [b"PROXY UNKNOWN ", &[b'f'; 200][..]].concat();
    assert_eq!(parse(&endless[..MAX_V1_LEN - 1]), Ok(Parsed::Incomplete));
    assert!(parse(&endless).is_err(), "no line is longer than 107 bytes");
}

#[test]
fn version_2_names_both_ends_or_says_that_there_are_none() {
    let bytes = v2_header(0x21, 0x11, &FOUR);
    assert_eq!(header(&bytes), Some((Some(ends("192.0.2.1:12345", "198.51.100.2:443")), 28)));
    let six = [&[0x20; 16][..], &[0x30; 16], &[0, 1, 0, 2]].concat();
    let (found, _) = header(&v2_header(0x21, 0x21, &six)).unwrap();
    assert_eq!(found.map(|ends| (ends.source.port(), ends.destination.port())), Some((1, 2)));
    for (command, family, rest) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, &FOUR[..]),
        (0x20, 0xff, b"the addresses of a LOCAL header are skipped"),
        (0x21, 0x00, b"unspecified"),
        (0x21, 0x31, &[0; 216]),
    ] {
        let bytes = v2_header(command, family, rest);
        assert_eq!(header(&bytes), Some((None, bytes.len())), "{command:x} {family:x}");
    }
}

#[test]
fn an_invalid_v2_header_is_rejected() {
    for (command, family, rest) in [
        (0x11, 0x11, &FOUR[..]),
        (0x22, 0x11, &FOUR),
        (0x21, 0x13, &FOUR),
        (0x21, 0x41, &FOUR),
        (0x21, 0x11, &FOUR[..11]),
        (0x21, 0x21, &FOUR),
        (0x21, 0x31, &FOUR),
        (0x21, 0x11, &[&FOUR[..], &[1, 0]].concat()),
        (0x21, 0x11, &[&FOUR[..], &[1, 0, 2, 9]].concat()),
        (0x21, 0x11, &[&FOUR[..], &[3, 0, 3, 9, 9, 9]].concat()),
    ] {
        assert!(parse(&v2_header(command, family, rest)).is_err(), "{command:x} {family:x} {rest:?}");
    }
    let longest = [&FOUR[..], &[0xee, 0x0f, 0xe1], &vec![0; MAX_V2_LEN - V2_HEADER_LEN - 15][..]].concat();
    assert!(header(&v2_header(0x21, 0x11, &longest)).is_some());
    assert!(parse(&[V2, &[0x21, 0x11, 0xff, 0xff]].concat()).is_err(), "rejected before it is complete");
}

#[test]
fn tlvs_are_skipped_and_a_checksum_is_verified() {
    assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283, "RFC 3720 B.4");
    let rest = [&FOUR[..], &[5, 0, 2, b'i', b'd', 3, 0, 4, 0, 0, 0, 0, 4, 0, 0]].concat();
    let mut bytes = v2_header(0x21, 0x11, &rest);
    assert!(parse(&bytes).is_err());
    let (sum, at) = (crc32c(&[&bytes]), V2_HEADER_LEN + FOUR.len() + 8);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    assert!(matches!(header(&bytes), Some((Some(_), _))));
    bytes[V2_HEADER_LEN] ^= 1;
    assert!(parse(&bytes).is_err());
}

#[test]
fn other_first_bytes_are_not_a_header() {
    for text in
        ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "\r\n\r\nGET /", "\r\nG", "\x16\x03\x01", "PROXYS"]
    {
        assert_eq!(parse(text.as_bytes()), Ok(Parsed::Absent), "{text:?}");
    }
    for text in ["", "P", "PROXY", "\r\n\r\n\0"] {
        assert_eq!(parse(text.as_bytes()), Ok(Parsed::Incomplete), "{text:?}");
    }
}

#[test]
fn a_probe_sends_a_local_header() {
    for version in [Version::V1, Version::V2] {
        let mut written = Vec::new();
        write_local(&mut written, version);
        assert_eq!(header(&written), Some((None, written.len())));
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from(bits).to_ipv6_mapped())),
    ]
}

prop_compose! {
    fn proxy_headers()(from in address(), to in address(), ports in any::<(u16, u16)>(), first in any::<bool>()) -> ProxyHeader {
        let ends = ProxyAddresses { source: SocketAddr::new(from, ports.0), destination: SocketAddr::new(to, ports.1) };
        ProxyHeader { version: if first { Version::V1 } else { Version::V2 }, addresses: ends }
    }
}

/// The addresses as parsed by the `ppp` crate.
fn parsed_by_ppp(bytes: &[u8]) -> Option<[SocketAddr; 2]> {
    use ppp::{HeaderResult, v1, v2};
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(a) => Some([
                SocketAddr::new(a.source_address.into(), a.source_port),
                SocketAddr::new(a.destination_address.into(), a.destination_port),
            ]),
            v1::Addresses::Tcp6(a) => Some([
                SocketAddr::new(a.source_address.into(), a.source_port),
                SocketAddr::new(a.destination_address.into(), a.destination_port),
            ]),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(a) => Some([
                SocketAddr::new(a.source_address.into(), a.source_port),
                SocketAddr::new(a.destination_address.into(), a.destination_port),
            ]),
            v2::Addresses::IPv6(a) => Some([
                SocketAddr::new(a.source_address.into(), a.source_port),
                SocketAddr::new(a.destination_address.into(), a.destination_port),
            ]),
            _ => None,
        },
        _ => None,
    }
}

proptest! {
    /// A written header is parsed by us and by `ppp`, and no prefix of it is taken for the whole.
    #[test]
    fn a_written_header_is_parsed(proxy_header in proxy_headers(), behind in any::<[u8; 4]>()) {
        let mut bytes = Vec::new();
        write_proxy(&mut bytes, &proxy_header);
        for cut in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..cut]), Ok(Parsed::Incomplete));
        }
        let canonical = |ends: [SocketAddr; 2]| ends.map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
        let expected = canonical([proxy_header.addresses.source, proxy_header.addresses.destination]);
        prop_assert_eq!(parsed_by_ppp(&bytes).map(canonical), Some(expected));
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        let (found, end) = header(&bytes).unwrap();
        prop_assert_eq!((found.map(|ends| canonical([ends.source, ends.destination])), end), (Some(expected), length));
    }

    /// Arbitrary bytes never panic, and a header is never longer than the input.
    #[test]
    fn arbitrary_bytes_never_panic(kind in 0..3usize, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let begin: &[u8] = [&b""[..], V1, V2][kind];
        let bytes = [begin, &bytes].concat();
        if let Ok(Parsed::Header { length, .. }) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }

    /// A header with one changed byte never panics, and more bytes never contradict the result for fewer.
    #[test]
    fn a_changed_byte_is_handled(proxy_header in proxy_headers(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        write_proxy(&mut bytes, &proxy_header);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let whole = parse(&bytes);
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Ok(Parsed::Incomplete) => {}
                early => prop_assert_eq!(early, whole),
            }
        }
    }
}
