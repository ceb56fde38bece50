//! A stream of a tunnel: the DATA frames of one `CONNECT`, on either side of the connection.

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest DATA frame.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// How many bytes of one stream wait for the socket: more would delay the other streams of the connection.
pub const MAX_SEND_BUFFER: usize = 64 * 1024;
/// How long bytes may take that were sent before a reset.
const RESET_DELAY: Duration = Duration::from_secs(1);

/// A stream in both directions.
#[derive(Debug)]
pub struct TunnelStream {
    pub sender: TunnelSender,
    pub receiver: TunnelReceiver,
}

/// The sending direction. Dropping it before its end resets the stream.
#[derive(Debug)]
pub struct TunnelSender {
    stream: SendStream<Bytes>,
    is_ended: bool,
}

/// The receiving direction.
#[derive(Debug)]
pub struct TunnelReceiver {
    stream: RecvStream,
    /// Received and not read yet.
    chunk: Bytes,
    /// Bytes passed on whose window is not released yet.
    unreleased: usize,
}

/// How the peer ended a stream early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The connection at the other side was reset.
    Reset,
    /// The stream was given up: idle, limit, revoked, replaced.
    Canceled,
    /// The connection that carried the stream was lost.
    Lost,
}

impl TunnelStream {
    /// The stream of a `CONNECT` that was answered with 200.
    pub fn new(sender: SendStream<Bytes>, receiver: RecvStream) -> TunnelStream {
        TunnelStream {
            sender: TunnelSender { stream: sender, is_ended: false },
            receiver: TunnelReceiver { stream: receiver, chunk: Bytes::new(), unreleased: 0 },
        }
    }
}

/// The error of a stream as one of a socket, with its cause inside.
fn stream_error(error: &h2::Error) -> io::Error {
    let kind = match end_of(error) {
        StreamEnd::Reset | StreamEnd::Lost => io::ErrorKind::ConnectionReset,
        StreamEnd::Canceled => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error.to_string())
}

fn end_of(error: &h2::Error) -> StreamEnd {
    match error.reason() {
        _ if !error.is_reset() => StreamEnd::Lost,
        Some(Reason::CANCEL | Reason::REFUSED_STREAM) => StreamEnd::Canceled,
        _ => StreamEnd::Reset,
    }
}

impl TunnelSender {
    /// Sends bytes as the window of the stream allows; copies nothing.
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_capacity(cx, bytes.len())).await?;
            self.send_now(bytes.split_to(n))?;
        }
        Ok(())
    }

    /// How many of `wanted` bytes may be sent.
    fn poll_capacity(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let wanted = wanted.min(MAX_FRAME_BYTES);
        self.stream.reserve_capacity(wanted);
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(stream_error(&error))),
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                },
                n => return Poll::Ready(Ok(n.min(wanted))),
            }
        }
    }

    fn send_now(&mut self, bytes: Bytes) -> io::Result<()> {
        self.stream.send_data(bytes, false).map_err(|error| stream_error(&error))
    }

    /// Ends the sending direction.
    pub fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_ended, true) {
            return Ok(());
        }
        self.stream.send_data(Bytes::new(), true).map_err(|error| stream_error(&error))
    }

    /// Reports a reset to the other side, after everything that was sent before.
    pub async fn reset(&mut self) {
        if !self.is_ended {
            let _ = tokio::time::timeout(RESET_DELAY, self.drained()).await;
        }
        self.end(Reason::CONNECT_ERROR);
    }

    /// Gives the stream up.
    pub fn cancel(&mut self) {
        self.end(Reason::CANCEL);
    }

    fn end(&mut self, reason: Reason) {
        self.is_ended = true;
        self.stream.send_reset(reason);
    }

    /// Waits until the buffer of the stream is empty: only then does the whole buffer have room.
    async fn drained(&mut self) {
        self.stream.reserve_capacity(MAX_SEND_BUFFER);
        poll_fn(|cx| {
            while self.stream.capacity() < MAX_SEND_BUFFER {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Ready when the other side reset the stream.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        match ready!(self.stream.poll_reset(cx)) {
            Ok(Reason::CANCEL | Reason::REFUSED_STREAM) => Poll::Ready(StreamEnd::Canceled),
            Ok(_) => Poll::Ready(StreamEnd::Reset),
            Err(_) => Poll::Ready(StreamEnd::Lost),
        }
    }
}

impl Drop for TunnelSender {
    fn drop(&mut self) {
        if !self.is_ended {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

impl TunnelReceiver {
    /// The next bytes, `None` at the end. The window of the bytes before them is released now: they were passed on.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.chunk.is_empty() {
            return Ok(Some(std::mem::take(&mut self.chunk)));
        }
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.release();
        loop {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.unreleased = chunk.len();
                    return Poll::Ready(Ok(Some(chunk)));
                }
                Some(Err(error)) => return Poll::Ready(Err(stream_error(&error))),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn release(&mut self) {
        let n = std::mem::take(&mut self.unreleased);
        if n > 0 {
            // It fails for a stream that has ended only.
            let _ = self.stream.flow_control().release_capacity(n);
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let receiver = &mut self.receiver;
        if receiver.chunk.is_empty() {
            match ready!(receiver.poll_chunk(cx))? {
                Some(chunk) => receiver.chunk = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = receiver.chunk.len().min(buf.remaining());
        buf.put_slice(&receiver.chunk.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(self.sender.poll_capacity(cx, bytes.len()))?;
        self.sender.send_now(Bytes::copy_from_slice(&bytes[..n]))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The task of the connection writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.finish())
    }
}
