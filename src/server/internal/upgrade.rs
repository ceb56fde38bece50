//! `Upgrade` for internal services: after its `101 Switching Protocols`, a service reads and writes the client's
//! connection as a byte stream.

use crate::pipeline::upgrade::Duplex;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::oneshot,
};

/// The buffer size of each direction.
const STREAM_CAPACITY: usize = 64 * 1024;

/// The byte stream of an upgraded connection. Its end is the end of the client's sending direction.
pub type UpgradedStream = DuplexStream;

/// A request extension, present if the client requests an upgrade that the gateway supports (WebSocket).
#[derive(Clone, Debug)]
pub struct OnUpgrade(Arc<Mutex<Option<oneshot::Receiver<UpgradedStream>>>>);

impl OnUpgrade {
    /// The stream, after the response with status 101 was accepted. Await it in a separate task: the response must be
    /// returned first.
    ///
    /// # Errors
    /// The connection was not upgraded, or the stream was taken before.
    pub async fn stream(self) -> io::Result<UpgradedStream> {
        let receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        receiver.ok_or_else(closed)?.await.map_err(|_| closed())
    }
}

/// The gateway's side of a pending upgrade.
#[derive(Debug)]
pub struct PendingUpgrade(oneshot::Sender<UpgradedStream>);

/// A pending upgrade: the gateway's side and the service's side.
pub fn pair() -> (PendingUpgrade, OnUpgrade) {
    let (sender, receiver) = oneshot::channel();
    (PendingUpgrade(sender), OnUpgrade(Arc::new(Mutex::new(Some(receiver)))))
}

impl PendingUpgrade {
    /// Passes the stream to the service; `None` if the service no longer waits for it.
    pub fn accept(self) -> Option<Box<dyn Duplex>> {
        let (gateway, service) = tokio::io::duplex(STREAM_CAPACITY);
        self.0.send(service).ok()?;
        Some(Box::new(ServiceSide { stream: gateway, buffer: vec![0; 16 * 1024].into(), start: 0, end: 0 }))
    }
}

/// The service side of a tunnel.
#[derive(Debug)]
struct ServiceSide {
    stream: DuplexStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Duplex for ServiceSide {
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        if self.start == self.end {
            let mut space = ReadBuf::new(&mut self.buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            (self.start, self.end) = (0, space.filled().len());
        }
        Poll::Ready(Ok(&self.buffer[self.start..self.end]))
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
    }

    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
