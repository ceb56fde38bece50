//! The byte stream below the `h2` crate: counts bytes in both directions and inspects received frames.

use super::{
    error_code::H2ErrorCode,
    frame_inspector::FrameInspector,
    sent_frames::SentFrames,
    trailers::{FRAGMENT, TrailerCounts},
};
use crate::net::{buffer::ReadBuffer, deadline::DeadlineTimer, io::Stream};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum size of one read.
const MAX_READ: usize = 64 * 1024;

/// How long, and how much, is read from a client after the last frame was sent.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: usize = 1024 * 1024;

/// Observes the stream of a connection, which is owned by the `h2` crate.
#[derive(Debug, Default)]
pub struct FrameObserver {
    /// Bytes received and sent.
    received: AtomicU64,
    sent: AtomicU64,
    /// Bytes sent because the peer requested a reply: acknowledgments of PING and SETTINGS.
    replies: AtomicU64,
    /// A header block is incomplete.
    header_block_open: AtomicBool,
    /// The error code for which reading stopped, plus one; 0: none.
    peer_error: AtomicU32,
    /// Field counts of trailers.
    pub trailers: TrailerCounts,
    /// Requests whose path has a fragment.
    pub fragments: TrailerCounts,
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

    /// Bytes sent so far as frames of streams, or nearly so: without acknowledgments.
    pub fn sent_without_replies(&self) -> u64 {
        self.sent().saturating_sub(self.replies.load(Relaxed))
    }

    /// Whether a header block is incomplete.
    pub fn is_block_open(&self) -> bool {
        self.header_block_open.load(Relaxed)
    }

    /// The protocol error of the peer, if any.
    pub fn peer_error(&self) -> Option<H2ErrorCode> {
        self.peer_error.load(Relaxed).checked_sub(1).map(H2ErrorCode)
    }
}

/// The byte stream of one connection.
#[derive(Debug)]
pub struct Transport {
    io: Stream,
    /// Received and not passed on yet; begins with what a plain listener read to detect the protocol.
    input: ReadBuffer,
    observer: Arc<FrameObserver>,
    /// `None` on connections to backends.
    inspector: Option<FrameInspector>,
    sent_frames: SentFrames,
    /// Writing to the backend failed.
    is_broken: bool,
    /// The sending side is closed.
    linger: Option<Box<Linger>>,
}

/// The end of a connection: what the client still sends is read until it closes.
#[derive(Debug)]
struct Linger {
    timer: DeadlineTimer,
    until: Instant,
    remaining_bytes: usize,
}

impl Transport {
    /// A stream of which `input` was already read.
    pub fn new(
        io: Stream,
        input: ReadBuffer,
        inspector: Option<FrameInspector>,
    ) -> (Transport, Arc<FrameObserver>) {
        let observer = Arc::new(FrameObserver::default());
        let transport = Transport {
            io,
            input,
            observer: observer.clone(),
            inspector,
            sent_frames: SentFrames::default(),
            is_broken: false,
            linger: None,
        };
        (transport, observer)
    }

    /// Reads until the client closes, or for a while: a close with unread input resets the connection, which would destroy
    /// responses that the client has not read.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| {
            let until = Instant::now() + LINGER_TIMEOUT;
            Box::new(Linger { timer: DeadlineTimer::default(), until, remaining_bytes: MAX_LINGER_BYTES })
        });
        loop {
            self.input.consume(self.input.len());
            match self.input.poll_read(cx, &mut self.io, MAX_READ) {
                Poll::Ready(Ok(n)) if n > 0 && n <= linger.remaining_bytes => linger.remaining_bytes -= n,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.input.release_if_empty();
        linger.timer.poll(cx, linger.until)
    }

    /// Counts sent bytes, and resets among them that the client caused.
    fn record_sent(&mut self, pieces: &[IoSlice<'_>], mut n: usize) {
        let sent = self.observer.sent.fetch_add(n as u64, Relaxed);
        let Some(inspector) = &mut self.inspector else { return };
        for piece in pieces {
            let part = &piece[..piece.len().min(n)];
            n -= part.len();
            self.sent_frames.inspect(part, |reset| {
                if let Err(error) = inspector.count_sent_reset(reset, sent)
                    && self.observer.peer_error().is_none()
                {
                    self.observer.peer_error.store(error.0.saturating_add(1), Relaxed);
                }
            });
        }
    }

    /// A backend that closes with GOAWAY resets the connection if more is written. The GOAWAY, which reports the requests
    /// that it did not process, may still be unread: it is read before the connection ends.
    fn ignore_write_error(&mut self) -> bool {
        self.is_broken |= self.inspector.is_none();
        self.is_broken
    }

    /// How many of the buffered bytes may be passed on: all before the first invalid frame.
    fn readable_prefix(&mut self, max_len: usize) -> usize {
        let bytes = self.input.bytes();
        let bytes = &bytes[..bytes.len().min(max_len)];
        let Some(inspector) = &mut self.inspector else { return bytes.len() };
        let FrameObserver { trailers, fragments, .. } = &*self.observer;
        let mut on_trailers = |stream, fields| match fields {
            FRAGMENT => fragments.put(stream, FRAGMENT),
            fields => trailers.put(stream, fields),
        };
        let inspected = inspector.inspect(bytes, self.observer.sent.load(Relaxed), &mut on_trailers);
        self.observer.replies.store(inspector.reply_bytes(), Relaxed);
        match inspected {
            Ok(()) => {
                self.observer.header_block_open.store(inspector.is_block_open(), Relaxed);
                bytes.len()
            }
            Err((valid, error)) => {
                self.observer.peer_error.store(error.0.saturating_add(1), Relaxed);
                valid
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
        if this.observer.peer_error().is_some() {
            // The task of the connection closes it.
            return Poll::Pending;
        }
        if this.input.is_empty() {
            match this.input.poll_read(cx, &mut this.io, MAX_READ) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(n)) => drop(this.observer.received.fetch_add(n as u64, Relaxed)),
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
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.is_broken {
            match ready!(this.io.poll_write_vectored(cx, pieces)) {
                Ok(n) => {
                    this.record_sent(pieces, n);
                    return Poll::Ready(Ok(n));
                }
                Err(_) if this.ignore_write_error() => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.is_broken {
            true => Poll::Ready(Ok(())),
            false => match ready!(this.io.poll_flush(cx)) {
                Err(_) if this.ignore_write_error() => Poll::Ready(Ok(())),
                flushed => Poll::Ready(flushed),
            },
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(this.io.poll_shutdown(cx))?;
        }
        match this.inspector {
            Some(_) => this.poll_linger(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
