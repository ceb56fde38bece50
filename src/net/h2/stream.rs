//! One request of a client over HTTP/2, and its response.

use super::{
    convert,
    recv_body::{RecvBody, RecvError},
    send_body::SendBody,
    transport::FrameObserver,
};
use crate::{
    net::{
        buffer::WriteBuffer,
        client_io::{AwaitedContinue, ClientIo, MAX_INFORMATIONAL_BYTES, RemovedParts},
        deadline::DeadlineTimer,
        h1::client::ClientLimits,
    },
    pipeline::{
        body::{BodyRead, Chunk, ClientBody, Framing},
        error::{ErrorCode, GatewayError},
        head::{Head, Version},
        trailer_filter::{TrailerFilter, filter_trailers},
    },
};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

/// One stream.
pub struct ClientStream {
    request: Option<Request<()>>,
    receiver: RecvBody,
    framing: Framing,
    respond: SendResponse<WriteBuffer>,
    /// The response head, until it is known whether a body follows.
    pending_response: Option<Response<()>>,
    sender: SendBody,
    timer: DeadlineTimer,
    body_limit: u64,
    trailer_filter: Option<Box<TrailerFilter>>,
    removed: RemovedParts,
    awaited_continue: AwaitedContinue,
    /// Bytes of the informational (1xx) responses to this request.
    informational_bytes: usize,
    received: u64,
    closed: bool,
    has_fragment: bool,
    guard: ActiveStreamGuard,
}

