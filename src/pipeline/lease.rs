//! Something held for the time of an exchange: given back by being dropped, whatever becomes of the exchange.

use super::{
    body::{BodyRead, Chunk},
    cause::Cause,
    head::Head,
};
use crate::pipeline::body::Framing;
use std::{
    any::Any,
    fmt,
    task::{Context, Poll},
};

/// Whatever is given back when it is dropped: a place under a limit, a count.
pub struct Lease(Box<dyn Any + Send + Sync>);

impl Lease {
    pub fn new(held: impl Any + Send + Sync) -> Lease {
        Lease(Box::new(held))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Lease({:?})", (*self.0).type_id())
    }
}

/// A body that gives something back at its end: before the last bytes go to the client, whose next request may be fast.
pub struct Leased<L> {
    body: Box<dyn BodyRead>,
    lease: Option<L>,
}

impl<L> Leased<L> {
    pub fn new(body: Box<dyn BodyRead>, lease: L) -> Leased<L> {
        Leased { body, lease: Some(lease) }
    }
}

impl<L: Send> BodyRead for Leased<L> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Cause>> {
        let filled = self.body.poll_fill(cx);
        if matches!(filled, Poll::Ready(Ok(Chunk::End))) {
            self.lease = None;
        }
        filled
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
        self.body.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}
