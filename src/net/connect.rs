//! Opening connections to backends.

use super::{
    h1::backend::BackendConn,
    io::Stream,
    pool::PoolKey,
    proxy_protocol::{ProxyHeader, write_proxy},
    resolver::{ResolvedName, ResolvedPeer},
    tls::client::TlsTarget,
    unix_address::UnixAddress,
};
use crate::pipeline::error::{ErrorCode, GatewayError};
use pingora::protocols::l4::stream::Stream as L4Stream;
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

/// How an endpoint is reached. Whatever else opens connections one day stands here beside the others.
#[derive(Debug)]
pub enum ConnectAddr {
    /// At one of the addresses that a name has; `preferred` remembers which of several answered last.
    Tcp { name: Arc<ResolvedName>, preferred: AtomicUsize },
    /// Through a socket of this machine.
    Unix(UnixAddress),
}

impl ConnectAddr {
    /// Through that name.
    pub fn from_name(name: Arc<ResolvedName>) -> ConnectAddr {
        ConnectAddr::Tcp { name, preferred: AtomicUsize::new(0) }
    }

    /// Whether it is known where it leads.
    pub fn is_resolved(&self) -> bool {
        match self {
            ConnectAddr::Tcp { name, .. } => name.current().is_some(),
            ConnectAddr::Unix(_) => true,
        }
    }

    /// Whether a connection that came from it would lead to the same place today.
    pub(in crate::net) fn is_current(&self, origin: &mut Option<ResolvedPeer>) -> bool {
        match (self, origin) {
            (ConnectAddr::Tcp { name, .. }, Some(origin)) => name.still_contains(origin),
            (ConnectAddr::Tcp { .. }, None) => false,
            (ConnectAddr::Unix(_), _) => true,
        }
    }
}

/// Where to dial, and what comes before the first request.
#[derive(Debug)]
pub struct ConnectTarget<'a> {
    pub addr: &'a ConnectAddr,
    /// Of a name.
    pub port: u16,
    /// What the PROXY protocol says first; none: it is not spoken.
    pub proxy_header: Option<ProxyHeader>,
    /// None: plain.
    pub tls: Option<&'a TlsTarget>,
}

impl ConnectTarget<'_> {
    /// For people: `host:port`.
    pub(in crate::net) fn label(&self) -> String {
        match self.addr {
            ConnectAddr::Tcp { name, .. } => format!("{}:{}", name.text(), self.port),
            ConnectAddr::Unix(place) => place.to_string(),
        }
    }
}

/// What is offered to a backend over TLS; without TLS both sides know beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlpnOffer {
    Http1,
    Http2,
    /// HTTP/2 rather than HTTP/1.1.
    Both,
}

/// Opens a connection of HTTP/1.1.
pub async fn addr(
    goal: &ConnectTarget<'_>,
    key: PoolKey,
    within: Duration,
) -> Result<Box<BackendConn>, GatewayError> {
    let (io, origin) = open_stream(goal, AlpnOffer::Http1, within).await?;
    Ok(BackendConn::new(io, key, origin, goal.proxy_header))
}

/// Opens a connection within that time.
pub(in crate::net) async fn open_stream(
    goal: &ConnectTarget<'_>,
    offer: AlpnOffer,
    within: Duration,
) -> Result<(Stream, Option<ResolvedPeer>), GatewayError> {
    let until = Instant::now() + within;
    let reached = match goal.addr {
        ConnectAddr::Tcp { name, preferred } => {
            let change = name.generation();
            let Some(addresses) = name.addresses(until).await else { return Err(resolve_error(goal)) };
            let reached = connect(&addresses, goal.port, preferred, until).await;
            reached.map(|(stream, address)| (stream, Some(ResolvedPeer { address, generation: change })))
        }
        ConnectAddr::Unix(place) => connect_unix(place, until).await.map(|stream| (stream.into(), None)),
    };
    let (mut connected, origin) = reached.map_err(|error| connect_error(goal, &error, within))?;
    if let Some(said) = &goal.proxy_header {
        write_proxy_header(&mut connected, said, until)
            .await
            .map_err(|error| connect_error(goal, &error, within))?;
    }
    let Some(tls) = goal.tls else { return Ok((Stream::new(connected), origin)) };
    match tokio::time::timeout_at(until.into(), tls.connect(connected, &goal.label(), offer)).await {
        Ok(secured) => Ok((secured?, origin)),
        Err(_) => Err(timeout_error(goal, "accepted a connection, but finished no TLS handshake", within)),
    }
}

pub(in crate::net) fn timeout_error(goal: &ConnectTarget, what: &str, within: Duration) -> GatewayError {
    GatewayError::new(
        ErrorCode::BackendConnectTimeout,
        format!("the backend {} {what} within {within:?}", goal.label()),
    )
}