impl ClientStream {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<WriteBuffer>,
        observer: &Arc<FrameObserver>,
        guard: ActiveStreamGuard,
    ) -> ClientStream {
        let (parts, body) = request.into_parts();
        let has_fragment = observer.fragments.take(body.stream_id().as_u32()).is_some();
        ClientStream {
            request: Some(Request::from_parts(parts, ())),
            receiver: RecvBody::with_observer(body, observer.clone()),
            framing: Framing::None,
            respond,
            pending_response: None,
            sender: SendBody::default(),
            timer: DeadlineTimer::default(),
            body_limit: u64::MAX,
            trailer_filter: None,
            removed: RemovedParts::default(),
            awaited_continue: AwaitedContinue::default(),
            informational_bytes: 0,
            received: 0,
            closed: false,
            has_fragment,
            guard,
        }
    }

    /// Converts the request head.
    pub fn head(&mut self, head: &mut Head, limits: &ClientLimits) -> Result<(), GatewayError> {
        self.body_limit = limits.body;
        let Some(request) = self.request.take() else { return Err(GatewayError::client_closed()) };
        if self.has_fragment {
            return Err(GatewayError::malformed_request(":path contains a fragment"));
        }
        self.framing = convert::request(&request, self.receiver.is_end(), head, &limits.head)?;
        self.awaited_continue = AwaitedContinue::take(head, self.framing);
        if let Framing::Length(n) = self.framing {
            if n > limits.body {
                return Err(self.body_too_large());
            }
            self.receiver.set_content_length(n);
        }
        Ok(())
    }

    /// Whether the whole response was sent.
    pub fn is_response_sent(&self) -> bool {
        self.sender.is_ended()
    }

    /// Whether the client reset the stream.
    pub fn is_reset_by_client(&self) -> bool {
        self.closed
    }

    /// Refuses the request: it was not processed, so that the client may send it again.
    pub fn refuse(&mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Resets the stream after an incomplete response.
    pub fn reset(&mut self) {
        match self.sender.stream() {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    fn push_informational(&mut self, head: &Head) {
        if self.pending_response.is_none() && self.sender.stream().is_none() {
            // An error means that the client closed the connection.
            let _ = self.respond.send_informational(convert::to_response(head, Framing::None));
        }
    }

    fn body_too_large(&self) -> GatewayError {
        GatewayError::new(
            ErrorCode::RequestBody,
            format!("the request body is larger than {} bytes", self.body_limit),
        )
    }

    /// Sends the response head unless it was sent; `last`: no body follows.
    fn send_head(&mut self, last: bool) -> io::Result<()> {
        if let Some(response) = self.pending_response.take() {
            let sent = self.respond.send_response(response, last);
            self.sender.attach_stream(sent.map_err(|_| io::ErrorKind::BrokenPipe)?, last);
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&Head>) -> io::Result<()> {
        let trailers = trailers.filter(|_| self.sender.has_body()).map(convert::to_trailers);
        let trailers = trailers.filter(|fields| !fields.is_empty());
        let empty = self.sender.sent == 0 && trailers.is_none();
        self.send_head(empty)?;
        self.sender.end(trailers)
    }
}

impl ClientIo for ClientStream {
    fn version(&self) -> Version {
        Version::Http2
    }

    fn requests_served(&self) -> u32 {
        0
    }

    fn is_body_done(&self) -> bool {
        self.receiver.is_end()
    }

    fn removed(&self) -> RemovedParts {
        self.removed
    }

    fn send_head(&mut self, head: &Head, framing: Framing, _keep: bool) {
        self.pending_response = Some(convert::to_response(head, framing));
        self.sender.set_framing(framing);
    }

    fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.sender.accepts_data() {
            self.send_head(false)?;
        }
        self.sender.poll_send(cx, data)
    }

    fn end(&mut self, trailers: Option<&Head>) -> bool {
        let may = self.sender.is_complete();
        // A client that closed in the meantime is detected by `poll_closed`.
        if may && self.finish(trailers).is_err() {
            self.closed = true;
        }
        may
    }

    fn poll_flush_response(&mut self, _cx: &mut Context) -> Poll<io::Result<()>> {
        self.send_head(false)?;
        Poll::Ready(self.sender.flush())
    }

    fn sent(&self) -> u64 {
        self.sender.sent
    }

    fn concurrent_streams(&self) -> u32 {
        self.guard.active()
    }
}

impl BodyRead for ClientStream {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if self.awaited_continue.answer() {
            self.push_informational(&Head::response(100, b"Continue"));
        }
        let remaining = self.body_limit - self.received.min(self.body_limit);
        let too_large = match ready!(self.receiver.poll_fill(cx)) {
            Ok(Chunk::Data(data)) => data.len() as u64 > remaining,
            Ok(Chunk::End) => return Poll::Ready(Ok(Chunk::End)),
            Err(RecvError::Malformed(what)) => {
                return Poll::Ready(Err(GatewayError::malformed_request(what)));
            }
            Err(RecvError::Connection(_)) => {
                self.closed = true;
                return Poll::Ready(Err(GatewayError::client_closed()));
            }
        };
        if too_large {
            return Poll::Ready(Err(self.body_too_large()));
        }
        self.receiver.poll_fill(cx).map_err(|_| GatewayError::client_closed())
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.receiver.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        let trailers = self.receiver.trailers()?;
        self.removed.trailers += filter_trailers(self.trailer_filter.as_deref(), trailers);
        Some(trailers)
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl ClientBody for ClientStream {
    /// Ready when the client reset the stream or the connection is lost.
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()> {
        let reset = match self.sender.stream() {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        self.closed |= reset.is_ready();
        self.receiver.receive_ahead(cx);
        if self.closed { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.timer.poll(cx, at)
    }

    fn send_informational(&mut self, head: &Head, _cx: &mut Context) {
        if self.awaited_continue.is_duplicate(head) {
            return;
        }
        let (_, size) = head.received();
        self.informational_bytes += size;
        match self.informational_bytes > MAX_INFORMATIONAL_BYTES {
            true => self.removed.informational += 1,
            false => self.push_informational(head),
        }
    }

    fn bytes_received(&self) -> u64 {
        self.received
    }

    fn limit_body(&mut self, max_len: u64) {
        self.body_limit = self.body_limit.min(max_len);
    }

    fn set_trailer_filter(&mut self, filter: Box<TrailerFilter>) {
        self.trailer_filter = Some(filter);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// Counts a stream as active until it is dropped.
#[derive(Debug)]
pub struct ActiveStreamGuard(Arc<AtomicU32>);

impl ActiveStreamGuard {
    /// Counts a stream as active.
    pub fn acquire(active: &Arc<AtomicU32>) -> ActiveStreamGuard {
        active.fetch_add(1, Relaxed);
        ActiveStreamGuard(active.clone())
    }

    /// The active streams of the connection.
    pub fn active(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Drop for ActiveStreamGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
