//! From bytes to what the header says; strict, because nothing else on the connection vouches for it.

use super::{MAX_V1_LEN, MAX_V2_LEN, ProxyAddresses, V1, V2, V2_HEADER_LEN, crc32c};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Too few to say.
    Incomplete,
    /// No header begins like this.
    Absent,
    /// A header of so many bytes; without ends the connection speaks for itself.
    Header { parse_addresses: Option<ProxyAddresses>, length: usize },
}

/// What is wrong with a header, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

/// Looks at the first bytes of a connection.
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
    let text = text.ok_or(ParseError("the line holds bytes that are no text"))?;
    Ok(Parsed::Header { parse_addresses: parse_v1_line(text)?, length: end + 1 })
}

fn parse_v1_line(text: &str) -> Result<Option<ProxyAddresses>, ParseError> {
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    // What follows is to be ignored.
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let words: [&str; 4] = words
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| ParseError("two addresses and two ports are wanted"))?;
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
        "TCP4" => {
            text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| ParseError("an address is not one of IPv4"))
        }
        "TCP6" => {
            text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| ParseError("an address is not one of IPv6"))
        }
        _ => Err(ParseError("the family is neither TCP4 nor TCP6 nor UNKNOWN")),
    }
}

/// Digits alone, no zero before others.
fn port(text: &str) -> Result<u16, ParseError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or(ParseError("a port is not a number up to 65535"))
}

fn v2(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let Some(fixed) = bytes.get(V2.len()..V2_HEADER_LEN) else { return Ok(Parsed::Incomplete) };
    let (command, family) = (fixed[0], fixed[1]);
    let length = V2_HEADER_LEN + usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if command >> 4 != 2 {
        return Err(ParseError("the version is not 2"));
    }
    if length > MAX_V2_LEN {
        return Err(ParseError("the header is too long"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Incomplete) };
    let ends = match command & 0xf {
        // The proxy speaks for itself.
        0 => None,
        1 => parse_addresses(family, header)?,
        _ => return Err(ParseError("the command is neither LOCAL nor PROXY")),
    };
    Ok(Parsed::Header { parse_addresses: ends, length })
}

fn parse_addresses(family: u8, header: &[u8]) -> Result<Option<ProxyAddresses>, ParseError> {
    if family & 0xf > 2 {
        return Err(ParseError("the protocol is neither STREAM nor DGRAM"));
    }
    let size = match family >> 4 {
        // Nobody knows what stands there.
        0 => return Ok(None),
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(ParseError("the family of the addresses is unknown")),
    };
    let rest = &header[V2_HEADER_LEN..];
    let (addresses, more) = rest.split_at_checked(size).ok_or(ParseError("the addresses are cut off"))?;
    parse_tlvs(header, V2_HEADER_LEN + size, more)?;
    Ok(match family >> 4 {
        1 => address_pair::<4>(addresses),
        2 => address_pair::<16>(addresses),
        _ => None,
    })
}

/// Two addresses of `N` bytes, and two ports.
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

/// The type of the value that holds a checksum of the header.
const PP2_TYPE_CRC32C: u8 = 3;

/// What is appended to the addresses is passed over, but for a checksum.
fn parse_tlvs(header: &[u8], mut at: usize, mut rest: &[u8]) -> Result<(), ParseError> {
    const TRUNCATED: ParseError = ParseError("a value behind the addresses is cut off");
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(TRUNCATED)?;
        if kind == PP2_TYPE_CRC32C {
            let told =
                <[u8; 4]>::try_from(value).map_err(|_| ParseError("the checksum has not four bytes"))?;
            // It was counted with zeros in its own place.
            let counted = crc32c(&[&header[..at + 3], &[0; 4], &header[at + 7..]]);
            if counted != u32::from_be_bytes(told) {
                return Err(ParseError("the checksum is not that of the header"));
            }
        }
        (at, rest) = (at + 3 + length, next);
    }
    if rest.is_empty() { Ok(()) } else { Err(TRUNCATED) }
}
