//! A body whose beginning was read.

use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::GatewayError,
    head::Head,
};
use std::task::{Context, Poll};

/// Bytes that were read, then the rest of the body.
pub struct PrefixedBody {
    prefix: Vec<u8>,
    consumed: usize,
    rest: Box<dyn BodyRead>,
}

impl PrefixedBody {
    /// `prefix` was read from `rest`, whose length is not known.
    pub fn new(prefix: Vec<u8>, rest: Box<dyn BodyRead>) -> PrefixedBody {
        PrefixedBody { prefix, consumed: 0, rest }
    }
}

impl BodyRead for PrefixedBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        match &self.prefix[self.consumed..] {
            [] => self.rest.poll_fill(cx),
            unread => Poll::Ready(Ok(Chunk::Data(unread))),
        }
    }

    fn consume(&mut self, n: usize) {
        if self.consumed < self.prefix.len() {
            self.consumed += n;
        } else {
            self.rest.consume(n);
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.rest.trailers()
    }

    fn framing(&self) -> Framing {
        self.rest.framing()
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.rest.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.rest.finish();
    }
}
