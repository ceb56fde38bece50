//! A caller without a client connection: whoever asks for a part of an aggregate, or refreshes what is kept.

use crate::{
    pipeline::{
        answer::Answer,
        body::{Body, BodyRead, Caller, Chunk, Framing},
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
    alarm: Alarm,
}

impl Part {
    pub fn new(body: Bytes) -> Part {
        Part { length: body.len() as u64, body, alarm: Alarm::default() }
    }

    /// Stays with a body that may still want the rest of the request.
    pub fn attend(self, mut answer: Answer) -> Answer {
        if let (Body::Stream(_), false) = (&answer.body, self.body.is_empty())
            && let Body::Stream(inner) = std::mem::take(&mut answer.body)
        {
            answer.body = Body::Stream(Box::new(Attended { inner, part: self }));
        }
        answer
    }
}

impl BodyRead for Part {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        Poll::Ready(Ok(if self.body.is_empty() { Chunk::End } else { Chunk::Data(&self.body) }))
    }

    fn consume(&mut self, n: usize) {
        self.body.advance(n);
    }

    fn framing(&self) -> Framing {
        if self.length == 0 { Framing::None } else { Framing::Length(self.length) }
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

/// A caller whose body is here already, because a stage wanted to see it whole.
pub struct Whole<'c> {
    part: Part,
    framing: Framing,
    caller: &'c mut dyn Caller,
}

impl<'c> Whole<'c> {
    pub fn new(body: Bytes, caller: &'c mut dyn Caller) -> Whole<'c> {
        Whole { part: Part::new(body), framing: caller.framing(), caller }
    }

    /// Stays with a body that may still want the rest of the request.
    pub fn attend(self, answer: Answer) -> Answer {
        self.part.attend(answer)
    }
}

impl BodyRead for Whole<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        self.part.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        self.part.consume(n);
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl Caller for Whole<'_> {
    fn poll_gone(&mut self, cx: &mut Context) -> Poll<()> {
        self.caller.poll_gone(cx)
    }

    fn poll_alarm(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.caller.poll_alarm(cx, at)
    }

    fn interim(&mut self, head: &Head, cx: &mut Context) {
        self.caller.interim(head, cx);
    }

    fn received(&self) -> u64 {
        self.part.received()
    }

    /// The body was let in already.
    fn limit_body(&mut self, _most: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// An answer that came before the request was through.
struct Attended {
    inner: Box<dyn BodyRead>,
    part: Part,
}

impl BodyRead for Attended {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        // That the service takes no more of it does not spoil its answer.
        let _ = self.inner.poll_upload(cx, &mut self.part);
        self.inner.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.inner.trailers()
    }

    fn framing(&self) -> Framing {
        self.inner.framing()
    }

    fn finish(self: Box<Self>) {
        self.inner.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn its_body_is_given_to_the_end_and_counted() {
        let mut part = Part::new(Bytes::from_static(b"abc"));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(part.framing(), Framing::Length(3));
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::Data(b"abc")))));
        part.consume(2);
        assert_eq!(part.received(), 2);
        part.consume(1);
        assert!(matches!(part.poll_fill(&mut cx), Poll::Ready(Ok(Chunk::End))));
        assert_eq!(Part::new(Bytes::new()).framing(), Framing::None);
    }
}
