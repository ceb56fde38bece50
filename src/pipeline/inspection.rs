//! Request bodies that a stage inspects while they arrive: held back until the stage has decided, or relayed while the
//! inspection goes on, so that a large upload needs no memory.

use super::{
    body::{Body, BodyRead, Chunk, ClientBody, Framing},
    collect::{BodyPace, CollectedBody},
    error::{ErrorCode, GatewayError},
    head::Head,
    trailer_filter::TrailerFilter,
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Instant,
};

/// What happens to the bytes that were inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// They are held back.
    Hold,
    /// They are relayed, and the rest of the body is inspected while it is relayed.
    Relay,
    /// They are enough to decide; the rest of the body is not inspected. While a body is relayed, its end decides.
    Decide,
}

/// Inspects the body of one request while it is relayed.
pub trait BodyInspector: Send {
    /// Inspects the next bytes.
    ///
    /// # Errors
    ///
    /// The reason for which the request is rejected.
    fn inspect(&mut self, data: &[u8]) -> Result<Inspection, GatewayError>;

    /// The body was relayed up to its end: decides whether the end is relayed too.
    fn poll_end(&mut self, cx: &mut Context) -> Poll<Result<(), GatewayError>>;
}

/// Reads the request body into `held` and passes it to an inspector, up to its end or until it is not held back any longer.
///
/// # Errors
///
/// Those of [`super::collect::collect_body`], and the decision of the inspector.
pub async fn inspect_chunks(
    client: &mut dyn ClientBody,
    mut pace: BodyPace,
    held: &mut CollectedBody,
    max_bytes: u64,
    inspector: &mut dyn BodyInspector,
) -> Result<Inspection, GatewayError> {
    let (mut last_read, mut step) = (Instant::now(), Inspection::Hold);
    poll_fn(|cx| {
        while step == Inspection::Hold {
            let count = match client.poll_fill(cx) {
                Poll::Pending => return pace.poll_stalled(cx, client, last_read).map(Err),
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(Ok(Inspection::Hold)),
                Poll::Ready(Ok(Chunk::Data(data))) => {
                    if (held.as_slice().len() + data.len()) as u64 > max_bytes {
                        let detail = format!("the request body is larger than {max_bytes} bytes");
                        return Poll::Ready(Err(GatewayError::new(ErrorCode::RequestBody, detail)));
                    }
                    step = inspector.inspect(data)?;
                    held.push(data)?;
                    data.len()
                }
            };
            client.consume(count);
            last_read = Instant::now();
        }
        Poll::Ready(Ok(step))
    })
    .await
}

/// The decision about a response.
pub type ResponseDecision = Pin<Box<dyn Future<Output = Result<(), GatewayError>> + Send>>;

/// Inspects a response before the client receives its head.
pub trait ResponseInspector: fmt::Debug + Send + Sync {
    /// The bytes at the beginning of the body that are held back and inspected.
    fn body_limit(&mut self, head: &Head) -> usize;

    /// Decides about the head and the beginning of the body; an error replaces the response.
    fn decide(self: Box<Self>, head: &Head, beginning: &[u8]) -> ResponseDecision;

    /// There is no response to inspect.
    fn skip(self: Box<Self>);
}

/// The beginning of a body that is relayed, and the inspector of the rest.
pub struct RelayedBody {
    /// The bytes that were held back.
    pub held: CollectedBody,
    /// Inspects the rest; none if it is not inspected. In a mutex, so that references to an exchange may be sent.
    pub inspector: Option<Mutex<Box<dyn BodyInspector>>>,
}

impl fmt::Debug for RelayedBody {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RelayedBody({} bytes)", self.held.as_slice().len())
    }
}

/// A client whose body is inspected while it is relayed. The last bytes are held back until the inspector has decided: a
/// rejected body never ends cleanly.
pub struct InspectedBody<'c> {
    client: &'c mut dyn ClientBody,
    upload: InspectedUpload,
}

/// A body between its client and its backend.
struct InspectedUpload {
    held: CollectedBody,
    /// The bytes of `held` that were relayed, and those that may be.
    relayed: usize,
    released: usize,
    inspector: Option<Mutex<Box<dyn BodyInspector>>>,
    is_ended: bool,
}

