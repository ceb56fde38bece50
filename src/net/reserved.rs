//! The addresses of the administration, which nothing that the gateway connects to may be: a route, a discovered endpoint or
//! a URL in the configuration that led there could control the gateway. Checked before each connection; one that is open
//! is not checked again.

use super::{listener::Address, resolver, unix_address::UnixAddress};
use arc_swap::ArcSwap;
use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, LazyLock},
};

/// The reserved addresses of the process.
static RESERVED: LazyLock<ArcSwap<Vec<Address>>> = LazyLock::new(ArcSwap::default);

/// Replaces the reserved addresses: those that are bound, with their ports.
pub fn reserve(addresses: Vec<Address>) {
    RESERVED.store(Arc::new(addresses));
}

/// The connection was refused: the address is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedAddress;

impl fmt::Display for ReservedAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("it is the administration address of the gateway")
    }
}

impl std::error::Error for ReservedAddress {}

impl ReservedAddress {
    fn error() -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, ReservedAddress)
    }

    /// Whether an error of a connection is this one.
    pub fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<ReservedAddress>())
    }
}

/// Fails if a connection to this address would reach a reserved one.
///
/// # Errors
///
/// [`ReservedAddress`].
pub fn check_tcp(target: SocketAddr) -> io::Result<()> {
    let reserved = RESERVED.load();
    let reaches = |address: &Address| match address {
        Address::Tcp(address) => may_reach(target, *address) || reaches_wildcard(target, *address),
        Address::Udp(_) | Address::Unix(_) => false,
    };
    if reserved.iter().any(reaches) { Err(ReservedAddress::error()) } else { Ok(()) }
}

/// The same for a Unix domain socket; another path of the same file is the same socket.
///
/// # Errors
///
/// [`ReservedAddress`].
pub fn check_unix(target: &UnixAddress) -> io::Result<()> {
    let reserved = RESERVED.load();
    let is_same = |address: &Address| match address {
        Address::Unix(address) => address == target || is_same_file(address, target),
        Address::Tcp(_) | Address::Udp(_) => false,
    };
    if reserved.iter().any(is_same) { Err(ReservedAddress::error()) } else { Ok(()) }
}

/// Whether a connection to `target` reaches a socket that is bound to `bound`, as far as the addresses show: all loopback
/// addresses and the unspecified ones are this machine.
pub fn may_reach(target: SocketAddr, bound: SocketAddr) -> bool {
    let is_loopback = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let (to, of) = (target.ip().to_canonical(), bound.ip().to_canonical());
    target.port() == bound.port() && (to == of || (is_loopback(to) && is_loopback(of)))
}

/// Whether a host and a port, as written in a configuration, name the address `bound`. Relative paths of Unix domain sockets
/// are resolved against `base_dir`.
pub fn is_named_by(bound: &Address, host: &str, port: u16, base_dir: Option<&Path>) -> bool {
    match bound {
        Address::Unix(bound) => {
            UnixAddress::parse(host, base_dir).is_some_and(|named| named.as_ref() == Ok(bound))
        }
        Address::Tcp(bound) if bound.port() == port => {
            let addresses = resolver::parse_literal(host);
            addresses.is_some_and(|all| all.iter().any(|ip| may_reach(SocketAddr::new(*ip, port), *bound)))
        }
        Address::Tcp(_) | Address::Udp(_) => false,
    }
}

/// Whether `bound` accepts on every address of the machine, and `target` is one of them.
fn reaches_wildcard(target: SocketAddr, bound: SocketAddr) -> bool {
    let is_wildcard = bound.ip().to_canonical().is_unspecified();
    is_wildcard && target.port() == bound.port() && is_own_address(target)
}

/// Only an address of this machine can be bound.
fn is_own_address(address: SocketAddr) -> bool {
    let mut any_port = SocketAddr::new(address.ip().to_canonical(), 0);
    if let (SocketAddr::V6(to), SocketAddr::V6(from)) = (&mut any_port, address) {
        to.set_scope_id(from.scope_id());
    }
    UdpSocket::bind(any_port).is_ok()
}

fn is_same_file(one: &UnixAddress, other: &UnixAddress) -> bool {
    let id = |address: &UnixAddress| match address {
        UnixAddress::Path(path) => fs::metadata(path).ok().map(|found| (found.dev(), found.ino())),
        UnixAddress::Abstract(_) => None,
    };
    id(one).is_some_and(|file| Some(file) == id(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_name_of_the_loopback_interface_is_the_same_address() {
        for target in
            ["127.0.0.1:81", "127.9.9.9:81", "[::1]:81", "0.0.0.0:81", "[::]:81", "[::ffff:127.0.0.1]:81"]
        {
            for bound in ["127.0.0.1:81", "[::1]:81", "0.0.0.0:81", "[::]:81"] {
                assert!(may_reach(tcp(target), tcp(bound)), "{target} {bound}");
            }
            assert!(!may_reach(tcp(target), tcp("127.0.0.1:80")), "another port");
            assert!(!may_reach(tcp(target), tcp("192.0.2.1:81")), "another interface");
        }
        assert!(may_reach(tcp("192.0.2.1:81"), tcp("[::ffff:192.0.2.1]:81")));
    }

    #[test]
    fn an_address_of_an_interface_reaches_a_socket_on_all_addresses() {
        assert!(is_own_address(tcp("127.0.0.1:81")));
        assert!(!is_own_address(tcp("192.0.2.1:81")));
        // The address with which the machine would reach another one; no packet is sent.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let own = SocketAddr::new(socket.local_addr().unwrap().ip(), 81);
            assert!(reaches_wildcard(own, tcp("0.0.0.0:81")) && reaches_wildcard(own, tcp("[::]:81")));
            assert!(!reaches_wildcard(own, tcp("0.0.0.0:80")) && !reaches_wildcard(own, tcp("127.0.0.1:81")));
        }
    }

    #[test]
    fn a_socket_file_is_recognized_by_every_path() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("a.sock"), folder.path().join("b.sock"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let [socket, link, other] = [socket, link, folder.path().join("c.sock")].map(UnixAddress::Path);
        assert!(is_same_file(&socket, &link));
        assert!(!is_same_file(&socket, &other) && !is_same_file(&other, &other));
    }
}
