//! The connection of a client after an upgrade, as a byte stream for the protocol that follows.

use super::{buffer::ReadBuffer, io::Stream};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum size of one read.
const MAX_READ: usize = 64 * 1024;

/// A connection, and what was already read from it.
#[derive(Debug)]
pub struct UpgradedConnection {
    io: Stream,
    input: ReadBuffer,
}

impl UpgradedConnection {
    /// The connection; `input` was read before.
    pub fn new(io: Stream, input: ReadBuffer) -> UpgradedConnection {
        UpgradedConnection { io, input }
    }
}

impl AsyncRead for UpgradedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.input.is_empty() {
            match this.input.poll_read(cx, &mut this.io, MAX_READ) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.input.release_if_empty();
                    return Poll::Pending;
                }
            }
        }
        let n = this.input.len().min(buf.remaining());
        buf.put_slice(&this.input.bytes()[..n]);
        this.input.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpgradedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_shutdown(cx)
    }
}