impl InspectedUpload {
    /// Inspects the next bytes of the client; the bytes before them are released.
    fn poll_next(&mut self, cx: &mut Context, client: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        let Some(inspector) = &mut self.inspector else { return Poll::Ready(Ok(())) };
        let inspector = inspector.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ready!(client.poll_fill(cx))? {
            Chunk::Data(data) => {
                inspector.inspect(data)?;
                self.held.remove_first(self.relayed);
                (self.relayed, self.released) = (0, self.held.as_slice().len());
                self.held.push(data)?;
                let count = data.len();
                client.consume(count);
            }
            Chunk::End => {
                ready!(inspector.poll_end(cx))?;
                self.released = self.held.as_slice().len();
                self.is_ended = true;
                self.inspector = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The bytes that may be relayed.
    fn poll_fill<'b>(
        &'b mut self,
        cx: &mut Context,
        client: &'b mut dyn BodyRead,
    ) -> Poll<Result<Chunk<'b>, GatewayError>> {
        while self.relayed == self.released && self.inspector.is_some() {
            ready!(self.poll_next(cx, client))?;
        }
        if self.relayed < self.released {
            return Poll::Ready(Ok(Chunk::Data(&self.held.as_slice()[self.relayed..self.released])));
        }
        if self.is_ended {
            return Poll::Ready(Ok(Chunk::End));
        }
        client.poll_fill(cx)
    }

    fn consume(&mut self, n: usize, client: &mut dyn BodyRead) {
        if self.relayed < self.released {
            self.relayed += n;
        } else {
            client.consume(n);
        }
    }
}

impl<'c> InspectedBody<'c> {
    /// Continues a body.
    pub fn new(client: &'c mut dyn ClientBody, body: RelayedBody) -> InspectedBody<'c> {
        let RelayedBody { held, inspector } = body;
        let released = held.as_slice().len();
        InspectedBody {
            client,
            upload: InspectedUpload { held, relayed: 0, released, inspector, is_ended: false },
        }
    }

    /// The response body, which continues the inspection if it arrived before the request was sent completely.
    pub fn with_remaining_upload(self, body: Body) -> Body {
        let is_complete = self.upload.is_ended && self.upload.relayed == self.upload.released;
        match body {
            Body::Stream(body) if !is_complete => {
                Body::Stream(Box::new(EarlyResponseBody { body, upload: self.upload }))
            }
            body => body,
        }
    }
}

impl BodyRead for InspectedBody<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.upload.poll_fill(cx, self.client.as_body())
    }

    fn consume(&mut self, n: usize) {
        self.upload.consume(n, self.client.as_body());
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.client.trailers()
    }

    fn framing(&self) -> Framing {
        self.client.framing()
    }
}

/// A response body that arrived before the inspected request was sent completely.
struct EarlyResponseBody {
    body: Box<dyn BodyRead>,
    upload: InspectedUpload,
}

/// The rest of an inspected body.
struct RemainingUpload<'a> {
    upload: &'a mut InspectedUpload,
    client: &'a mut dyn BodyRead,
}

impl BodyRead for RemainingUpload<'_> {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        self.upload.poll_fill(cx, self.client)
    }

    fn consume(&mut self, n: usize) {
        self.upload.consume(n, self.client);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.client.trailers()
    }

    fn framing(&self) -> Framing {
        self.client.framing()
    }
}

impl BodyRead for EarlyResponseBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
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

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        let mut from = RemainingUpload { upload: &mut self.upload, client: from };
        self.body.poll_upload(cx, &mut from)
    }

    fn finish(self: Box<Self>) {
        self.body.finish();
    }
}

impl ClientBody for InspectedBody<'_> {
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()> {
        self.client.poll_closed(cx)
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.client.poll_deadline(cx, at)
    }

    fn send_informational(&mut self, head: &Head, cx: &mut Context) {
        self.client.send_informational(head, cx);
    }

    fn bytes_received(&self) -> u64 {
        self.client.bytes_received()
    }

    fn limit_body(&mut self, max_bytes: u64) {
        self.client.limit_body(max_bytes);
    }

    fn rewind(&mut self) -> bool {
        false
    }

    fn set_trailer_filter(&mut self, filter: Box<TrailerFilter>) {
        self.client.set_trailer_filter(filter);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}
