//! The sending side of a stream: bytes are copied once into a pooled buffer and sent in frames of the default size.

use crate::{net::buffer::WriteBuffer, pipeline::body::Framing};
use bytes::Buf;
use h2::SendStream;
use http::HeaderMap;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Maximum size of a DATA frame: the default frame size.
const FRAME_PAYLOAD: usize = 16 * 1024;

impl Buf for WriteBuffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes()
    }

    fn advance(&mut self, n: usize) {
        self.consume_written(n);
    }
}

/// One outgoing body.
#[derive(Debug, Default)]
pub struct SendBody {
    stream: Option<SendStream<WriteBuffer>>,
    /// Accepted and not sent yet.
    buffered: WriteBuffer,
    framing: Framing,
    /// Bytes missing to the Content-Length.
    remaining: u64,
    /// Bytes accepted.
    pub sent: u64,
    /// END_STREAM was sent.
    ended: bool,
}

impl SendBody {
    /// Begins a body with this framing.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
        self.remaining = framing.length().unwrap_or(0);
    }

    /// Sets the stream after the head was sent; `ended`: END_STREAM was sent with the head.
    pub fn attach_stream(&mut self, stream: SendStream<WriteBuffer>, ended: bool) {
        self.ended = ended;
        self.stream = Some(stream);
    }

    /// The stream, once its head was sent.
    pub fn stream(&mut self) -> Option<&mut SendStream<WriteBuffer>> {
        self.stream.as_mut()
    }

    /// Whether the message may have a body.
    pub fn has_body(&self) -> bool {
        self.framing != Framing::None
    }

    /// Whether more bytes would be sent instead of dropped.
    pub fn accepts_data(&self) -> bool {
        match self.framing {
            Framing::None => false,
            Framing::Length(_) => self.remaining > 0,
            Framing::Chunked | Framing::UntilClose => true,
        }
    }

    /// Accepts some of the bytes, as many as the flow-control window permits.
    pub fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        let wanted = match self.framing {
            Framing::None => 0,
            Framing::Length(_) => data.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX)),
            Framing::Chunked | Framing::UntilClose => data.len(),
        };
        if wanted == 0 {
            // More than Content-Length: the surplus is dropped.
            return Poll::Ready(Ok(data.len()));
        }
        if self.buffered.len() >= FRAME_PAYLOAD {
            self.send_buffered(false)?;
        }
        let capacity = ready!(self.poll_capacity(cx, wanted.min(FRAME_PAYLOAD - self.buffered.len())))?;
        let n = wanted.min(capacity);
        self.buffered.buf_mut().extend_from_slice(&data[..n]);
        self.sent += n as u64;
        self.remaining = self.remaining.saturating_sub(n as u64);
        Poll::Ready(Ok(n))
    }

    /// How many of `wanted` bytes the flow-control window permits, in addition to the buffered ones.
    fn poll_capacity(&mut self, cx: &mut Context, wanted: usize) -> Poll<io::Result<usize>> {
        loop {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(closed())) };
            stream.reserve_capacity(self.buffered.len() + wanted);
            let capacity = stream.capacity().saturating_sub(self.buffered.len());
            if capacity > 0 {
                return Poll::Ready(Ok(capacity.min(wanted)));
            }
            if !self.buffered.is_empty() {
                // The peer may need these bytes before it extends the window.
                self.send_buffered(false)?;
                continue;
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(closed())),
            }
        }
    }

    /// Sends the buffered bytes.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffered.is_empty() { Ok(()) } else { self.send_buffered(false) }
    }

    fn send_buffered(&mut self, last: bool) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or_else(closed)?;
        stream.send_data(std::mem::take(&mut self.buffered), last).map_err(|_| closed())
    }

    /// Whether the message may end here: Content-Length is reached.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0 || self.framing == Framing::None
    }

    /// Whether END_STREAM was sent.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ends the body, with trailers if there are any.
    pub fn end(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let Some(trailers) = trailers else { return self.send_buffered(true) };
        self.flush()?;
        let stream = self.stream.as_mut().ok_or_else(closed)?;
        stream.send_trailers(trailers).map_err(|_| closed())
    }
}

fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
