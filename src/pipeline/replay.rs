//! A request body of which some is here already: kept while it is read, so that it can be sent again, or read whole before
//! it is sent at all.

use super::{
    body::{Body, BodyRead, Chunk, ClientBody, Framing},
    error::GatewayError,
    head::Head,
};
use bytes::Bytes;
use std::{
    ops::Deref,
    task::{Context, Poll, ready},
    time::Instant,
};

/// A caller whose body is kept.
pub struct ReplayBody<'c> {
    caller: &'c mut dyn ClientBody,
    buffer: Buffered,
    /// How much of what is kept was sent in this attempt.
    at: usize,
    limit: usize,
    /// There was more than may be kept: it cannot be sent again.
    overflowed: bool,
}

/// What was read of a body.
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
    /// Keeps up to `limit` bytes; nothing of a body that says it is longer.
    pub fn new(caller: &'c mut dyn ClientBody, limit: usize) -> ReplayBody<'c> {
        let overflowed = caller.framing().length().is_some_and(|length| length > limit as u64);
        ReplayBody { caller, buffer: Buffered::Some(Vec::new()), at: 0, limit, overflowed }
    }

    /// The body is here already; of the caller only what belongs to it is left: its framing, its trailers.
    pub fn from_buffered(body: Bytes, caller: &'c mut dyn ClientBody) -> ReplayBody<'c> {
        ReplayBody { caller, limit: body.len(), buffer: Buffered::All(body), at: 0, overflowed: false }
    }

    /// Begins the body anew; false if it cannot be sent again.
    pub fn rewind(&mut self) -> bool {
        let can = self.is_replayable();
        if can {
            self.at = 0;
        }
        can
    }

    /// Whether all that was read of the body is still here.
    pub fn is_replayable(&self) -> bool {
        !self.overflowed || self.caller.bytes_received() == 0
    }

    /// The body of the answer to come, with what was read of the request and not sent yet.
    pub fn with_remaining_upload(self, body: Body) -> Body {
        match body {
            Body::Stream(body) if self.at < self.buffer.len() => {
                Body::Stream(Box::new(EarlyResponseBody { body, buffer: self.buffer, at: self.at }))
            }
            body => body,
        }
    }

    /// Forgets what was kept and sent, of a body that cannot be sent again.
    fn discard_buffer(&mut self) {
        (self.buffer, self.at) = (Buffered::Some(Vec::new()), 0);
    }
}

impl BodyRead for ReplayBody<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if self.at == self.buffer.len() && !self.overflowed {
            let Chunk::Data(data) = ready!(self.caller.poll_fill(cx))? else {
                return Poll::Ready(Ok(Chunk::End));
            };
            match &mut self.buffer {
                Buffered::Some(kept) if kept.len() + data.len() <= self.limit => {
                    let n = data.len();
                    kept.extend_from_slice(data);
                    self.caller.consume(n);
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
        self.caller.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        if self.at == self.buffer.len() {
            return self.caller.consume(n);
        }
        self.at += n;
        if self.overflowed && self.at == self.buffer.len() {
            self.discard_buffer();
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.caller.trailers()
    }

    fn framing(&self) -> Framing {
        self.caller.framing()
    }
}

impl ClientBody for ReplayBody<'_> {
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()> {
        self.caller.poll_closed(cx)
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.caller.poll_deadline(cx, at)
    }

    fn send_informational(&mut self, head: &Head, cx: &mut Context) {
        self.caller.send_informational(head, cx);
    }

    /// Of this attempt, while it is not the only one possible.
    fn bytes_received(&self) -> u64 {
        if self.overflowed { self.caller.bytes_received() } else { self.at as u64 }
    }

    fn limit_body(&mut self, most: u64) {
        self.caller.limit_body(most);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// The body of an answer that came before the request was through.
struct EarlyResponseBody {
    body: Box<dyn BodyRead>,
    buffer: Buffered,
    at: usize,
}

/// What is kept, and then the rest from the caller.
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
