//! Writing the PROXY header that passes the client's address to a backend.

use super::header::{ProxyAddresses, V1, V2};
use std::{
    io::Write,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// The version of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V1,
    V2,
}

/// The header of a connection, which then serves only requests of that client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    pub version: Version,
    pub addresses: ProxyAddresses,
}

/// Writes the header of a connection opened for a client.
pub fn write_proxy(buf: &mut Vec<u8>, header: &ProxyHeader) {
    let ProxyAddresses { source: from, destination: to } = header.addresses;
    let [from, to] = [from, to].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
    match (header.version, from.ip(), to.ip()) {
        (Version::V1, IpAddr::V4(a), IpAddr::V4(b)) => write_v1(buf, "TCP4", &a, &b, [from, to]),
        (Version::V1, a, b) => write_v1(buf, "TCP6", &to_same_family(a), &to_same_family(b), [from, to]),
        (Version::V2, IpAddr::V4(a), IpAddr::V4(b)) => {
            write_v2(buf, 0x11, &a.octets(), &b.octets(), [from, to]);
        }
        (Version::V2, a, b) => {
            write_v2(buf, 0x21, &to_same_family(a).octets(), &to_same_family(b).octets(), [from, to]);
        }
    }
}

/// Writes the LOCAL header of a connection opened by the gateway itself, such as a health check.
pub fn write_local(buf: &mut Vec<u8>, version: Version) {
    match version {
        Version::V1 => buf.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        Version::V2 => {
            buf.extend_from_slice(V2);
            buf.extend_from_slice(&[0x20, 0, 0, 0]);
        }
    }
}

/// Both addresses must be of one family: an IPv4 address next to an IPv6 one is mapped to IPv6.
fn to_same_family(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn write_v1(
    buf: &mut Vec<u8>,
    family: &str,
    from: &dyn std::fmt::Display,
    to: &dyn std::fmt::Display,
    addresses: [SocketAddr; 2],
) {
    buf.extend_from_slice(V1);
    let [from_port, to_port] = addresses.map(|end| end.port());
    // Writing to a Vec cannot fail.
    let _ = write!(buf, "{family} {from} {to} {from_port} {to_port}\r\n");
}

fn write_v2(buf: &mut Vec<u8>, family: u8, from: &[u8], to: &[u8], addresses: [SocketAddr; 2]) {
    buf.extend_from_slice(V2);
    let length = (from.len() + to.len() + 4) as u8;
    buf.extend_from_slice(&[0x21, family, 0, length]);
    buf.extend_from_slice(from);
    buf.extend_from_slice(to);
    for end in addresses {
        buf.extend_from_slice(&end.port().to_be_bytes());
    }
}
