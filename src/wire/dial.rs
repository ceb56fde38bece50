//! Opening connections to backends.

use super::{
    h1::backend::BackendConn,
    io::Io,
    names::{Name, Origin},
    pool::Key,
    tls::client::SecureHost,
};
use crate::pipeline::cause::{Cause, Why};
use pingora::protocols::l4::stream::Stream;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Where to dial; `preferred` remembers which of several addresses answered last.
#[derive(Debug)]
pub struct Goal<'a> {
    pub name: &'a Name,
    pub port: u16,
    pub preferred: &'a AtomicUsize,
    /// None: plain.
    pub tls: Option<&'a SecureHost>,
}

impl Goal<'_> {
    /// For people: `host:port`.
    pub(in crate::wire) fn label(&self) -> String {
        format!("{}:{}", self.name.text(), self.port)
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
    Ok(BackendConn::new(io, key, origin))
}

/// Opens a connection within that time, trying all addresses of the name.
pub(in crate::wire) async fn stream(
    goal: &Goal<'_>,
    offer: Offer,
    within: Duration,
) -> Result<(Io, Origin), Cause> {
    let until = Instant::now() + within;
    let change = goal.name.change();
    let Some(addresses) = goal.name.addresses(until).await else {
        return Err(Cause::new(
            Why::BackendName,
            format!("the name of the backend {} was not resolved", goal.label()),
        ));
    };
    let (connected, address) = match connect(&addresses, goal, until).await {
        Ok(connected) => connected,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(late(goal, "did not accept a connection", within));
        }
        Err(error) => {
            let detail = format!("no connection to the backend {}: {error}", goal.label());
            return Err(Cause::new(Why::BackendConnect, detail));
        }
    };
    let origin = Origin { address, change };
    let Some(tls) = goal.tls else { return Ok((Io::new(connected), origin)) };
    match tokio::time::timeout_at(until.into(), tls.connect(connected, &goal.label(), offer)).await {
        Ok(secured) => Ok((secured?, origin)),
        Err(_) => Err(late(goal, "accepted a connection, but finished no TLS handshake", within)),
    }
}

pub(in crate::wire) fn late(goal: &Goal, what: &str, within: Duration) -> Cause {
    Cause::new(Why::BackendConnectTimeout, format!("the backend {} {what} within {within:?}", goal.label()))
}

/// One address after the other, the one that answered last first; each has its share of the time that is left, so that
/// one that swallows everything does not keep the others from being tried.
async fn connect(addresses: &[IpAddr], goal: &Goal<'_>, until: Instant) -> io::Result<(Stream, IpAddr)> {
    let first = goal.preferred.load(Ordering::Relaxed) % addresses.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (tried, at) in (first..addresses.len()).chain(0..first).enumerate() {
        let share = until.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
        let connecting = TcpStream::connect(SocketAddr::new(addresses[at], goal.port));
        match tokio::time::timeout(share, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                goal.preferred.store(at, Ordering::Relaxed);
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
        let (preferred, slot) = (AtomicUsize::new(0), Slot::claim());
        let goal = Goal { name: &name, port, preferred: &preferred, tls: None };
        let dialled =
            async || dial(&goal, slot.key(), Duration::from_millis(400)).await.map(drop).map_err(|c| c.why);
        assert_eq!(dialled().await, Err(Why::BackendConnect), "nobody listens at the other one");
        let _second = TcpListener::bind((TWO, port)).unwrap();
        assert_eq!(dialled().await, Ok(()));
        assert_eq!(preferred.load(Ordering::Relaxed), 1, "which is tried first from now on");
        name.publish(vec![ONE]);
        assert_eq!(dialled().await, Err(Why::BackendConnectTimeout));
    }
}
