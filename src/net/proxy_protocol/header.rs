//! The parts of a header that parsing and writing share.

use std::net::SocketAddr;

/// Prefix of a version 1 line.
pub(super) const V1: &[u8] = b"PROXY ";
/// Signature of a version 2 header.
pub(super) const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Maximum length of a version 1 line, CR LF included.
pub(super) const MAX_V1_LEN: usize = 107;
/// Length of a version 2 header before its addresses.
pub(super) const V2_HEADER_LEN: usize = 16;
/// Maximum length of a version 2 header, with room for TLVs.
pub const MAX_V2_LEN: usize = 4096;

/// The source and destination address of the proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}
