//! The sending side of a stream: bytes are copied once into lent memory, and go out in pieces of a frame's size.

use crate::{net::buffer::WriteBuffer, pipeline::body::Framing};
use bytes::Buf;
use h2::SendStream;
use http::HeaderMap;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// What one piece holds: the payload of a DATA frame of the usual size.
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
    /// Taken and not handed over yet.
    buffered: WriteBuffer,
    framing: Framing,
    /// Bytes still owed by a Content-Length.
    remaining: u64,
    /// Bytes taken.
    pub sent: u64,
    /// The end was sent with the head.
    ended: bool,
}

impl SendBody {
    /// Begins a body that is announced like that.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
        self.remaining = framing.length().unwrap_or(0);
    }

    /// The head was sent: what was taken goes into that stream.
    pub fn attach_stream(&mut self, stream: SendStream<WriteBuffer>, ended: bool) {
        self.ended = ended;
        self.stream = Some(stream);
    }

    /// The stream, once its head was sent.
    pub fn stream(&mut self) -> Option<&mut SendStream<WriteBuffer>> {
        self.stream.as_mut()
    }

    /// Whether the message may have a body at all.
    pub fn has_body(&self) -> bool {
        self.framing != Framing::None
    }

    /// Whether more bytes would be sent, and not dropped.
    pub fn accepts_data(&self) -> bool {
        match self.framing {
            Framing::None => false,
            Framing::Length(_) => self.remaining > 0,
            Framing::Chunked | Framing::UntilClose => true,
        }
    }

    /// Takes some of the bytes, as many as the other side has room for.
    pub fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        let wanted = match self.framing {
            Framing::None => 0,
            Framing::Length(_) => data.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX)),
            Framing::Chunked | Framing::UntilClose => data.len(),
        };
        if wanted == 0 {
            // More than was promised: the surplus is dropped, the promise is kept.
            return Poll::Ready(Ok(data.len()));
        }
        if self.buffered.len() >= FRAME_PAYLOAD {
            self.send_buffered(false)?;
        }
        let room = ready!(self.poll_capacity(cx, wanted.min(FRAME_PAYLOAD - self.buffered.len())))?;
        let n = wanted.min(room);
        self.buffered.buf_mut().extend_from_slice(&data[..n]);
        self.sent += n as u64;
        self.remaining = self.remaining.saturating_sub(n as u64);
        Poll::Ready(Ok(n))
    }

    /// How many of so many bytes there is room for, beside those that are held.
    fn poll_capacity(&mut self, cx: &mut Context, wanted: usize) -> Poll<io::Result<usize>> {
        loop {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(closed())) };
            stream.reserve_capacity(self.buffered.len() + wanted);
            let room = stream.capacity().saturating_sub(self.buffered.len());
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            if !self.buffered.is_empty() {
                // The other side may wait for just these before it makes room.
                self.send_buffered(false)?;
                continue;
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(closed())),
            }
        }
    }

    /// Hands over what is held.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffered.is_empty() { Ok(()) } else { self.send_buffered(false) }
    }

    fn send_buffered(&mut self, last: bool) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or_else(closed)?;
        stream.send_data(std::mem::take(&mut self.buffered), last).map_err(|_| closed())
    }

    /// Whether the message may end here: all that was promised was sent.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0 || self.framing == Framing::None
    }

    /// Whether the message was ended.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ends the body, with trailers where there are some.
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
