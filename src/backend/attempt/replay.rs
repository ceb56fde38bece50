//! A request body that can be sent again: what was read of it is kept, up to a limit.

use crate::pipeline::{
    body::{Body, BodyRead, Caller, Chunk, Framing},
    cause::Cause,
    head::Head,
};
use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

/// A caller whose body is kept while it is read.
pub struct Replay<'c> {
    caller: &'c mut dyn Caller,
    kept: Vec<u8>,
    /// How much of what is kept was sent in this attempt.
    at: usize,
    limit: usize,
    /// There was more than may be kept: it cannot be sent again.
    over: bool,
}

impl<'c> Replay<'c> {
    /// Keeps up to `limit` bytes; nothing of a body that says it is longer.
    pub fn new(caller: &'c mut dyn Caller, limit: usize) -> Replay<'c> {
        let over = caller.framing().length().is_some_and(|length| length > limit as u64);
        Replay { caller, kept: Vec::new(), at: 0, limit, over }
    }

    /// Begins the body anew; false if it cannot be sent again.
    pub fn rewind(&mut self) -> bool {
        let can = self.may_rewind();
        if can {
            self.at = 0;
        }
        can
    }

    /// Whether all that was read of the body is still here.
    pub fn may_rewind(&self) -> bool {
        !self.over || self.caller.received() == 0
    }

    /// The body of the answer to come, with what was read of the request and not sent yet.
    pub fn with_rest(self, body: Body) -> Body {
        match body {
            Body::Stream(body) if self.at < self.kept.len() => {
                Body::Stream(Box::new(WithRest { body, kept: self.kept, at: self.at }))
            }
            body => body,
        }
    }
}

impl BodyRead for Replay<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        if self.at == self.kept.len() && !self.over {
            match ready!(self.caller.poll_fill(cx))? {
                Chunk::End => return Poll::Ready(Ok(Chunk::End)),
                Chunk::Data(data) if self.kept.len() + data.len() <= self.limit => {
                    let n = data.len();
                    self.kept.extend_from_slice(data);
                    self.caller.consume(n);
                }
                Chunk::Data(_) => {
                    self.over = true;
                    (self.kept, self.at) = (Vec::new(), 0);
                }
            }
        }
        if self.at < self.kept.len() {
            return Poll::Ready(Ok(Chunk::Data(&self.kept[self.at..])));
        }
        self.caller.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        if self.at == self.kept.len() {
            return self.caller.consume(n);
        }
        self.at += n;
        if self.over && self.at == self.kept.len() {
            (self.kept, self.at) = (Vec::new(), 0);
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.caller.trailers()
    }

    fn framing(&self) -> Framing {
        self.caller.framing()
    }
}

impl Caller for Replay<'_> {
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
        self.caller.received()
    }

    fn limit_body(&mut self, most: u64) {
        self.caller.limit_body(most);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// The body of an answer that came before all of the request was sent: what is kept goes on its way first.
struct WithRest {
    body: Box<dyn BodyRead>,
    kept: Vec<u8>,
    at: usize,
}

/// What is kept, and then the rest from the caller.
struct First<'a> {
    kept: &'a [u8],
    at: &'a mut usize,
    then: &'a mut dyn BodyRead,
}

impl BodyRead for First<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        if *self.at < self.kept.len() {
            return Poll::Ready(Ok(Chunk::Data(&self.kept[*self.at..])));
        }
        self.then.poll_fill(cx)
    }

    fn consume(&mut self, n: usize) {
        if *self.at < self.kept.len() { *self.at += n } else { self.then.consume(n) }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.then.trailers()
    }

    fn framing(&self) -> Framing {
        self.then.framing()
    }
}

impl BodyRead for WithRest {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), Cause>> {
        let mut from = First { kept: &self.kept, at: &mut self.at, then: from };
        self.body.poll_upload(cx, &mut from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
