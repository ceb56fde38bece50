//! A byte stream over a socket, plain or TLS.

use super::{descriptors::DescriptorGuard, socket::Socket, socket_stream::SocketStream};
use pingora::protocols::l4::ext::get_tcp_info;
use std::{
    io::{self, IoSlice},
    os::fd::AsRawFd,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// One connection.
#[derive(Debug)]
pub struct Stream(Transport, Option<DescriptorGuard>);

/// An enum instead of a trait object: most connections are plain. TLS is boxed, because a stream is moved through the
/// futures of its connection, each of which would reserve its size.
#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Calls the method on the inner stream of either variant.
macro_rules! on {
    ($io:ident, $stream:ident => $call:expr) => {
        match &mut $io.0 {
            Transport::Plain(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            Transport::Tls(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
        }
    };
}

impl SocketStream {
    /// The socket as a connection of the HTTP codecs, which reads `prefix` first.
    pub fn into_stream(self, prefix: &[u8]) -> Stream {
        let mut socket = Socket::from(self);
        socket.put_back(prefix);
        Stream::new(socket)
    }
}

impl Stream {
    /// A plain connection.
    pub(in crate::net) fn new(socket: impl Into<Socket>) -> Stream {
        Stream(Transport::Plain(socket.into()), None)
    }

    /// A connection with a completed TLS handshake.
    pub(in crate::net) fn tls(stream: TlsStream<Socket>) -> Stream {
        Stream(Transport::Tls(Box::new(stream)), None)
    }

    /// The same connection, counted as long as it is open.
    pub(in crate::net) fn counted(mut self, guard: DescriptorGuard) -> Stream {
        self.1 = Some(guard);
        self
    }

    /// The plain stream; `None` when it is already encrypted.
    pub(in crate::net) fn into_plain(self) -> Option<Socket> {
        match self.0 {
            Transport::Plain(socket) => Some(socket),
            Transport::Tls(_) => None,
        }
    }

    /// The protocol negotiated by ALPN.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        match &self.0 {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Reads into `space`; 0 is the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        match on!(self, stream => stream.poll_read(cx, &mut buf)) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buf.filled().len())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        nonzero(on!(self, stream => stream.poll_write(cx, bytes)))
    }

    /// Writes some of several slices with one system call.
    pub fn poll_write_vectored(&mut self, cx: &mut Context, slices: &[IoSlice]) -> Poll<io::Result<usize>> {
        nonzero(on!(self, stream => stream.poll_write_vectored(cx, slices)))
    }

    /// Writes what is still buffered: with TLS, records that the socket had no room for.
    pub fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Whether nothing is buffered.
    pub fn is_flushed(&self) -> bool {
        match &self.0 {
            Transport::Plain(_) => true,
            Transport::Tls(stream) => !stream.get_ref().1.wants_write(),
        }
    }

    /// Bytes that the peer has acknowledged; `None` where there is no TCP.
    pub fn acknowledged(&self) -> Option<u64> {
        let socket = match &self.0 {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        };
        let descriptor = socket.stream().descriptor().ok()?;
        get_tcp_info(descriptor.as_raw_fd()).ok().map(|info| info.tcpi_bytes_acked)
    }

    /// Shuts down the write side.
    pub fn poll_shutdown(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_shutdown(cx))
    }
}

fn nonzero(result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match result {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        other => other,
    }
}
