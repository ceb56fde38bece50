//! A connection after an HTTP upgrade (RFC 9110 7.8): raw bytes in both directions.

use super::guard::ResponseGuard;
use smallvec::SmallVec;
use std::{
    fmt::{self, Debug},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

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

/// An upgraded connection as a byte stream.
pub trait UpgradedIo: AsyncRead + AsyncWrite + Unpin + Send + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> UpgradedIo for T {}

/// Serves a connection until it ends.
type ServeConnection =
    Box<dyn FnOnce(Box<dyn UpgradedIo>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What takes over an upgraded connection. As an extension of a response with status 101, it does so for an internal
/// service.
#[derive(Clone)]
pub struct ConnectionOwner {
    /// The value of `Upgrade` in the response.
    pub protocol: &'static str,
    serve: Arc<Mutex<Option<ServeConnection>>>,
}

impl ConnectionOwner {
    /// `serve` gets the connection after the response was sent.
    pub fn new<F>(
        protocol: &'static str,
        serve: impl FnOnce(Box<dyn UpgradedIo>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve: ServeConnection = Box::new(move |io| Box::pin(serve(io)));
        ConnectionOwner { protocol, serve: Arc::new(Mutex::new(Some(serve))) }
    }

    /// Serves the connection until it ends; at once over for a second one.
    pub async fn serve(self, io: Box<dyn UpgradedIo>) {
        let serve = self.serve.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serve) = serve {
            serve(io).await;
        }
    }
}

impl Debug for ConnectionOwner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ConnectionOwner({})", self.protocol)
    }
}

/// The other side of an upgraded client connection.
#[derive(Debug)]
pub enum UpgradePeer {
    /// A backend: bytes are forwarded in both directions.
    Backend(Box<dyn Duplex>),
    /// This process.
    Service(Box<dyn ConnectionService>),
    /// This process, which reads and writes the connection itself.
    Owner(ConnectionOwner),
}

impl UpgradePeer {
    /// The value of `Upgrade` in the response.
    pub fn protocol(&self) -> &str {
        match self {
            UpgradePeer::Backend(_) | UpgradePeer::Service(_) => "websocket",
            UpgradePeer::Owner(owner) => owner.protocol,
        }
    }
}

/// The other side of an upgraded client connection, and the guards held while it is open.
#[derive(Debug)]
pub struct Upgrade {
    pub peer: UpgradePeer,
    pub guards: SmallVec<[ResponseGuard; 1]>,
}
