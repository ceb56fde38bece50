//! A replayable request body: buffered while it is read so that a retry can send it again, or collected before the
//! first attempt.

use super::{
    body::{Body, BodyRead, Chunk, ClientBody, Framing},
    error::GatewayError,
    head::Head,
};
use crate::base::budget::BufferCharge;
use bytes::Bytes;
use std::{
    ops::Deref,
    task::{Context, Poll, ready},
    time::Instant,
};

/// A client whose body is buffered.
pub struct ReplayBody<'c> {
    client: &'c mut dyn ClientBody,
    buffer: Buffered,
    /// The position in the buffer of this attempt.
    at: usize,
    limit: usize,
    /// The memory of the buffer; `None`: the collected body is charged elsewhere.
    charge: Option<BufferCharge>,
    /// The body exceeds the limit, or the memory that is left: it cannot be replayed.
    overflowed: bool,
}

/// The buffered part of a body.
enum Buffered {
    Some(Vec<u8>),
    All(Bytes),
}

impl Deref for Buffered {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Buffered::Some(bytes) => bytes,
            Buffered::All(bytes) => bytes,
        }
    }
}

impl<'c> ReplayBody<'c> {
    /// Buffers up to `limit` bytes; nothing if the declared length is larger.
    pub fn new(client: &'c mut dyn ClientBody, limit: usize, charge: BufferCharge) -> ReplayBody<'c> {
        let overflowed = client.framing().length().is_some_and(|length| length > limit as u64);
        let buffer = Buffered::Some(Vec::new());
        ReplayBody { client, buffer, at: 0, limit, charge: Some(charge), overflowed }
    }

    /// A body that was collected already; the client only provides framing and trailers.
    pub fn from_buffered(body: Bytes, client: &'c mut dyn ClientBody) -> ReplayBody<'c> {
        let (limit, buffer) = (body.len(), Buffered::All(body));
        ReplayBody { client, limit, buffer, at: 0, charge: None, overflowed: false }
    }

    /// Whether all that was read of the body is still buffered.
    pub fn is_replayable(&self) -> bool {
        !self.overflowed || self.client.bytes_received() == self.buffer.len() as u64
    }

    /// Reads the body ahead, at most `max_bytes` of it; ready once these, the whole body or as much as the memory permits are
    /// buffered.
    pub fn poll_read_ahead(&mut self, cx: &mut Context, max_bytes: usize) -> Poll<Result<(), GatewayError>> {
        while let Buffered::Some(buffered) = &mut self.buffer
            && buffered.len() < max_bytes
        {
            let Chunk::Data(data) = ready!(self.client.poll_fill(cx))? else { break };
            let n = data.len().min(max_bytes - buffered.len());
            if !has_memory(&mut self.charge, buffered.len() + n) {
                break;
            }
            buffered.extend_from_slice(&data[..n]);
            self.client.consume(n);
        }
        Poll::Ready(Ok(()))
    }

    /// The response body, combined with the buffered request bytes that were not sent yet.
    pub fn with_remaining_upload(self, body: Body) -> Body {
        match body {
            Body::Stream(body) if self.at < self.buffer.len() => {
                let (buffer, at, charge) = (self.buffer, self.at, self.charge);
                Body::Stream(Box::new(EarlyResponseBody { body, buffer, at, _charge: charge }))
            }
            body => body,
        }
    }

    /// Bytes read of the body and not sent in this attempt.
    pub fn buffered_bytes(&self) -> u64 {
        (self.buffer.len() - self.at) as u64
    }

    /// Drops the buffer after it was sent, if the body cannot be replayed.
    fn discard_buffer(&mut self) {
        (self.buffer, self.at) = (Buffered::Some(Vec::new()), 0);
        if let Some(charge) = &mut self.charge {
            charge.release();
        }
    }
}

/// Whether the client may have a buffer of this size.
fn has_memory(charge: &mut Option<BufferCharge>, size: usize) -> bool {
    charge.as_mut().is_none_or(|charge| charge.reserve(size))
}

impl BodyRead for ReplayBody<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if self.at == self.buffer.len() && !self.overflowed {
            let Chunk::Data(data) = ready!(self.client.poll_fill(cx))? else {
                return Poll::Ready(Ok(Chunk::End));
            };
            match &mut self.buffer {
                Buffered::Some(buffer)
                    if buffer.len() + data.len() <= self.limit
                        && has_memory(&mut self.charge, buffer.len() + data.len()) =>
                {
                    let n = data.len();
                    buffer.extend_from_slice(data);
                    self.client.consume(n);
                }
                _ => {
                    self.overflowed = true;
                    self.discard_buffer();
                }
            }
        }
        if self.at < self.buffer.len() {
            return Poll::Ready(Ok(Chunk::Data(&self.buffer[self.at..])));
        }
        self.client.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        if self.at == self.buffer.len() {
            return self.client.consume(n);
        }
        self.at += n;
        if self.overflowed && self.at == self.buffer.len() {
            self.discard_buffer();
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.client.trailers()
    }

    fn framing(&self) -> Framing {
        self.client.framing()
    }
}

impl ClientBody for ReplayBody<'_> {
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()> {
        self.client.poll_closed(cx)
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.client.poll_deadline(cx, at)
    }

    fn send_informational(&mut self, head: &Head, cx: &mut Context) {
        self.client.send_informational(head, cx);
    }

    /// Bytes sent in this attempt, while the body can be replayed.
    fn bytes_received(&self) -> u64 {
        if self.overflowed { self.client.bytes_received() - self.buffered_bytes() } else { self.at as u64 }
    }

    fn rewind(&mut self) -> bool {
        let can = self.is_replayable();
        if can {
            self.at = 0;
        }
        can
    }

    fn limit_body(&mut self, max_bytes: u64) {
        self.client.limit_body(max_bytes);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// A response body that arrived before the request was sent completely.
struct EarlyResponseBody {
    body: Box<dyn BodyRead>,
    buffer: Buffered,
    at: usize,
    _charge: Option<BufferCharge>,
}

/// The buffered bytes, followed by the remaining body of the client.
struct PrefixedBody<'a> {
    buffer: &'a [u8],
    at: &'a mut usize,
    rest: &'a mut dyn BodyRead,
}

impl BodyRead for PrefixedBody<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if *self.at < self.buffer.len() {
            return Poll::Ready(Ok(Chunk::Data(&self.buffer[*self.at..])));
        }
        self.rest.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        if *self.at < self.buffer.len() { *self.at += n } else { self.rest.consume(n) }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.rest.trailers()
    }

    fn framing(&self) -> Framing {
        self.rest.framing()
    }
}

impl BodyRead for EarlyResponseBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.body.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        self.body.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.body.trailers()
    }

    fn framing(&self) -> Framing {
        self.body.framing()
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        let mut from = PrefixedBody { buffer: &self.buffer, at: &mut self.at, rest: from };
        self.body.poll_upload(cx, &mut from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
