//! A byte stream on pingora's streams: plain, or TLS over it, behind the same calls.

use pingora::protocols::l4::stream::Stream as L4Stream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// One connection.
#[derive(Debug)]
pub struct Stream(Transport);

/// A branch, not a call through a table: most connections are plain.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the usual one is not put behind a pointer")]
enum Transport {
    Plain(L4Stream),
    Tls(Box<TlsStream<L4Stream>>),
}

/// The same call on whichever it is.
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

impl Stream {
    pub fn new(stream: L4Stream) -> Stream {
        Stream(Transport::Plain(stream))
    }

    /// A connection whose handshake is done.
    pub(in crate::net) fn secure(stream: TlsStream<L4Stream>) -> Stream {
        Stream(Transport::Tls(Box::new(stream)))
    }

    /// The plain stream; none when it is encrypted already.
    pub(in crate::net) fn into_plain(self) -> Option<L4Stream> {
        match self.0 {
            Transport::Plain(stream) => Some(stream),
            Transport::Tls(_) => None,
        }
    }

    /// The protocol that both sides agreed upon (ALPN); none where nothing was said.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        match &self.0 {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => stream.get_ref().1.alpn_protocol(),
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
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Whether nothing that was written is still held here.
    pub fn is_flushed(&self) -> bool {
        match &self.0 {
            Transport::Plain(_) => true,
            Transport::Tls(stream) => !stream.get_ref().1.wants_write(),
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
