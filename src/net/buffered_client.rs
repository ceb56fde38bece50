//! A client without a connection: for parts of aggregates, cache refreshes and requests to event handlers.

use crate::{
    net::deadline::DeadlineTimer,
    pipeline::{
        body::{BodyRead, Chunk, ClientBody, Framing},
        error::GatewayError,
        head::Head,
    },
};
use bytes::{Buf, Bytes};
use std::{
    task::{Context, Poll},
    time::Instant,
};

/// A request body in memory, and a timer.
#[derive(Debug)]
pub struct BufferedClient {
    body: Bytes,
    body_len: u64,
    trailers: Option<Head>,
    timer: DeadlineTimer,
    /// An empty body has a length too.
    declares_length: bool,
}

impl BufferedClient {
    /// A complete request body, and the trailers that follow it.
    pub fn new(body: Bytes, trailers: Option<Head>) -> BufferedClient {
        BufferedClient {
            body_len: body.len() as u64,
            body,
            trailers,
            timer: DeadlineTimer::default(),
            declares_length: false,
        }
    }

    /// A request body whose length is declared even if it is 0, for a POST.
    pub fn with_declared_length(body: Bytes) -> BufferedClient {
        BufferedClient { declares_length: true, ..BufferedClient::new(body, None) }
    }
}

impl BodyRead for BufferedClient {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(if self.body.is_empty() { Chunk::End } else { Chunk::Data(&self.body) }))
    }

    fn consume(&mut self, n: usize) {
        self.body.advance(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }

    /// Only chunked framing has trailers.
    fn framing(&self) -> Framing {
        match (self.body_len, &self.trailers) {
            (_, Some(_)) => Framing::Chunked,
            (0, None) if !self.declares_length => Framing::None,
            (length, None) => Framing::Length(length),
        }
    }
}

impl ClientBody for BufferedClient {
    fn poll_closed(&mut self, _cx: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.timer.poll(cx, at)
    }

    fn send_informational(&mut self, _head: &Head, _cx: &mut Context) {}

    fn bytes_received(&self) -> u64 {
        self.body_len - self.body.len() as u64
    }

    /// The limit was already applied when the body was read.
    fn limit_body(&mut self, _max_bytes: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn the_body_is_read_to_the_end_and_counted() {
        let mut part = BufferedClient::new(Bytes::from_static(b"abc"), None);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(part.framing(), Framing::Length(3));
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"abc")))));
        part.consume(2);
        assert_eq!(part.bytes_received(), 2);
        part.consume(1);
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::End))));
        assert_eq!(BufferedClient::new(Bytes::new(), None).framing(), Framing::None);
        assert_eq!(BufferedClient::with_declared_length(Bytes::new()).framing(), Framing::Length(0));
    }

    #[test]
    fn trailers_follow_the_body() {
        let mut part = BufferedClient::new(Bytes::from_static(b"abc"), Some(Head::default()));
        assert_eq!(part.framing(), Framing::Chunked);
        assert!(part.trailers().is_some());
    }
}
