//! Opening connections to backends.

use super::{h1::backend::BackendConn, io::Io, names::Name, pool::Key};
use crate::pipeline::cause::{Cause, Why};
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
    let Some(addresses) = goal.name.addresses(until).await else {
        return Err(Cause::new(
            Why::BackendName,
            format!("the name of the backend {} was not resolved", goal.label()),
        ));
    };
    match tokio::time::timeout_at(until.into(), connect(&addresses, goal)).await {
        Ok(Ok(io)) => Ok(BackendConn::new(io, key)),
        Ok(Err(error)) => {
            let detail = format!("no connection to the backend {}: {error}", goal.label());
            Err(Cause::new(Why::BackendConnect, detail))
        }
        Err(_) => {
            let detail =
                format!("the backend {} did not accept a connection within {within:?}", goal.label());
            Err(Cause::new(Why::BackendConnectTimeout, detail))
        }
    }
}

/// One address after the other, the one that answered last first.
async fn connect(addresses: &[IpAddr], goal: &Goal<'_>) -> io::Result<Io> {
    let first = goal.preferred.load(Ordering::Relaxed) % addresses.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for at in (first..addresses.len()).chain(0..first) {
        match TcpStream::connect(SocketAddr::new(addresses[at], goal.port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                goal.preferred.store(at, Ordering::Relaxed);
                return Ok(Io::new(stream.into()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
