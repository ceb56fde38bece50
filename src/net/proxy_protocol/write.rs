//! What the gateway says to a service about the connection of a client.

use super::{ProxyAddresses, V1, V2};
use std::{
    io::Write,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// The version that a service reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V1,
    V2,
}

/// What is said on a connection, which is good for requests of the same client connection only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    pub version: Version,
    pub addresses: ProxyAddresses,
}

/// The header in front of a connection made for a client.
pub fn write_proxy(out: &mut Vec<u8>, said: &ProxyHeader) {
    let ProxyAddresses { source: from, destination: to } = said.addresses;
    let [from, to] = [from, to].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
    match (said.version, from.ip(), to.ip()) {
        (Version::V1, IpAddr::V4(a), IpAddr::V4(b)) => write_v1(out, "TCP4", &a, &b, [from, to]),
        (Version::V1, a, b) => write_v1(out, "TCP6", &to_same_family(a), &to_same_family(b), [from, to]),
        (Version::V2, IpAddr::V4(a), IpAddr::V4(b)) => {
            write_v2(out, 0x11, &a.octets(), &b.octets(), [from, to]);
        }
        (Version::V2, a, b) => {
            write_v2(out, 0x21, &to_same_family(a).octets(), &to_same_family(b).octets(), [from, to])
        }
    }
}

/// The header in front of a connection that the gateway makes for itself: a probe.
pub fn write_local(out: &mut Vec<u8>, version: Version) {
    match version {
        Version::V1 => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        Version::V2 => {
            out.extend_from_slice(V2);
            out.extend_from_slice(&[0x20, 0, 0, 0]);
        }
    }
}

/// Both addresses are of one family: where one is of IPv6, the other is dressed as one.
fn to_same_family(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn write_v1(
    out: &mut Vec<u8>,
    family: &str,
    from: &dyn std::fmt::Display,
    to: &dyn std::fmt::Display,
    ends: [SocketAddr; 2],
) {
    out.extend_from_slice(V1);
    let [from_port, to_port] = ends.map(|end| end.port());
    // Writing to memory cannot fail.
    let _ = write!(out, "{family} {from} {to} {from_port} {to_port}\r\n");
}

fn write_v2(out: &mut Vec<u8>, family: u8, from: &[u8], to: &[u8], ends: [SocketAddr; 2]) {
    out.extend_from_slice(V2);
    let length = (from.len() + to.len() + 4) as u8;
    out.extend_from_slice(&[0x21, family, 0, length]);
    out.extend_from_slice(from);
    out.extend_from_slice(to);
    for end in ends {
        out.extend_from_slice(&end.port().to_be_bytes());
    }
}
