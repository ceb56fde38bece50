//! From bytes to what the header says; strict, because nothing else on the connection vouches for it.

use super::{Ends, FIXED, LONGEST, LONGEST_V1, V1, V2, crc32c};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Too few to say.
    More,
    /// No header begins like this.
    None,
    /// A header of so many bytes; without ends the connection speaks for itself.
    Header { ends: Option<Ends>, length: usize },
}

/// What is wrong with a header, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong(pub &'static str);

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Wrong> {
    if bytes.starts_with(V1) {
        v1(bytes)
    } else if bytes.starts_with(V2) {
        v2(bytes)
    } else if V1.starts_with(bytes) || V2.starts_with(bytes) {
        Ok(Parsed::More)
    } else {
        Ok(Parsed::None)
    }
}

fn v1(bytes: &[u8]) -> Result<Parsed, Wrong> {
    let seen = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() < LONGEST_V1 { Ok(Parsed::More) } else { Err(Wrong("the line is too long")) };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(Wrong("the line does not end with CR LF"))?;
    let text = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b)));
    let text = text.ok_or(Wrong("the line holds bytes that are no text"))?;
    Ok(Parsed::Header { ends: line_of_v1(text)?, length: end + 1 })
}

fn line_of_v1(text: &str) -> Result<Option<Ends>, Wrong> {
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    // What follows is to be ignored.
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let words: [&str; 4] =
        words.collect::<Vec<_>>().try_into().map_err(|_| Wrong("two addresses and two ports are wanted"))?;
    let [from, to] = [words[0], words[1]].map(|word| address(family, word));
    let [from_port, to_port] = [words[2], words[3]].map(port);
    let ends = Ends { from: SocketAddr::new(from?, from_port?), to: SocketAddr::new(to?, to_port?) };
    Ok(Some(ends))
}

fn address(family: &str, text: &str) -> Result<IpAddr, Wrong> {
    match family {
        "TCP4" => {
            text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Wrong("an address is not one of IPv4"))
        }
        "TCP6" => {
            text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Wrong("an address is not one of IPv6"))
        }
        _ => Err(Wrong("the family is neither TCP4 nor TCP6 nor UNKNOWN")),
    }
}

/// Digits alone, no zero before others.
fn port(text: &str) -> Result<u16, Wrong> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or(Wrong("a port is not a number up to 65535"))
}

fn v2(bytes: &[u8]) -> Result<Parsed, Wrong> {
    let Some(fixed) = bytes.get(V2.len()..FIXED) else { return Ok(Parsed::More) };
    let (command, family) = (fixed[0], fixed[1]);
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if command >> 4 != 2 {
        return Err(Wrong("the version is not 2"));
    }
    if length > LONGEST {
        return Err(Wrong("the header is too long"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::More) };
    let ends = match command & 0xf {
        // The proxy speaks for itself.
        0 => None,
        1 => ends(family, header)?,
        _ => return Err(Wrong("the command is neither LOCAL nor PROXY")),
    };
    Ok(Parsed::Header { ends, length })
}

fn ends(family: u8, header: &[u8]) -> Result<Option<Ends>, Wrong> {
    if family & 0xf > 2 {
        return Err(Wrong("the protocol is neither STREAM nor DGRAM"));
    }
    let size = match family >> 4 {
        // Nobody knows what stands there.
        0 => return Ok(None),
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(Wrong("the family of the addresses is unknown")),
    };
    let rest = &header[FIXED..];
    let (addresses, more) = rest.split_at_checked(size).ok_or(Wrong("the addresses are cut off"))?;
    appended(header, FIXED + size, more)?;
    Ok(match family >> 4 {
        1 => pair::<4>(addresses),
        2 => pair::<16>(addresses),
        _ => None,
    })
}

/// Two addresses of `N` bytes, and two ports.
fn pair<const N: usize>(bytes: &[u8]) -> Option<Ends>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = bytes.split_first_chunk::<N>()?;
    let (to, ports) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *ports.first_chunk::<4>()?;
    let end = |address: [u8; N], port| SocketAddr::new(IpAddr::from(address), u16::from_be_bytes(port));
    Some(Ends { from: end(*from, [a, b]), to: end(*to, [c, d]) })
}

/// The type of the value that holds a checksum of the header.
const CHECKSUM: u8 = 3;

/// What is appended to the addresses is passed over, but for a checksum.
fn appended(header: &[u8], mut at: usize, mut rest: &[u8]) -> Result<(), Wrong> {
    const CUT: Wrong = Wrong("a value behind the addresses is cut off");
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(CUT)?;
        if kind == CHECKSUM {
            let told = <[u8; 4]>::try_from(value).map_err(|_| Wrong("the checksum has not four bytes"))?;
            // It was counted with zeros in its own place.
            let counted = crc32c(&[&header[..at + 3], &[0; 4], &header[at + 7..]]);
            if counted != u32::from_be_bytes(told) {
                return Err(Wrong("the checksum is not that of the header"));
            }
        }
        (at, rest) = (at + 3 + length, next);
    }
    if rest.is_empty() { Ok(()) } else { Err(CUT) }
}
