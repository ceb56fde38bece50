//! Parsing the header; strict, because the rest of the connection cannot confirm it.

use super::header::{MAX_V1_LEN, MAX_V2_LEN, ProxyAddresses, V1, V2, V2_HEADER_LEN};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// Not a header.
    Absent,
    /// A header of `length` bytes; without addresses those of the connection apply.
    Header { addresses: Option<ProxyAddresses>, length: usize },
}

/// What is wrong with a header, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

/// Parses the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    if bytes.starts_with(V1) {
        v1(bytes)
    } else if bytes.starts_with(V2) {
        v2(bytes)
    } else if V1.starts_with(bytes) || V2.starts_with(bytes) {
        Ok(Parsed::Incomplete)
    } else {
        Ok(Parsed::Absent)
    }
}

fn v1(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let seen = &bytes[..bytes.len().min(MAX_V1_LEN)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() < MAX_V1_LEN {
            Ok(Parsed::Incomplete)
        } else {
            Err(ParseError("the line is too long"))
        };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(ParseError("the line does not end with CR LF"))?;
    let text = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b)));
    let text = text.ok_or(ParseError("the line contains bytes that are not printable ASCII"))?;
    Ok(Parsed::Header { addresses: parse_v1_line(text)?, length: end + 1 })
}

fn parse_v1_line(text: &str) -> Result<Option<ProxyAddresses>, ParseError> {
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    // The rest of the line is ignored.
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let words: [&str; 4] = words
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| ParseError("expected two addresses and two ports"))?;
    let [from, to] = [words[0], words[1]].map(|word| address(family, word));
    let [from_port, to_port] = [words[2], words[3]].map(port);
    let ends = ProxyAddresses {
        source: SocketAddr::new(from?, from_port?),
        destination: SocketAddr::new(to?, to_port?),
    };
    Ok(Some(ends))
}

fn address(family: &str, text: &str) -> Result<IpAddr, ParseError> {
    match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| ParseError("invalid IPv4 address")),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| ParseError("invalid IPv6 address")),
        _ => Err(ParseError("unknown family: expected TCP4, TCP6 or UNKNOWN")),
    }
}

/// Only digits, without leading zeros.
fn port(text: &str) -> Result<u16, ParseError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or(ParseError("invalid port: must be 0 to 65535"))
}

fn v2(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let Some(fixed) = bytes.get(V2.len()..V2_HEADER_LEN) else { return Ok(Parsed::Incomplete) };
    let (command, family) = (fixed[0], fixed[1]);
    let length = V2_HEADER_LEN + usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if command >> 4 != 2 {
        return Err(ParseError("unknown version: expected 2"));
    }
    if length > MAX_V2_LEN {
        return Err(ParseError("the header is too long"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Incomplete) };
    let ends = match command & 0xf {
        // LOCAL: a connection of the proxy itself.
        0 => None,
        1 => parse_addresses(family, header)?,
        _ => return Err(ParseError("unknown command: expected LOCAL or PROXY")),
    };
    Ok(Parsed::Header { addresses: ends, length })
}

fn parse_addresses(family: u8, header: &[u8]) -> Result<Option<ProxyAddresses>, ParseError> {
    if family & 0xf > 2 {
        return Err(ParseError("unknown protocol: expected STREAM or DGRAM"));
    }
    let size = match family >> 4 {
        // AF_UNSPEC: the addresses are not known.
        0 => return Ok(None),
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(ParseError("unknown address family")),
    };
    let rest = &header[V2_HEADER_LEN..];
    let (addresses, tlvs) = rest.split_at_checked(size).ok_or(ParseError("the addresses are truncated"))?;
    parse_tlvs(header, V2_HEADER_LEN + size, tlvs)?;
    Ok(match family >> 4 {
        1 => address_pair::<4>(addresses),
        2 => address_pair::<16>(addresses),
        _ => None,
    })
}

/// Two addresses of `N` bytes and two ports.
fn address_pair<const N: usize>(bytes: &[u8]) -> Option<ProxyAddresses>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = bytes.split_first_chunk::<N>()?;
    let (to, ports) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *ports.first_chunk::<4>()?;
    let end = |address: [u8; N], port| SocketAddr::new(IpAddr::from(address), u16::from_be_bytes(port));
    Some(ProxyAddresses { source: end(*from, [a, b]), destination: end(*to, [c, d]) })
}

/// Type of the TLV with the checksum of the header.
const PP2_TYPE_CRC32C: u8 = 3;

/// Skips the TLVs after the addresses, but verifies the checksum.
fn parse_tlvs(header: &[u8], mut at: usize, mut rest: &[u8]) -> Result<(), ParseError> {
    const TRUNCATED: ParseError = ParseError("a TLV after the addresses is truncated");
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(TRUNCATED)?;
        if kind == PP2_TYPE_CRC32C {
            let expected =
                <[u8; 4]>::try_from(value).map_err(|_| ParseError("the checksum is not four bytes long"))?;
            // The checksum was computed with its own bytes set to zero.
            let computed = crc32c(&[&header[..at + 3], &[0; 4], &header[at + 7..]]);
            if computed != u32::from_be_bytes(expected) {
                return Err(ParseError("wrong checksum"));
            }
        }
        (at, rest) = (at + 3 + length, next);
    }
    if rest.is_empty() { Ok(()) } else { Err(TRUNCATED) }
}

/// CRC-32C (RFC 3720 B.4), bit by bit: computed at most once per connection.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}
