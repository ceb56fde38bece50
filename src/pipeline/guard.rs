//! Guards: values that release something when they are dropped, whatever the result of the exchange.

use super::{
    body::{Body, BodyRead, Chunk, Framing},
    error::GatewayError,
    head::Head,
};
use smallvec::SmallVec;
use std::{
    any::Any,
    fmt,
    task::{Context, Poll},
};

/// A value that is released when it is dropped: a permit of a limit, a count.
///
/// ```
/// use margay::pipeline::guard::ResponseGuard;
/// use std::sync::Arc;
///
/// let open = Arc::new(());
/// let guard = ResponseGuard::new(open.clone());
/// assert_eq!(Arc::strong_count(&open), 2);
/// drop(guard);
/// assert_eq!(Arc::strong_count(&open), 1);
/// ```
pub struct ResponseGuard(Box<dyn Any + Send + Sync>);

impl ResponseGuard {
    /// Holds a value until the exchange ends, whatever its outcome.
    pub fn new(value: impl Any + Send + Sync) -> ResponseGuard {
        ResponseGuard(Box::new(value))
    }
}

impl fmt::Debug for ResponseGuard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ResponseGuard({:?})", (*self.0).type_id())
    }
}

/// A body that drops its guard before its last bytes are sent to the client, whose next request may arrive immediately.
pub struct GuardedBody<L> {
    body: Box<dyn BodyRead>,
    guard: Option<L>,
}

impl<L> GuardedBody<L> {
    /// Drops `lease` with the last chunk of `body`, or with the body.
    pub fn new(body: Box<dyn BodyRead>, guard: L) -> GuardedBody<L> {
        GuardedBody { body, guard: Some(guard) }
    }
}

impl<L: Send> BodyRead for GuardedBody<L> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        let filled = self.body.poll_fill(cx);
        if matches!(filled, Poll::Ready(Ok(Chunk::End))) {
            self.guard = None;
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        self.body.poll_upload(cx, from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}

impl Body {
    /// The body with guards that are dropped at its end; a body that is already in memory drops them at once.
    pub fn with_guards(self, guards: SmallVec<[ResponseGuard; 1]>) -> Body {
        match self {
            Body::Stream(body) if !guards.is_empty() => {
                Body::Stream(Box::new(GuardedBody::new(body, guards)))
            }
            body => body,
        }
    }
}
