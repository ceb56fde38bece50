//! Opening connections to backends.

use super::{
    h1::backend::BackendConn,
    io::Io,
    names::{Name, Origin},
    place::Place,
    pool::Key,
    proxy_protocol::{Announced, put_announced},
    tls::client::SecureHost,
};
use crate::pipeline::cause::{Cause, Why};
use pingora::protocols::l4::stream::Stream;
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
pub enum Dial {
    /// At one of the addresses that a name has; `preferred` remembers which of several answered last.
    Tcp { name: Arc<Name>, preferred: AtomicUsize },
    /// Through a socket of this machine.
    Unix(Place),
}

impl Dial {
    /// Through that name.
    pub fn tcp(name: Arc<Name>) -> Dial {
        Dial::Tcp { name, preferred: AtomicUsize::new(0) }
    }

    /// Whether it is known where it leads.
    pub fn is_resolved(&self) -> bool {
        match self {
            Dial::Tcp { name, .. } => name.now().is_some(),
            Dial::Unix(_) => true,
        }
    }

    /// Whether a connection that came from it would lead to the same place today.
    pub(in crate::wire) fn still_leads_to(&self, origin: &mut Option<Origin>) -> bool {
        match (self, origin) {
            (Dial::Tcp { name, .. }, Some(origin)) => name.still_leads_to(origin),
            (Dial::Tcp { .. }, None) => false,
            (Dial::Unix(_), _) => true,
        }
    }
}

/// Where to dial, and what comes before the first request.
#[derive(Debug)]
pub struct Goal<'a> {
    pub dial: &'a Dial,
    /// Of a name.
    pub port: u16,
    /// What the PROXY protocol says first; none: it is not spoken.
    pub said: Option<Announced>,
    /// None: plain.
    pub tls: Option<&'a SecureHost>,
}

impl Goal<'_> {
    /// For people: `host:port`.
    pub(in crate::wire) fn label(&self) -> String {
        match self.dial {
            Dial::Tcp { name, .. } => format!("{}:{}", name.text(), self.port),
            Dial::Unix(place) => place.to_string(),
        }
    }
}

/// What is offered to a backend over TLS; without TLS both sides know beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Http1,
    Http2,
    /// HTTP/2 rather than HTTP/1.1.
    Either,
}

/// Opens a connection of HTTP/1.1.
pub async fn dial(goal: &Goal<'_>, key: Key, within: Duration) -> Result<Box<BackendConn>, Cause> {
    let (io, origin) = stream(goal, Offer::Http1, within).await?;
    Ok(BackendConn::new(io, key, origin, goal.said))
}

/// Opens a connection within that time.
pub(in crate::wire) async fn stream(
    goal: &Goal<'_>,
    offer: Offer,
    within: Duration,
) -> Result<(Io, Option<Origin>), Cause> {
    let until = Instant::now() + within;
    let reached = match goal.dial {
        Dial::Tcp { name, preferred } => {
            let change = name.change();
            let Some(addresses) = name.addresses(until).await else { return Err(unknown(goal)) };
            let reached = connect(&addresses, goal.port, preferred, until).await;
            reached.map(|(stream, address)| (stream, Some(Origin { address, change })))
        }
        Dial::Unix(place) => knock(place, until).await.map(|stream| (stream.into(), None)),
    };
    let (mut connected, origin) = reached.map_err(|error| unreached(goal, &error, within))?;
    if let Some(said) = &goal.said {
        announce(&mut connected, said, until).await.map_err(|error| unreached(goal, &error, within))?;
    }
    let Some(tls) = goal.tls else { return Ok((Io::new(connected), origin)) };
    match tokio::time::timeout_at(until.into(), tls.connect(connected, &goal.label(), offer)).await {
        Ok(secured) => Ok((secured?, origin)),
        Err(_) => Err(late(goal, "accepted a connection, but finished no TLS handshake", within)),
    }
}

pub(in crate::wire) fn late(goal: &Goal, what: &str, within: Duration) -> Cause {
    Cause::new(Why::BackendConnectTimeout, format!("the backend {} {what} within {within:?}", goal.label()))
}

#[cold]
fn unknown(goal: &Goal) -> Cause {
    let detail = format!("the name of the backend {} was not resolved", goal.label());
    Cause::new(Why::BackendName, detail)
}

#[cold]
fn unreached(goal: &Goal, error: &io::Error, within: Duration) -> Cause {
    if error.kind() == io::ErrorKind::TimedOut {
        return late(goal, "did not accept a connection", within);
    }
    Cause::new(Why::BackendConnect, format!("no connection to the backend {}: {error}", goal.label()))
}

/// Says whose connection it is, before TLS and everything else.
async fn announce(stream: &mut Stream, said: &Announced, until: Instant) -> io::Result<()> {
    let mut header = Vec::with_capacity(64);
    put_announced(&mut header, said);
    tokio::time::timeout_at(until.into(), stream.write_all(&header)).await?
}

/// Connects to a socket of this machine. Where its queue is full the kernel does not wait for room in it, so we do.
pub(in crate::wire) async fn knock(place: &Place, until: Instant) -> io::Result<UnixStream> {
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
) -> io::Result<(Stream, IpAddr)> {
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
    use crate::wire::{names::Names, pool::Slot};
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
        let name = Names::default().get("two.addresses");
        name.publish(vec![ONE, TWO]);
        let (road, slot) = (Dial::tcp(name.clone()), Slot::claim());
        let goal = Goal { dial: &road, port, said: None, tls: None };
        let dialled =
            async || dial(&goal, slot.key(), Duration::from_millis(400)).await.map(drop).map_err(|c| c.why);
        assert_eq!(dialled().await, Err(Why::BackendConnect), "nobody listens at the other one");
        let _second = TcpListener::bind((TWO, port)).unwrap();
        assert_eq!(dialled().await, Ok(()));
        let Dial::Tcp { preferred, .. } = &road else { panic!("it is a name") };
        assert_eq!(preferred.load(Ordering::Relaxed), 1, "which is tried first from now on");
        name.publish(vec![ONE]);
        assert_eq!(dialled().await, Err(Why::BackendConnectTimeout));
    }

    #[tokio::test]
    async fn a_full_queue_of_a_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let (road, slot) = (Dial::Unix(Place::File(path)), Slot::claim());
        let goal = Goal { dial: &road, port: 0, said: None, tls: None };
        let dialled = async |ms| dial(&goal, slot.key(), Duration::from_millis(ms)).await.map_err(|c| c.why);
        let mut inside = Vec::new();
        let late = loop {
            match dialled(50).await {
                Ok(conn) => inside.push(conn),
                Err(why) => break why,
            }
        };
        assert_eq!(late, Why::BackendConnectTimeout);
        let waiting = dialled(5_000);
        let accepting = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.accept().unwrap()
        };
        assert!(tokio::join!(waiting, accepting).0.is_ok());
        drop(socket);
        assert_eq!(dialled(5_000).await.err(), Some(Why::BackendConnect), "nobody is there");
    }
}
