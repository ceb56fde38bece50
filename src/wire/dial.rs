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
    fn label(&self) -> String {
        format!("{}:{}", self.name.text(), self.port)
    }
}

/// Opens a connection within that time, trying all addresses of the name.
pub async fn dial(goal: &Goal<'_>, key: Key, within: Duration) -> Result<Box<BackendConn>, Cause> {
    let until = Instant::now() + within;
    let change = goal.name.change();
    let Some(addresses) = goal.name.addresses(until).await else {
        return Err(Cause::new(
            Why::BackendName,
            format!("the name of the backend {} was not resolved", goal.label()),
        ));
    };
    let (connected, address) = match tokio::time::timeout_at(until.into(), connect(&addresses, goal)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            let detail = format!("no connection to the backend {}: {error}", goal.label());
            return Err(Cause::new(Why::BackendConnect, detail));
        }
        Err(_) => return Err(late(goal, "did not accept a connection", within)),
    };
    let origin = Origin { address, change };
    let Some(tls) = goal.tls else { return Ok(BackendConn::new(Io::new(connected), key, origin)) };
    match tokio::time::timeout_at(until.into(), tls.connect(connected, &goal.label())).await {
        Ok(secured) => Ok(BackendConn::new(secured?, key, origin)),
        Err(_) => Err(late(goal, "accepted a connection, but finished no TLS handshake", within)),
    }
}

fn late(goal: &Goal, what: &str, within: Duration) -> Cause {
    Cause::new(Why::BackendConnectTimeout, format!("the backend {} {what} within {within:?}", goal.label()))
}

/// One address after the other, the one that answered last first.
async fn connect(addresses: &[IpAddr], goal: &Goal<'_>) -> io::Result<(Stream, IpAddr)> {
    let first = goal.preferred.load(Ordering::Relaxed) % addresses.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for at in (first..addresses.len()).chain(0..first) {
        match TcpStream::connect(SocketAddr::new(addresses[at], goal.port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                goal.preferred.store(at, Ordering::Relaxed);
                return Ok((stream.into(), addresses[at]));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
