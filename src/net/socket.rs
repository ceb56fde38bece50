//! A connected socket: TCP, or a Unix domain socket.
//!
//! Not pingora's stream, which reads the clock twice per read, has about 500 bytes and makes two system calls when it is
//! dropped, for measurements that this gateway does not use.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connected socket.
#[derive(Debug)]
pub(in crate::net) struct Socket {
    stream: SocketStream,
    /// Bytes that were read and put back.
    unread: Option<Box<Unread>>,
}

#[derive(Debug)]
enum SocketStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
struct Unread {
    bytes: Vec<u8>,
    start: usize,
}

/// Calls the method on the stream of either variant.
macro_rules! on {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            SocketStream::Tcp($stream) => $call,
            SocketStream::Unix($stream) => $call,
        }
    };
}

impl Socket {
    /// Puts back bytes: the next reads return them.
    pub(in crate::net) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.unread = Some(Box::new(Unread { bytes: bytes.to_vec(), start: 0 }));
        }
    }

    /// Reads bytes that were put back.
    fn read_unread(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(unread) = &mut self.unread {
            let rest = &unread.bytes[unread.start..];
            let n = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..n]);
            unread.start += n;
            if n == rest.len() {
                self.unread = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        Socket { stream: SocketStream::Tcp(stream), unread: None }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        Socket { stream: SocketStream::Unix(stream), unread: None }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        on!(&self.stream, stream => stream.as_raw_fd())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_some() {
            return this.read_unread(buf);
        }
        on!(&mut this.stream, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.get_mut().stream, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_that_were_put_back_are_read_before_those_of_the_peer() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(near);
        socket.put_back(b"abc");
        far.write_all(b"de").await.unwrap();
        let mut bytes = [0; 2];
        assert_eq!((socket.read(&mut bytes).await.unwrap(), &bytes), (2, b"ab"));
        assert_eq!((socket.read(&mut bytes).await.unwrap(), bytes[0]), (1, b'c'));
        assert_eq!((socket.read(&mut bytes).await.unwrap(), &bytes), (2, b"de"));
    }
}
