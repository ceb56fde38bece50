//! UDP sockets: the group of a listener, the addresses that datagrams were sent to, and connected sockets to backends.

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket as Raw, Type};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::UdpSocket};

/// Room for the largest datagram.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;
/// The receive buffer that is requested from the kernel, so that a burst is not lost while a worker is busy.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The number of sockets of each UDP listener: one for each worker.
static GROUP_SIZE: AtomicUsize = AtomicUsize::new(1);

/// Sets the number of workers, before the first listener is bound.
pub fn set_group_size(workers: usize) {
    GROUP_SIZE.store(workers.max(1), Relaxed);
}

/// Binds the sockets of a listener, one for each worker: the kernel sends all datagrams of a client to the same one. The group
/// is made once, because a change of its size moves clients to other workers.
pub(in crate::net) fn bind_group(address: SocketAddr) -> io::Result<Vec<StdSocket>> {
    let first = bind(address)?;
    let address = first.local_addr()?;
    let others = (1..GROUP_SIZE.load(Relaxed)).map(|_| bind(address));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn bind(address: SocketAddr) -> io::Result<StdSocket> {
    let socket = Raw::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel may allow less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    if GROUP_SIZE.load(Relaxed) > 1 {
        socket.set_reuse_port(true)?;
    }
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A datagram that was received; its bytes are at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub length: usize,
    pub from: SocketAddr,
    /// The address that it was sent to.
    pub to: SocketAddr,
}

/// The socket of a listener on one worker.
#[derive(Debug)]
pub struct DatagramListener {
    socket: UdpSocket,
    local: SocketAddr,
    /// The socket receives datagrams for every address of the machine.
    is_wildcard: bool,
}

impl DatagramListener {
    /// Registers a socket with the runtime of the worker.
    ///
    /// # Errors
    ///
    /// If the socket cannot be registered.
    pub fn new(socket: StdSocket) -> io::Result<DatagramListener> {
        let local = socket.local_addr()?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(DatagramListener { socket, local, is_wildcard: local.ip().is_unspecified() })
    }

    /// Receives the next datagram; `buffer` has [`MAX_DATAGRAM_BYTES`].
    pub fn poll_receive(&self, cx: &mut Context, buffer: &mut [u8]) -> Poll<io::Result<Received>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            match self.socket.try_io(Interest::READABLE, || self.receive(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if !self.is_wildcard {
            let (length, from) = recv_from(&self.socket, buffer)?;
            return Ok(Received { length, from, to: self.local });
        }
        let mut control = cmsg_space!(nix::libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let descriptor = self.socket.as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(&mut control), MsgFlags::empty())
                .map_err(io::Error::from)?;
        let to = message.cmsgs().map_err(io::Error::from)?.find_map(destination);
        let from = message.address.as_ref().and_then(socket_address);
        let from = from.ok_or(io::ErrorKind::InvalidData)?;
        let to = SocketAddr::new(to.unwrap_or(self.local.ip()), self.local.port());
        Ok(Received { length: message.bytes, from, to })
    }

    /// Sends a datagram to a client, from the address that the client sent to. Never waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the kernel does not take it, and every other error of sendmsg(2).
    pub fn try_send(&self, bytes: &[u8], from: SocketAddr, to: SocketAddr) -> io::Result<usize> {
        if !self.is_wildcard {
            return self.socket.try_send_to(bytes, to);
        }
        self.socket.try_io(Interest::WRITABLE, || {
            let (slices, flags) = ([IoSlice::new(bytes)], MsgFlags::empty());
            let (descriptor, to) = (self.socket.as_raw_fd(), SockaddrStorage::from(to));
            let sent = match from.ip() {
                IpAddr::V4(address) => {
                    let source = nix::libc::in_addr { s_addr: u32::from(address).to_be() };
                    let any = nix::libc::in_addr { s_addr: 0 };
                    let info = nix::libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: any };
                    sendmsg(descriptor, &slices, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
                }
                IpAddr::V6(address) => {
                    let source = nix::libc::in6_addr { s6_addr: address.octets() };
                    let info = nix::libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: scope(from) };
                    sendmsg(descriptor, &slices, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
                }
            };
            sent.map_err(io::Error::from)
        })
    }
}

/// The interface of a link-local address.
fn scope(address: SocketAddr) -> u32 {
    if let SocketAddr::V6(address) = address { address.scope_id() } else { 0 }
}

fn recv_from(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let (length, from) =
        nix::sys::socket::recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer).map_err(io::Error::from)?;
    let from = from.as_ref().and_then(socket_address).ok_or(io::ErrorKind::InvalidData)?;
    Ok((length, from))
}

fn destination(message: ControlMessageOwned) -> Option<IpAddr> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_wildcard_listener_sends_from_the_address_that_was_sent_to() {
        for (wildcard, addresses) in [("0.0.0.0:0", ["127.0.0.1", "127.0.0.9"]), ("[::]:0", ["::1", "::1"])] {
            let socket = bind(wildcard.parse().unwrap()).unwrap();
            let port = socket.local_addr().unwrap().port();
            let listener = DatagramListener::new(socket).unwrap();
            for address in addresses {
                let to = SocketAddr::new(address.parse().unwrap(), port);
                let own = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let client = UdpSocket::bind(own).await.unwrap();
                client.connect(to).await.unwrap();
                client.send(b"question").await.unwrap();
                let mut buffer = [0; MAX_DATAGRAM_BYTES];
                let received = poll_fn(|cx| listener.poll_receive(cx, &mut buffer)).await.unwrap();
                assert_eq!((received.to, received.length), (to, 8));
                assert_eq!(received.from, client.local_addr().unwrap());
                listener.try_send(b"answer", received.to, received.from).unwrap();
                assert_eq!(client.recv(&mut buffer).await.unwrap(), 6, "a connected socket ignores others");
            }
        }
    }
}
