//! A byte stream on pingora's streams: TCP now, TLS and Unix sockets behind the same three calls later.

use pingora::protocols::l4::stream::Stream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One connection.
#[derive(Debug)]
pub struct Io(Stream);

impl Io {
    pub fn new(stream: Stream) -> Io {
        Io(stream)
    }

    /// Reads into the space given; 0 is the end of the other side's sending.
    pub fn poll_read(&mut self, cx: &mut Context, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        match Pin::new(&mut self.0).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buf.filled().len())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        nonzero(Pin::new(&mut self.0).poll_write(cx, bytes))
    }

    /// Writes some of several pieces with one call.
    pub fn poll_write_vectored(&mut self, cx: &mut Context, pieces: &[IoSlice]) -> Poll<io::Result<usize>> {
        nonzero(Pin::new(&mut self.0).poll_write_vectored(cx, pieces))
    }

    /// Tells the other side that nothing more will be sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn nonzero(result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match result {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        other => other,
    }
}
