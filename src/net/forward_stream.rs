//! One end of a forwarded connection: a plain socket, or TLS that the gateway speaks on it.

use super::{
    descriptors::DescriptorGuard,
    socket_stream::{ReplayedStream, SocketStream},
};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// One end of a forwarded connection.
pub struct ForwardStream {
    transport: Transport,
    /// Counts the descriptor of a connection to a backend.
    _descriptor: Option<DescriptorGuard>,
}

enum Transport {
    Plain(SocketStream),
    Tls(Box<TlsStream<ReplayedStream>>),
}

impl fmt::Debug for ForwardStream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.plain().is_some() { "ForwardStream(plain)" } else { "ForwardStream(TLS)" })
    }
}

impl ForwardStream {
    /// A plain socket.
    pub fn new(socket: SocketStream) -> ForwardStream {
        ForwardStream { transport: Transport::Plain(socket), _descriptor: None }
    }

    /// A connection with a completed TLS handshake.
    pub(in crate::net) fn tls(stream: TlsStream<ReplayedStream>) -> ForwardStream {
        ForwardStream { transport: Transport::Tls(Box::new(stream)), _descriptor: None }
    }

    /// The same connection, counted as long as it is open.
    pub(in crate::net) fn counted(self, guard: DescriptorGuard) -> ForwardStream {
        ForwardStream { _descriptor: Some(guard), ..self }
    }

    /// The plain socket, for `splice`.
    pub fn plain(&self) -> Option<&SocketStream> {
        match &self.transport {
            Transport::Plain(socket) if socket.can_splice() => Some(socket),
            Transport::Plain(_) | Transport::Tls(_) => None,
        }
    }

    /// The socket under TLS, or the plain one.
    pub fn socket(&self) -> &SocketStream {
        match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0.socket(),
        }
    }

    /// Reads into `space`; 0 is the end of the stream. With TLS an end without `close_notify` is an error.
    pub fn poll_read(&mut self, cx: &mut Context, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        ready!(match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, &mut buf),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut buf),
        })?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    /// Writes what TLS has buffered.
    pub fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Ends sending: FIN, with TLS after `close_notify`.
    pub fn poll_shutdown(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        match self.transport {
            Transport::Plain(socket) => socket.reset(),
            Transport::Tls(stream) => match *stream {
                TlsStream::Client(stream) => stream.into_inner().0.into_socket().reset(),
                TlsStream::Server(stream) => stream.into_inner().0.into_socket().reset(),
            },
        }
    }
}
