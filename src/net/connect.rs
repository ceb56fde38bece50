//! Connecting to backends: address selection, PROXY header, TLS handshake.

use super::{
    agents::endpoint::AgentEndpoint,
    connected_peer::ConnectedPeer,
    descriptors,
    forward_stream::ForwardStream,
    io::Stream,
    proxy_protocol::{ProxyHeader, write_proxy},
    reserved::{self, ReservedAddress},
    resolver::{ResolvedName, ResolvedPeer},
    socket_stream::SocketStream,
    tls::{alpn::AlpnOffer, client::TlsTarget},
    unix_address::UnixAddress,
};
use crate::{
    base::backoff,
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};

/// Delay of the first retry when the backlog of a Unix domain socket is full; doubled after each further attempt.
const MIN_BACKLOG_DELAY: Duration = Duration::from_millis(1);
/// Maximum delay of these retries.
const MAX_BACKLOG_DELAY: Duration = Duration::from_millis(50);

/// The address of an endpoint.
#[derive(Debug)]
pub enum ConnectAddr {
    /// The addresses of a name; `preferred` is the index of the address that accepted the last connection.
    Tcp { name: Arc<ResolvedName>, preferred: AtomicUsize },
    /// A Unix domain socket.
    Unix(UnixAddress),
    /// The service of an agent: a stream on one of its connections.
    Agent(AgentEndpoint),
}

impl ConnectAddr {
    /// The address of a resolved name.
    pub fn from_name(name: Arc<ResolvedName>) -> ConnectAddr {
        ConnectAddr::Tcp { name, preferred: AtomicUsize::new(0) }
    }

    /// Whether the name has been resolved.
    pub fn is_resolved(&self) -> bool {
        match self {
            ConnectAddr::Tcp { name, .. } => name.current().is_some(),
            ConnectAddr::Unix(_) | ConnectAddr::Agent(_) => true,
        }
    }

    /// The address for datagrams; `None`: the name is not resolved, or this is a Unix domain socket.
    pub fn current(&self) -> Option<IpAddr> {
        match self {
            ConnectAddr::Tcp { name, preferred } => {
                let addresses = name.current()?;
                addresses.get(preferred.load(Ordering::Relaxed)).or(addresses.first()).copied()
            }
            ConnectAddr::Unix(_) | ConnectAddr::Agent(_) => None,
        }
    }

    /// Waits until the name is resolved; whether it is.
    pub async fn resolve(&self, deadline: Instant) -> bool {
        match self {
            ConnectAddr::Tcp { name, .. } => name.addresses(deadline).await.is_ok(),
            ConnectAddr::Unix(_) | ConnectAddr::Agent(_) => true,
        }
    }

    /// Whether `peer` is still an address of this endpoint.
    pub(in crate::net) fn is_current(&self, peer: &mut ConnectedPeer) -> bool {
        match (self, peer) {
            (ConnectAddr::Tcp { name, .. }, ConnectedPeer::Resolved(peer)) => name.still_contains(peer),
            (ConnectAddr::Tcp { .. }, _) => false,
            (ConnectAddr::Unix(_) | ConnectAddr::Agent(_), peer) => !peer.is_leaving(),
        }
    }
}

/// What to connect to, and what is sent before the first request.
#[derive(Debug)]
pub struct ConnectTarget<'a> {
    pub addr: &'a ConnectAddr,
    /// The port, for names.
    pub port: u16,
    /// The PROXY header to send first, if any.
    pub proxy_header: Option<ProxyHeader>,
    /// TLS settings; `None`: plain.
    pub tls: Option<&'a TlsTarget>,
    /// The client that the connection is for, if it is for one only; agents get it.
    pub client: Option<SocketAddr>,
}

impl ConnectTarget<'_> {
    /// `host:port`, for error messages.
    pub(in crate::net) fn label(&self) -> String {
        match self.addr {
            ConnectAddr::Tcp { name, .. } => format!("{}:{}", name.text(), self.port),
            ConnectAddr::Unix(path) => path.to_string(),
            ConnectAddr::Agent(endpoint) => endpoint.address.to_string(),
        }
    }
}

/// Opens a connection within `timeout`: connects, writes the PROXY header and completes the TLS handshake.
pub(in crate::net) async fn open_stream(
    target: &ConnectTarget<'_>,
    offer: AlpnOffer,
    timeout: Duration,
) -> Result<(Stream, ConnectedPeer), GatewayError> {
    let descriptor = match descriptors::PROCESS.try_backend() {
        None => Box::pin(descriptors::PROCESS.backend()).await,
        free => free,
    };
    let Some(descriptor) = descriptor else {
        let detail = format!("no descriptor is free for a connection to the backend {}", target.label());
        return Err(GatewayError::new(ErrorCode::GatewayConnectionLimit, detail));
    };
    let (stream, peer) = connect_stream(target, offer, timeout).await?;
    Ok((stream.counted(descriptor), peer))
}

