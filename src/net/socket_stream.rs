//! A plain stream socket without buffers, for connections that are forwarded byte by byte; the HTTP codecs use [`super::io`] over it.
//!
//! Not pingora's stream, which reads the clock twice per read, has about 500 bytes and makes two system calls when it is
//! dropped, for measurements that this gateway does not use.

use super::agents::virtual_stream::AgentStream;
use pingora::protocols::l4::ext::get_tcp_info;
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// TCP keep-alive, so that a peer that vanished is noticed although idle timeouts are long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// A connected stream socket.
#[derive(Debug)]
pub enum SocketStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A stream to the service of an agent, which is no socket of this machine.
    Agent(Box<AgentStream>),
}

/// Calls the method on the inner stream of either variant.
macro_rules! on {
    ($socket:expr, $stream:ident => $call:expr, agent: $agent:ident => $agent_call:expr) => {
        match $socket {
            SocketStream::Tcp($stream) => $call,
            SocketStream::Unix($stream) => $call,
            SocketStream::Agent($agent) => $agent_call,
        }
    };
}

impl SocketStream {
    /// Sets the options of both ends of a forwarded connection.
    pub fn prepare(&self) {
        if let SocketStream::Tcp(stream) = self {
            let probes = TcpKeepalive::new()
                .with_time(KEEPALIVE_IDLE)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES);
            // The connection works without them.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
        }
    }

    /// Closes the connection with a reset (RST) instead of FIN; bytes that were not sent are discarded.
    pub fn reset(self) {
        match self {
            SocketStream::Tcp(stream) => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            SocketStream::Unix(_) => {}
            // The bytes before the reset are still on their way.
            SocketStream::Agent(mut stream) => drop(tokio::spawn(async move { stream.reset().await })),
        }
    }

    /// Whether bytes can be moved within the kernel.
    pub fn can_splice(&self) -> bool {
        !matches!(self, SocketStream::Agent(_))
    }

    /// Whether the peer has acknowledged everything that was written.
    pub fn is_acknowledged(&self) -> bool {
        match self {
            SocketStream::Tcp(stream) => get_tcp_info(stream.as_raw_fd())
                .map_or(true, |info| info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0),
            SocketStream::Unix(_) | SocketStream::Agent(_) => true,
        }
    }

    /// Ready once the connection is broken. Bytes that arrive before make it wait for ever: they are not consumed.
    pub fn poll_broken(&self, cx: &mut Context) -> Poll<()> {
        let SocketStream::Tcp(stream) = self else { return Poll::Pending };
        let mut byte = [std::mem::MaybeUninit::uninit()];
        loop {
            if ready!(stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match stream.try_io(Interest::READABLE, || SockRef::from(stream).peek(&mut byte)) {
                Ok(_) => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Ready when bytes can be read.
    pub fn poll_read_ready(&self, cx: &mut Context) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_read_ready(cx), agent: _agent => Poll::Ready(Err(no_socket())))
    }

    /// Ready when bytes can be written.
    pub fn poll_write_ready(&self, cx: &mut Context) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_write_ready(cx), agent: _agent => Poll::Ready(Err(no_socket())))
    }

    /// Runs an operation on the socket; `WouldBlock` makes the socket not ready.
    pub fn try_io<T>(&self, interest: Interest, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        on!(self, stream => stream.try_io(interest, operation), agent: _agent => Err(no_socket()))
    }
}

impl SocketStream {
    /// The descriptor of the socket.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        on!(self, stream => Ok(stream.as_fd()), agent: _agent => Err(no_socket()))
    }
}

/// The error of an operation that needs a socket of this machine.
fn no_socket() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

impl AsyncRead for SocketStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf), agent: agent => Pin::new(&mut **agent).poll_read(cx, buf))
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes), agent: agent => Pin::new(&mut **agent).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices), agent: agent => Pin::new(&mut **agent).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.can_splice()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx), agent: agent => Pin::new(&mut **agent).poll_shutdown(cx))
    }
}

/// A socket whose first bytes have been read already; they are read again.
#[derive(Debug)]
pub struct ReplayedStream {
    socket: SocketStream,
    prefix: Vec<u8>,
    consumed: usize,
}

impl ReplayedStream {
    /// `prefix` is read before the bytes of the socket.
    pub fn new(socket: SocketStream, prefix: Vec<u8>) -> ReplayedStream {
        ReplayedStream { socket, prefix, consumed: 0 }
    }

    /// The socket.
    pub fn socket(&self) -> &SocketStream {
        &self.socket
    }

    /// The socket, without what was not read of the prefix.
    pub fn into_socket(self) -> SocketStream {
        self.socket
    }
}

impl AsyncRead for ReplayedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.prefix[this.consumed..];
        if rest.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..now]);
        this.consumed += now;
        if this.consumed == this.prefix.len() {
            (this.prefix, this.consumed) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReplayedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
