//! The peer of a client connection.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

/// The peer of a client connection and the transport it uses.
///
/// ```
/// use margay::pipeline::exchange::Peer;
///
/// let peer = Peer::new("[::ffff:192.0.2.7]:4711".parse()?, "192.0.2.1:443".parse()?, true);
/// assert_eq!((peer.ip_text(), peer.scheme()), (&b"192.0.2.7"[..], "https"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The remote address of the connection.
    pub address: SocketAddr,
    /// The local address of the connection.
    pub local_address: SocketAddr,
    /// The connection uses TLS.
    pub tls: bool,
    listener_port: u16,
    text: AddressText,
}

/// An IP address as text, formatted once per connection instead of once per request.
#[derive(Clone, Copy, Debug)]
struct AddressText {
    bytes: [u8; 46],
    len: u8,
}

impl AddressText {
    fn from_ip(address: IpAddr) -> AddressText {
        let mut bytes = [0; 46];
        let capacity = bytes.len();
        let mut free = &mut bytes[..];
        // The longest address has 45 characters: this cannot fail.
        let _ = write!(free, "{address}");
        let len = (capacity - free.len()) as u8;
        AddressText { bytes, len }
    }
}

impl Peer {
    /// The peer of a connection between two addresses.
    pub fn new(address: SocketAddr, local_address: SocketAddr, tls: bool) -> Peer {
        let text = AddressText::from_ip(address.ip().to_canonical());
        Peer { address, local_address, tls, listener_port: local_address.port(), text }
    }

    /// The peer behind a proxy whose PROXY header states both addresses: the listener has its own port.
    pub fn with_listener_port(self, listener_port: u16) -> Peer {
        Peer { listener_port, ..self }
    }

    /// The port on which the connection was accepted; 0 for a Unix domain socket.
    pub fn listener_port(&self) -> u16 {
        self.listener_port
    }

    /// The remote IP address; IPv4-mapped IPv6 addresses (`::ffff:`) are converted to IPv4.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// [`Peer::ip`] as text, without brackets.
    pub fn ip_text(&self) -> &[u8] {
        &self.text.bytes[..self.text.len as usize]
    }

    /// The URL scheme of the connection.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}
