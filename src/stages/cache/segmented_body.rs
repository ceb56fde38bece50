//! A stored body in several segments, sent without copying.

use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::GatewayError,
};
use bytes::{Buf, Bytes};
use std::task::{Context, Poll};

/// A stored body in several segments.
pub struct SegmentedBody {
    segments: Vec<Bytes>,
    next: usize,
    length: u64,
}

impl SegmentedBody {
    /// A body of known length, the sum of its segments.
    pub fn new(segments: Vec<Bytes>) -> SegmentedBody {
        let length = segments.iter().map(|segment| segment.len() as u64).sum();
        SegmentedBody { segments, next: 0, length }
    }
}

impl BodyRead for SegmentedBody {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while self.segments.get(self.next).is_some_and(Bytes::is_empty) {
            self.next += 1;
        }
        Poll::Ready(Ok(self.segments.get(self.next).map_or(Chunk::End, |segment| Chunk::Data(segment))))
    }

    fn consume(&mut self, n: usize) {
        if let Some(segment) = self.segments.get_mut(self.next) {
            segment.advance(n);
        }
    }

    fn framing(&self) -> Framing {
        Framing::Length(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn segments_are_read_in_order_and_empty_ones_skipped() {
        let mut body =
            SegmentedBody::new(vec![Bytes::new(), Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(body.framing(), Framing::Length(3));
        let (mut cx, mut read) = (Context::from_waker(Waker::noop()), Vec::new());
        while let Poll::Ready(Ok(Chunk::Data(data))) = body.poll_fill(&mut cx) {
            read.push(data[0]);
            body.consume(1);
        }
        assert_eq!(read, b"abc");
    }
}
