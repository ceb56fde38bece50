//! A connection after an HTTP upgrade (RFC 9110 7.8): raw bytes in both directions.

use super::guard::ResponseGuard;
use smallvec::SmallVec;
use std::{
    fmt::Debug,
    io,
    task::{Context, Poll},
};

/// One side of an upgraded connection.
pub trait Duplex: Send + Debug {
    /// Bytes that are available until `consume`; reads if there are none. An empty slice is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>>;

    /// Releases received bytes.
    fn consume(&mut self, n: usize);

    /// Writes some of the bytes after everything written before.
    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Flushes buffered bytes.
    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;

    /// Closes the sending direction.
    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;
}

/// A protocol that this process speaks on an upgraded connection.
pub trait ConnectionService: Send + Debug {
    /// Reads and writes until there is nothing more to do; ready when the connection ends. Everything is flushed then.
    fn poll(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<()>;
}

/// The other side of an upgraded client connection.
#[derive(Debug)]
pub enum UpgradePeer {
    /// A backend: bytes are forwarded in both directions.
    Backend(Box<dyn Duplex>),
    /// This process.
    Service(Box<dyn ConnectionService>),
}

/// The other side of an upgraded client connection, and the guards held while it is open.
#[derive(Debug)]
pub struct Upgrade {
    pub peer: UpgradePeer,
    pub guards: SmallVec<[ResponseGuard; 1]>,
}