/// Opens a connection whose bytes are forwarded as they are, within `timeout`.
///
/// # Errors
///
/// The error of the attempt, with its code.
pub async fn open_forward_stream(
    target: &ConnectTarget<'_>,
    timeout: Duration,
) -> Result<ForwardStream, GatewayError> {
    let Some(descriptor) = descriptors::PROCESS.try_backend() else {
        let detail = format!("no descriptor is free for a connection to the backend {}", target.label());
        return Err(GatewayError::new(ErrorCode::GatewayConnectionLimit, detail));
    };
    let deadline = Instant::now() + timeout;
    let (socket, _) = connect_socket(target, deadline, timeout).await?;
    socket.prepare();
    let Some(tls) = target.tls else { return Ok(ForwardStream::new(socket).counted(descriptor)) };
    match tokio::time::timeout_at(deadline.into(), tls.connect_forwarded(socket, &target.label())).await {
        Ok(stream) => Ok(stream?.counted(descriptor)),
        Err(_) => Err(timeout_error(
            target,
            "accepted a connection but did not complete the TLS handshake",
            timeout,
        )),
    }
}

/// A connected socket on which the PROXY header was sent, and the address behind a name.
async fn connect_socket(
    target: &ConnectTarget<'_>,
    deadline: Instant,
    timeout: Duration,
) -> Result<(SocketStream, ConnectedPeer), GatewayError> {
    let connected = match target.addr {
        ConnectAddr::Tcp { name, preferred } => {
            let generation = name.generation();
            let addresses =
                name.addresses(deadline).await.map_err(|reason| resolve_error(target, &reason))?;
            let connected = connect(&addresses, target.port, preferred, deadline).await;
            connected.map(|(stream, address)| {
                (SocketStream::Tcp(stream), ConnectedPeer::Resolved(ResolvedPeer { address, generation }))
            })
        }
        ConnectAddr::Unix(path) => connect_unix(path, deadline)
            .await
            .map(|stream| (SocketStream::Unix(stream), ConnectedPeer::Fixed)),
        ConnectAddr::Agent(endpoint) => {
            let stream = Box::pin(endpoint.open(target.client, timeout)).await?;
            let peer = ConnectedPeer::Agent(stream.connection());
            Ok((SocketStream::Agent(Box::new(stream)), peer))
        }
    };
    let (mut socket, peer) = connected.map_err(|error| connect_error(target, &error, timeout))?;
    if let Some(header) = &target.proxy_header {
        let written = write_header(&mut socket, header, deadline).await;
        written.map_err(|error| connect_error(target, &error, timeout))?;
    }
    Ok((socket, peer))
}

async fn connect_stream(
    target: &ConnectTarget<'_>,
    offer: AlpnOffer,
    timeout: Duration,
) -> Result<(Stream, ConnectedPeer), GatewayError> {
    let deadline = Instant::now() + timeout;
    let (connected, peer) = connect_socket(target, deadline, timeout).await?;
    let Some(tls) = target.tls else { return Ok((Stream::new(connected), peer)) };
    match tokio::time::timeout_at(deadline.into(), tls.connect(connected.into(), &target.label(), offer))
        .await
    {
        Ok(stream) => Ok((stream?, peer)),
        Err(_) => Err(timeout_error(
            target,
            "accepted a connection but did not complete the TLS handshake",
            timeout,
        )),
    }
}

pub(in crate::net) fn timeout_error(target: &ConnectTarget, what: &str, timeout: Duration) -> GatewayError {
    GatewayError::new(
        ErrorCode::BackendConnectTimeout,
        format!("the backend {} {what} within {timeout:?}", target.label()),
    )
}

#[cold]
fn resolve_error(target: &ConnectTarget, reason: &str) -> GatewayError {
    let detail = format!("the host name of the backend {} was not resolved: {reason}", target.label());
    GatewayError::new(ErrorCode::BackendDns, detail)
}

