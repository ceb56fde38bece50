//! What a slow client has not accepted yet of a response: the backend is read ahead, up to a limit, so that its connection
//! is free when the backend is done, not when the client is.

use crate::{
    base::budget::{Budget, BufferCharge},
    pipeline::{
        body::{BodyRead, Chunk},
        head::Head,
    },
};
use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

/// How far responses are read ahead, and the budget that their clients share.
#[derive(Clone, Copy, Debug)]
pub struct ReadAheadLimit<'b> {
    pub max_bytes: usize,
    pub budget: &'b Arc<Budget>,
    /// The client that is charged.
    pub client: IpAddr,
}

/// Bytes of a response that were read ahead. Empty and without memory while its client keeps up.
#[derive(Default)]
pub struct ReadAhead {
    bytes: Vec<u8>,
    start: usize,
    charge: Option<BufferCharge>,
    is_ended: bool,
    trailers: Option<Head>,
}

impl ReadAhead {
    /// The bytes that come next.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Removes bytes that the client accepted; releases the memory with the last one.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.bytes.len() {
            (self.bytes, self.start, self.charge) = (Vec::new(), 0, None);
        }
    }

    /// Whether bytes or the end of the response were read ahead.
    pub fn is_active(&self) -> bool {
        self.is_ended || !self.bytes.is_empty()
    }

    /// Whether the backend ended its response.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The trailers of the response, after its end.
    pub fn take_trailers(&mut self) -> Option<Head> {
        self.trailers.take()
    }

    /// Reads what the backend sent, while the client accepts nothing.
    pub fn fill(&mut self, cx: &mut Context, body: &mut dyn BodyRead, limit: ReadAheadLimit) {
        while !self.is_ended {
            let room = limit.max_bytes.saturating_sub(self.bytes.len());
            // An error of the body occurs again when the client has received everything before it.
            let n = match body.poll_fill(cx) {
                Poll::Ready(Ok(Chunk::Data(data))) => {
                    let n = data.len().min(room);
                    if n == 0 || !self.reserve(n, limit) {
                        return;
                    }
                    self.bytes.extend_from_slice(&data[..n]);
                    n
                }
                Poll::Ready(Ok(Chunk::End)) => {
                    self.trailers = body.trailers().map(|head| head.clone());
                    self.is_ended = true;
                    return;
                }
                Poll::Ready(Err(_)) | Poll::Pending => return,
            };
            body.consume(n);
        }
    }

    /// Charges the client for more bytes.
    fn reserve(&mut self, n: usize, limit: ReadAheadLimit) -> bool {
        let size = self.bytes.len() + n;
        self.charge.get_or_insert_with(|| BufferCharge::new(limit.budget.clone(), limit.client)).reserve(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{body::Framing, error::GatewayError};
    use std::task::Waker;

    /// A body with these bytes, then its end.
    struct Bytes(&'static [u8]);

    impl BodyRead for Bytes {
        fn poll_fill(&mut self, _: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
            Poll::Ready(Ok(if self.0.is_empty() { Chunk::End } else { Chunk::Data(self.0) }))
        }

        fn consume(&mut self, n: usize) {
            self.0 = &self.0[n..];
        }

        fn framing(&self) -> Framing {
            Framing::Chunked
        }
    }

    fn filled(body: &mut Bytes, max_bytes: usize, capacity: usize) -> ReadAhead {
        let client = "192.0.2.1".parse().expect("an address");
        let budget = Budget::new(capacity);
        let limit = ReadAheadLimit { max_bytes, budget: &budget, client };
        let mut ahead = ReadAhead::default();
        ahead.fill(&mut Context::from_waker(Waker::noop()), body, limit);
        ahead
    }

    #[test]
    fn a_response_that_fits_is_read_to_its_end() {
        let mut body = Bytes(b"hello");
        let mut ahead = filled(&mut body, 5, 1 << 20);
        assert_eq!((ahead.bytes(), ahead.is_ended()), (&b"hello"[..], true));
        ahead.consume(2);
        assert_eq!(ahead.bytes(), b"llo");
        ahead.consume(3);
        assert!(ahead.bytes.capacity() == 0 && ahead.charge.is_none());
    }

    #[test]
    fn a_longer_response_is_read_up_to_the_limit_and_none_of_it_without_memory() {
        let (mut long, mut unpaid) = (Bytes(b"hello"), Bytes(b"hello"));
        let ahead = filled(&mut long, 4, 1 << 20);
        assert_eq!((ahead.bytes(), ahead.is_ended(), long.0), (&b"hell"[..], false, &b"o"[..]));
        assert_eq!((filled(&mut unpaid, 4, 100).bytes(), unpaid.0), (&b""[..], &b"hello"[..]));
    }
}
