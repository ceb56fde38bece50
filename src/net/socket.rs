//! A socket of the HTTP codecs: bytes that were read from it can be put back.

use super::socket_stream::SocketStream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connected socket.
#[derive(Debug)]
pub(in crate::net) struct Socket {
    stream: SocketStream,
    /// Bytes that were read and put back.
    unread: Option<Box<Unread>>,
}

#[derive(Debug)]
struct Unread {
    bytes: Vec<u8>,
    start: usize,
}

impl Socket {
    /// Puts back bytes: the next reads return them.
    pub(in crate::net) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.unread = Some(Box::new(Unread { bytes: bytes.to_vec(), start: 0 }));
        }
    }

    /// The stream below.
    pub(in crate::net) fn stream(&self) -> &SocketStream {
        &self.stream
    }

    /// Reads bytes that were put back.
    fn read_unread(&mut self, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
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

impl From<SocketStream> for Socket {
    fn from(stream: SocketStream) -> Socket {
        Socket { stream, unread: None }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_some() {
            return this.read_unread(buf);
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    #[tokio::test]
    async fn bytes_that_were_put_back_are_read_before_those_of_the_peer() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(SocketStream::Unix(near));
        socket.put_back(b"abc");
        far.write_all(b"de").await.unwrap();
        let mut bytes = [0; 2];
        assert_eq!((socket.read(&mut bytes).await.unwrap(), &bytes), (2, b"ab"));
        assert_eq!((socket.read(&mut bytes).await.unwrap(), bytes[0]), (1, b'c'));
        assert_eq!((socket.read(&mut bytes).await.unwrap(), &bytes), (2, b"de"));
    }
}