#[cold]
fn connect_error(target: &ConnectTarget, error: &io::Error, timeout: Duration) -> GatewayError {
    if ReservedAddress::is_cause(error) {
        let detail = format!("no connection to {}: {ReservedAddress}", target.label());
        return GatewayError::new(ErrorCode::BackendForbidden, detail);
    }
    if error.kind() == io::ErrorKind::TimedOut {
        return timeout_error(target, "did not accept a connection", timeout);
    }
    GatewayError::new(
        ErrorCode::BackendConnect,
        format!("no connection to the backend {}: {error}", target.label()),
    )
}

/// Writes the PROXY header before TLS and everything else.
async fn write_header(stream: &mut SocketStream, header: &ProxyHeader, deadline: Instant) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(64);
    write_proxy(&mut bytes, header);
    tokio::time::timeout_at(deadline.into(), stream.write_all(&bytes)).await?
}

/// Connects to a Unix domain socket. When its backlog is full, the kernel fails at once instead of waiting; so retry.
pub(in crate::net) async fn connect_unix(address: &UnixAddress, deadline: Instant) -> io::Result<UnixStream> {
    reserved::check_unix(address)?;
    for attempt in 0.. {
        match UnixStream::connect(address.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let delay = backoff::bound(MIN_BACKLOG_DELAY, MAX_BACKLOG_DELAY, attempt);
                if Instant::now() + delay >= deadline {
                    break;
                }
                tokio::time::sleep(delay).await;
            }
            connected => return connected,
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Tries the addresses one after the other, beginning with the one that accepted last. Each gets an equal share of the
/// remaining time, so that an unresponsive address does not prevent the others from being tried.
async fn connect(
    addresses: &[IpAddr],
    port: u16,
    preferred: &AtomicUsize,
    deadline: Instant,
) -> io::Result<(TcpStream, IpAddr)> {
    let first = preferred.load(Ordering::Relaxed) % addresses.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (tried, at) in (first..addresses.len()).chain(0..first).enumerate() {
        let share = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        let target = SocketAddr::new(addresses[at], port);
        let connecting = async {
            reserved::check_tcp(target)?;
            TcpStream::connect(target).await
        };
        match tokio::time::timeout(share, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                preferred.store(at, Ordering::Relaxed);
                return Ok((stream, addresses[at]));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::resolver::Resolver;
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, TcpListener};

    const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    /// A listening socket with a full backlog, and the connections that fill it.
    fn full_backlog() -> (Socket, Vec<std::net::TcpStream>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(FIRST, 0).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        let connections = std::iter::from_fn(connect).take(64).collect();
        (socket, connections)
    }

    #[tokio::test]
    async fn an_unresponsive_address_leaves_time_for_the_next() {
        let (_socket, _connections) = full_backlog();
        let port = _socket.local_addr().unwrap().as_socket().unwrap().port();
        let name = Resolver::default().get("two.addresses");
        name.publish(vec![FIRST, SECOND]);
        let addr = ConnectAddr::from_name(name.clone());
        let target = ConnectTarget { addr: &addr, port, proxy_header: None, tls: None, client: None };
        let connected = async || {
            open_stream(&target, AlpnOffer::Http1, Duration::from_millis(400))
                .await
                .map(drop)
                .map_err(|c| c.code)
        };
        assert_eq!(
            connected().await,
            Err(ErrorCode::BackendConnect),
            "nothing listens on the second address"
        );
        let _second = TcpListener::bind((SECOND, port)).unwrap();
        assert_eq!(connected().await, Ok(()));
        let ConnectAddr::Tcp { preferred, .. } = &addr else { panic!("a name") };
        assert_eq!(preferred.load(Ordering::Relaxed), 1, "it is tried first from now on");
        name.publish(vec![FIRST]);
        assert_eq!(connected().await, Err(ErrorCode::BackendConnectTimeout));
    }

    #[tokio::test]
    async fn connecting_waits_for_a_full_unix_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let addr = ConnectAddr::Unix(UnixAddress::Path(path));
        let target = ConnectTarget { addr: &addr, port: 0, proxy_header: None, tls: None, client: None };
        let connected = async |ms| {
            open_stream(&target, AlpnOffer::Http1, Duration::from_millis(ms)).await.map_err(|c| c.code)
        };
        let mut connections = Vec::new();
        let error = loop {
            match connected(50).await {
                Ok(conn) => connections.push(conn),
                Err(why) => break why,
            }
        };
        assert_eq!(error, ErrorCode::BackendConnectTimeout);
        let connecting = connected(5_000);
        let accepting = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.accept().unwrap()
        };
        assert!(tokio::join!(connecting, accepting).0.is_ok());
        drop(socket);
        assert_eq!(connected(5_000).await.err(), Some(ErrorCode::BackendConnect), "nothing listens any more");
    }
}
