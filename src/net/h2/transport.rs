//! A byte stream as the `h2` crate wants it, with an eye on what passes: bytes that move, and frames that must not be.

use super::{
    frame_inspector::{FrameInspector, H2ErrorCode},
    trailers::TrailerCounts,
};
use crate::net::{buffer::ReadBuffer, io::Stream};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read at once.
const MAX_READ: usize = 64 * 1024;

/// What a connection's task wants to know of its stream, which the `h2` crate has in its hands.
#[derive(Debug, Default)]
pub struct FrameObserver {
    /// Bytes received and sent.
    received: AtomicU64,
    sent: AtomicU64,
    /// A header block was begun and is not complete.
    header_block_open: AtomicBool,
    /// Why nothing more is read: an error code, and one.
    peer_error: AtomicU32,
    /// How many fields trailers have.
    pub trailers: TrailerCounts,
}

impl FrameObserver {
    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Whether a header block is incomplete.
    pub fn is_block_open(&self) -> bool {
        self.header_block_open.load(Relaxed)
    }

    /// The error that the other side made, if it made one.
    pub fn peer_error(&self) -> Option<H2ErrorCode> {
        self.peer_error.load(Relaxed).checked_sub(1).map(H2ErrorCode)
    }
}

/// One connection's bytes.
#[derive(Debug)]
pub struct Transport {
    io: Stream,
    /// Received and not passed on; what a plain listener read before it knew the protocol stands here first.
    input: ReadBuffer,
    watch: Arc<FrameObserver>,
    /// None where the other side is a service of ours.
    inspector: Option<FrameInspector>,
}

impl Transport {
    /// A stream of which `input` was read already.
    pub fn new(
        io: Stream,
        input: ReadBuffer,
        walker: Option<FrameInspector>,
    ) -> (Transport, Arc<FrameObserver>) {
        let watch = Arc::new(FrameObserver::default());
        (Transport { io, input, watch: watch.clone(), inspector: walker }, watch)
    }

    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = written {
            self.watch.sent.fetch_add(n as u64, Relaxed);
        }
        written
    }

    /// How many of the bytes at hand may be passed on: all, but for those from a forbidden frame on.
    fn readable_prefix(&mut self, most: usize) -> usize {
        let bytes = self.input.bytes();
        let bytes = &bytes[..bytes.len().min(most)];
        let Some(walker) = &mut self.inspector else { return bytes.len() };
        let trailers = &self.watch.trailers;
        let mut tell = |stream, fields| trailers.put(stream, fields);
        match walker.inspect(bytes, self.watch.sent.load(Relaxed), &mut tell) {
            Ok(()) => {
                self.watch.header_block_open.store(walker.is_block_open(), Relaxed);
                bytes.len()
            }
            Err((sound, fault)) => {
                self.watch.peer_error.store(fault.0.saturating_add(1), Relaxed);
                sound
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.peer_error().is_some() {
            // The connection's task sees to its end.
            return Poll::Pending;
        }
        if this.input.is_empty() {
            match this.input.poll_read(cx, &mut this.io, MAX_READ) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(n)) => drop(this.watch.received.fetch_add(n as u64, Relaxed)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.input.release_if_empty();
                    return Poll::Pending;
                }
            }
        }
        let n = this.readable_prefix(buf.remaining());
        if n == 0 {
            return Poll::Pending;
        }
        buf.put_slice(&this.input.bytes()[..n]);
        this.input.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.io.poll_write(cx, bytes);
        self.sent(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.io.poll_write_vectored(cx, pieces);
        self.sent(written)
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
