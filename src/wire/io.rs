//! A byte stream on pingora's streams: plain, or TLS over it, behind the same calls.

use pingora::protocols::l4::stream::Stream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// One connection.
#[derive(Debug)]
pub struct Io(Kind);

/// A branch, not a call through a table: most connections are plain.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the usual one is not put behind a pointer")]
enum Kind {
    Plain(Stream),
    Secure(Box<TlsStream<Stream>>),
}

/// The same call on whichever it is.
macro_rules! on {
    ($io:ident, $stream:ident => $call:expr) => {
        match &mut $io.0 {
            Kind::Plain(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            Kind::Secure(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
        }
    };
}

impl Io {
    pub fn new(stream: Stream) -> Io {
        Io(Kind::Plain(stream))
    }

    /// A connection whose handshake is done.
    pub(in crate::wire) fn secure(stream: TlsStream<Stream>) -> Io {
        Io(Kind::Secure(Box::new(stream)))
    }

    /// The plain stream; none when it is encrypted already.
    pub(in crate::wire) fn into_plain(self) -> Option<Stream> {
        match self.0 {
            Kind::Plain(stream) => Some(stream),
            Kind::Secure(_) => None,
        }
    }

    /// The protocol that both sides agreed upon (ALPN); none where nothing was said.
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Plain(_) => None,
            Kind::Secure(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Reads into the space given; 0 is the end of the other side's sending.
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

    /// Writes some of several pieces with one call.
    pub fn poll_write_vectored(&mut self, cx: &mut Context, pieces: &[IoSlice]) -> Poll<io::Result<usize>> {
        nonzero(on!(self, stream => stream.poll_write_vectored(cx, pieces)))
    }

    /// Sends what was written and is still held here: under TLS, records that the socket had no room for.
    pub fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(_) => Poll::Ready(Ok(())),
            Kind::Secure(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Whether nothing that was written is still held here.
    pub fn is_flushed(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => true,
            Kind::Secure(stream) => !stream.get_ref().1.wants_write(),
        }
    }

    /// Tells the other side that nothing more will be sent.
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
