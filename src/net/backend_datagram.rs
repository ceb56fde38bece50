//! UDP sockets that are connected to a backend.

use super::reserved;
use nix::sys::socket::MsgFlags;
use socket2::{Domain, Protocol, Socket as Raw, Type};
use std::{io, net::SocketAddr, os::fd::AsRawFd};
use tokio::net::UdpSocket;

/// A socket that is connected to a backend, so that the kernel reports when its port is unreachable.
///
/// # Errors
///
/// If the address is reserved or no socket can be opened.
pub fn connect(backend: SocketAddr) -> io::Result<UdpSocket> {
    reserved::check_tcp(backend)?;
    let socket = Raw::new(Domain::for_address(backend), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&backend.into())?;
    UdpSocket::from_std(socket.into())
}

/// Sends a datagram on a connected socket. Never waits, and does not depend on the readiness that the runtime has seen: a new
/// socket has none yet.
///
/// # Errors
///
/// `WouldBlock` if the kernel does not take it, and every other error of send(2).
pub fn send_now(socket: &UdpSocket, bytes: &[u8]) -> io::Result<usize> {
    nix::sys::socket::send(socket.as_raw_fd(), bytes, MsgFlags::empty()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as StdSocket;

    #[tokio::test]
    async fn a_new_socket_sends_at_once() {
        let server = StdSocket::bind("127.0.0.1:0").unwrap();
        let client = connect(server.local_addr().unwrap()).unwrap();
        assert_eq!(send_now(&client, b"first").unwrap(), 5);
        let mut buffer = [0; 8];
        assert_eq!(server.recv(&mut buffer).unwrap(), 5);
    }
}
