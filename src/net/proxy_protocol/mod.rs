//! The PROXY protocol: what a proxy says in front of everything else about the connection that it carries on (HAProxy,
//! doc/proxy-protocol.txt, versions 1 and 2).

mod parse;
mod receive;
#[cfg(test)]
mod tests;
mod write;

pub use parse::{ParseError, Parsed, parse};
pub use receive::{Mode, ProxyProtocolConfig, ReceiveError};
pub use write::{ProxyHeader, Version, write_local, write_proxy};

use std::net::SocketAddr;

/// The line of version 1 begins so.
const V1: &[u8] = b"PROXY ";
/// A header of version 2 begins so.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const MAX_V1_LEN: usize = 107;
/// The bytes of version 2 before its addresses.
const V2_HEADER_LEN: usize = 16;
/// The longest header that is read: with room for what others append, and no more.
pub const MAX_V2_LEN: usize = 4096;

/// The two ends of a connection, as a proxy saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// CRC-32C (RFC 3720 B.4), bit by bit: it is asked for once a connection at most, and rarely.
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
