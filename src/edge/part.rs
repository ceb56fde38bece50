//! A caller without a client connection: whoever asks for a part of an aggregate, or refreshes what is kept.

use crate::{
    pipeline::{
        body::{BodyRead, Caller, Chunk, Framing},
        cause::Cause,
        head::Head,
    },
    wire::alarm::Alarm,
};
use bytes::{Buf, Bytes};
use std::{
    task::{Context, Poll},
    time::Instant,
};

/// A request body that is already here, and a clock.
#[derive(Debug)]
pub struct Part {
    body: Bytes,
    length: u64,
    trailers: Option<Head>,
    alarm: Alarm,
}

impl Part {
    pub fn new(body: Bytes, trailers: Option<Head>) -> Part {
        Part { length: body.len() as u64, body, trailers, alarm: Alarm::default() }
    }
}

impl BodyRead for Part {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        Poll::Ready(Ok(if self.body.is_empty() { Chunk::End } else { Chunk::Data(&self.body) }))
    }

    fn consume(&mut self, n: usize) {
        self.body.advance(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }

    /// Only chunks have room for trailers behind them.
    fn framing(&self) -> Framing {
        match (self.length, &self.trailers) {
            (_, Some(_)) => Framing::Chunked,
            (0, None) => Framing::None,
            (length, None) => Framing::Length(length),
        }
    }
}

impl Caller for Part {
    fn poll_gone(&mut self, _cx: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    fn poll_alarm(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn interim(&mut self, _head: &Head, _cx: &mut Context) {}

    fn received(&self) -> u64 {
        self.length - self.body.len() as u64
    }

    /// The body was let in already.
    fn limit_body(&mut self, _most: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn its_body_is_given_to_the_end_and_counted() {
        let mut part = Part::new(Bytes::from_static(b"abc"), None);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(part.framing(), Framing::Length(3));
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"abc")))));
        part.consume(2);
        assert_eq!(part.received(), 2);
        part.consume(1);
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::End))));
        assert_eq!(Part::new(Bytes::new(), None).framing(), Framing::None);
    }

    #[test]
    fn trailers_come_behind_chunks() {
        let mut part = Part::new(Bytes::from_static(b"abc"), Some(Head::default()));
        assert_eq!(part.framing(), Framing::Chunked);
        assert!(part.trailers().is_some());
    }
}
