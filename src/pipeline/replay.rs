//! A request body of which some is here already: kept while it is read, so that it can be sent again, or read whole before
//! it is sent at all.

use super::{
    body::{Body, BodyRead, Caller, Chunk, Framing},
    cause::Cause,
    head::Head,
};
use bytes::Bytes;
use std::{
    ops::Deref,
    task::{Context, Poll, ready},
    time::Instant,
};

/// A caller whose body is kept.
pub struct Replay<'c> {
    caller: &'c mut dyn Caller,
    kept: Kept,
    /// How much of what is kept was sent in this attempt.
    at: usize,
    limit: usize,
    /// There was more than may be kept: it cannot be sent again.
    over: bool,
}

/// What was read of a body.
enum Kept {
    Some(Vec<u8>),
    All(Bytes),
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Kept::Some(bytes) => bytes,
            Kept::All(bytes) => bytes,
        }
    }
}

impl<'c> Replay<'c> {
    /// Keeps up to `limit` bytes; nothing of a body that says it is longer.
    pub fn new(caller: &'c mut dyn Caller, limit: usize) -> Replay<'c> {
        let over = caller.framing().length().is_some_and(|length| length > limit as u64);
        Replay { caller, kept: Kept::Some(Vec::new()), at: 0, limit, over }
    }

    /// The body is here already; of the caller only what belongs to it is left: its framing, its trailers.
    pub fn whole(body: Bytes, caller: &'c mut dyn Caller) -> Replay<'c> {
        Replay { caller, limit: body.len(), kept: Kept::All(body), at: 0, over: false }
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
                Body::Stream(Box::new(Early { body, kept: self.kept, at: self.at }))
            }
            body => body,
        }
    }

    /// Forgets what was kept and sent, of a body that cannot be sent again.
    fn forget(&mut self) {
        (self.kept, self.at) = (Kept::Some(Vec::new()), 0);
    }
}

impl BodyRead for Replay<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        if self.at == self.kept.len() && !self.over {
            let Chunk::Data(data) = ready!(self.caller.poll_fill(cx))? else {
                return Poll::Ready(Ok(Chunk::End));
            };
            match &mut self.kept {
                Kept::Some(kept) if kept.len() + data.len() <= self.limit => {
                    let n = data.len();
                    kept.extend_from_slice(data);
                    self.caller.consume(n);
                }
                _ => {
                    self.over = true;
                    self.forget();
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
            self.forget();
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

    /// Of this attempt, while it is not the only one possible.
    fn received(&self) -> u64 {
        if self.over { self.caller.received() } else { self.at as u64 }
    }

    fn limit_body(&mut self, most: u64) {
        self.caller.limit_body(most);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// The body of an answer that came before the request was through.
struct Early {
    body: Box<dyn BodyRead>,
    kept: Kept,
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

impl BodyRead for Early {
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
