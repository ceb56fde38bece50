//! Listening sockets: bound once, shared by all workers, each of which accepts for itself.

use super::io::Io;
use pingora::protocols::{GetSocketDigest, l4::listener::Listener, l4::socket::SocketAddr as Address};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Connections that wait to be accepted; the kernel's `somaxconn` may allow fewer.
const BACKLOG: i32 = 4096;

/// Binds an address. The port may be 0: the kernel picks one.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One worker's share of a listening socket. No SO_REUSEPORT group: closing one member would reset its backlog.
#[derive(Debug)]
pub struct Acceptor(Listener);

/// A connection just accepted.
#[derive(Debug)]
pub struct Accepted {
    pub io: Io,
    pub peer: SocketAddr,
    pub local: SocketAddr,
}

impl Acceptor {
    /// Takes part in accepting; must be called on the worker's runtime.
    pub fn new(listener: &TcpListener) -> io::Result<Acceptor> {
        let own = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        Ok(Acceptor(Listener::from(own)))
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let mut stream = self.0.accept().await?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let digest = stream.get_socket_digest();
        let inet = |address: Option<&Address>| address.and_then(Address::as_inet).copied();
        let peer = digest.as_ref().and_then(|d| inet(d.peer_addr())).unwrap_or(nowhere);
        let local = digest.as_ref().and_then(|d| inet(d.local_addr())).unwrap_or(nowhere);
        stream.set_nodelay().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Accepted { io: Io::new(stream), peer, local })
    }
}
