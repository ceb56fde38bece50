//! The PROXY protocol, versions 1 and 2: a header with the client's addresses in front of a proxied connection (HAProxy,
//! doc/proxy-protocol.txt).

mod parse;
mod receive;
#[cfg(test)]
mod tests;
mod write;

pub use parse::{ParseError, Parsed, parse};
pub use receive::{Mode, ProxyProtocolConfig, ReceiveError};
pub use write::{ProxyHeader, Version, write_local, write_proxy};

use std::net::SocketAddr;

/// Prefix of a version 1 line.
const V1: &[u8] = b"PROXY ";
/// Signature of a version 2 header.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Maximum length of a version 1 line, CR LF included.
const MAX_V1_LEN: usize = 107;
/// Length of a version 2 header before its addresses.
const V2_HEADER_LEN: usize = 16;
/// Maximum length of a version 2 header, with room for TLVs.
pub const MAX_V2_LEN: usize = 4096;

/// The source and destination address of the proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// CRC-32C (RFC 3720 B.4), bit by bit: computed at most once per connection.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}