#[cold]
fn resolve_error(goal: &ConnectTarget) -> GatewayError {
    let detail = format!("the name of the backend {} was not resolved", goal.label());
    GatewayError::new(ErrorCode::BackendDns, detail)
}

#[cold]
fn connect_error(goal: &ConnectTarget, error: &io::Error, within: Duration) -> GatewayError {
    if error.kind() == io::ErrorKind::TimedOut {
        return timeout_error(goal, "did not accept a connection", within);
    }
    GatewayError::new(
        ErrorCode::BackendConnect,
        format!("no connection to the backend {}: {error}", goal.label()),
    )
}

/// Says whose connection it is, before TLS and everything else.
async fn write_proxy_header(stream: &mut L4Stream, said: &ProxyHeader, until: Instant) -> io::Result<()> {
    let mut header = Vec::with_capacity(64);
    write_proxy(&mut header, said);
    tokio::time::timeout_at(until.into(), stream.write_all(&header)).await?
}

/// Connects to a socket of this machine. Where its queue is full the kernel does not wait for room in it, so we do.
pub(in crate::net) async fn connect_unix(place: &UnixAddress, until: Instant) -> io::Result<UnixStream> {
    let (mut pause, longest) = (Duration::from_millis(1), Duration::from_millis(50));
    loop {
        match UnixStream::connect(place.path()).await {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() + pause >= until {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            connected => return connected,
        }
    }
}

/// One address after the other, the one that answered last first; each has its share of the time that is left, so that
/// one that swallows everything does not keep the others from being tried.
async fn connect(
    addresses: &[IpAddr],
    port: u16,
    preferred: &AtomicUsize,
    until: Instant,
) -> io::Result<(L4Stream, IpAddr)> {
    let first = preferred.load(Ordering::Relaxed) % addresses.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (tried, at) in (first..addresses.len()).chain(0..first).enumerate() {
        let share = until.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        let connecting = TcpStream::connect(SocketAddr::new(addresses[at], port));
        match tokio::time::timeout(share, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                preferred.store(at, Ordering::Relaxed);
                return Ok((stream.into(), addresses[at]));
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
    use crate::net::{pool::PoolSlot, resolver::Resolver};
    use socket2::{Domain, Socket, Type};
    use std::net::{Ipv4Addr, TcpListener};

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    /// A socket that lets nobody in any more, and those who stand in its door.
    fn full() -> (Socket, Vec<std::net::TcpStream>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(ONE, 0).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let knock = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        let inside = std::iter::from_fn(knock).take(64).collect();
        (socket, inside)
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_leaves_time_for_the_next() {
        let (_socket, _inside) = full();
        let port = _socket.local_addr().unwrap().as_socket().unwrap().port();
        let name = Resolver::default().get("two.addresses");
        name.publish(vec![ONE, TWO]);
        let (road, slot) = (ConnectAddr::from_name(name.clone()), PoolSlot::claim());
        let goal = ConnectTarget { addr: &road, port, proxy_header: None, tls: None };
        let dialled =
            async || addr(&goal, slot.key(), Duration::from_millis(400)).await.map(drop).map_err(|c| c.why);
        assert_eq!(dialled().await, Err(ErrorCode::BackendConnect), "nobody listens at the other one");
        let _second = TcpListener::bind((TWO, port)).unwrap();
        assert_eq!(dialled().await, Ok(()));
        let ConnectAddr::Tcp { preferred, .. } = &road else { panic!("it is a name") };
        assert_eq!(preferred.load(Ordering::Relaxed), 1, "which is tried first from now on");
        name.publish(vec![ONE]);
        assert_eq!(dialled().await, Err(ErrorCode::BackendConnectTimeout));
    }

    #[tokio::test]
    async fn a_full_queue_of_a_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let (road, slot) = (ConnectAddr::Unix(UnixAddress::Path(path)), PoolSlot::claim());
        let goal = ConnectTarget { addr: &road, port: 0, proxy_header: None, tls: None };
        let dialled = async |ms| addr(&goal, slot.key(), Duration::from_millis(ms)).await.map_err(|c| c.why);
        let mut inside = Vec::new();
        let late = loop {
            match dialled(50).await {
                Ok(conn) => inside.push(conn),
                Err(why) => break why,
            }
        };
        assert_eq!(late, ErrorCode::BackendConnectTimeout);
        let waiting = dialled(5_000);
        let accepting = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.accept().unwrap()
        };
        assert!(tokio::join!(waiting, accepting).0.is_ok());
        drop(socket);
        assert_eq!(dialled(5_000).await.err(), Some(ErrorCode::BackendConnect), "nobody is there");
    }
}
