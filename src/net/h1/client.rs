//! An HTTP/1.1 connection from a client: requests in, responses out, one after the other.

use super::{
    super::{
        buffer::ReadBuffer,
        client_io::{AwaitedContinue, ClientIo, RemovedParts},
        deadline::DeadlineTimer,
        io::Stream,
    },
    decode::Decoder,
    detect,
    encode::{Encoder, put_field, put_fields, put_framing, put_status_line},
    incomplete,
    parse::{self, HeadLimits},
};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::{Head, KnownHeader, Version},
    trailer_filter::TrailerFilter,
};
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Limits of a client connection: head, body, timeouts. Shared by all connections of a plan.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    pub head: HeadLimits,
    pub body: u64,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
    /// Whether a request is canceled when the client closes its sending side.
    pub abort_on_close: bool,
}

/// What was received next on the connection.
#[derive(Debug)]
pub enum Next {
    /// A request head; the connection keeps the framing of its body.
    Request,
    /// The client closed the connection or was idle for too long, or the gateway stops.
    Closed,
    /// An invalid request.
    Rejected(GatewayError),
    /// The HTTP/2 preface: the connection continues as HTTP/2.
    Http2,
    /// Not HTTP: the client would not understand a response.
    NotHttp(GatewayError),
}

/// One client connection.
#[derive(Debug)]
pub struct ClientConn {
    pub(super) io: Stream,
    is_tls: bool,
    pub(super) input: ReadBuffer,
    scanned: usize,
    pub(super) decoder: Decoder,
    pub(super) framing: Framing,
    pub(super) encoder: Encoder,
    pub(super) timer: DeadlineTimer,
    pub(super) body_limit: u64,
    pub(super) trailer_filter: Option<Box<TrailerFilter>>,
    pub(super) removed: RemovedParts,
    pub(super) awaited_continue: AwaitedContinue,
    /// Bytes of the informational (1xx) responses to this request.
    pub(super) informational_bytes: usize,
    /// Whether the request is canceled when the client closes its sending side.
    pub(super) abort_on_close: bool,
    pub(super) is_half_closed: bool,
    /// Maximum number of bytes that a head or trailer section may buffer.
    pub(super) max_buffered: usize,
    pub(super) received: u64,
    pub(super) version: Version,
    /// Requests served.
    pub served: u32,
    pub(super) closed: bool,
}

impl ClientConn {
    /// A connection before its first request.
    pub fn new(io: Stream, is_tls: bool) -> ClientConn {
        ClientConn {
            io,
            is_tls,
            input: ReadBuffer::default(),
            scanned: 0,
            decoder: Decoder::new(Framing::None, (0, 0)),
            framing: Framing::None,
            encoder: Encoder::default(),
            timer: DeadlineTimer::default(),
            body_limit: u64::MAX,
            trailer_filter: None,
            removed: RemovedParts::default(),
            awaited_continue: AwaitedContinue::default(),
            informational_bytes: 0,
            abort_on_close: true,
            is_half_closed: false,
            max_buffered: 0,
            received: 0,
            version: Version::Http11,
            served: 0,
            closed: false,
        }
    }

    /// Waits for the first byte of a request without holding a buffer; `stop` returns an earlier deadline, if there is one.
    pub async fn wait_readable(
        &mut self,
        since: Instant,
        idle: Duration,
        mut stop: impl FnMut(&mut Context) -> Option<Instant>,
    ) -> bool {
        poll_fn(|cx| {
            if !self.input.is_empty() {
                return Poll::Ready(true);
            }
            match self.poll_read_more(cx, 1) {
                Poll::Ready(read) => return Poll::Ready(matches!(read, Ok(1..))),
                Poll::Pending => self.input.release_if_empty(),
            }
            let stop_at = stop(cx);
            // Not by the timer, which wakes the task again: an eviction is reported once.
            if stop_at.is_some_and(|deadline| deadline <= Instant::now()) {
                return Poll::Ready(false);
            }
            let end = stop_at.map_or(since + idle, |deadline| deadline.min(since + idle));
            self.timer.poll(cx, end).map(|()| false)
        })
        .await
    }

    /// Receives a request head whose first byte has arrived.
    pub async fn next_head(&mut self, head: &mut Head, limits: &ClientLimits) -> Next {
        self.max_buffered = limits.head.max_line_bytes + limits.head.max_fields_bytes + 8;
        let mut started = None;
        poll_fn(|cx| {
            loop {
                if self.served == 0 && !self.is_tls && detect::is_h2_preface(self.input.bytes()) {
                    return Poll::Ready(Next::Http2);
                }
                match self.parse(head, limits) {
                    Ok(true) => return Poll::Ready(Next::Request),
                    Ok(false) => {}
                    Err(error) if self.served == 0 && detect::is_not_http(self.input.bytes()) => {
                        return Poll::Ready(Next::NotHttp(error));
                    }
                    Err(error) => return Poll::Ready(Next::Rejected(error)),
                }
                match self.poll_read_more(cx, self.max_buffered) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Next::Closed),
                    Poll::Pending => break,
                }
            }
            let started = *started.get_or_insert_with(Instant::now);
            ready!(self.timer.poll(cx, started + limits.head_timeout));
            let detail = "the request head was not complete in time";
            Poll::Ready(Next::Rejected(GatewayError::new(ErrorCode::RequestTimeout, detail)))
        })
        .await
    }

    /// The stream and the bytes already read from it.
    pub fn into_parts(self) -> (Stream, ReadBuffer) {
        (self.io, self.input)
    }

    /// Parses the head if it is complete.
    fn parse(&mut self, head: &mut Head, limits: &ClientLimits) -> Result<bool, GatewayError> {
        let lead = if self.scanned == 0 { parse::leading_empty_bytes(self.input.bytes()) } else { 0 };
        self.input.consume(lead);
        let from = self.scanned;
        let Some(end) = parse::head_end(self.input.bytes(), &mut self.scanned) else {
            return incomplete::check_incomplete(self.input.bytes(), from, &limits.head).map(|()| false);
        };
        self.framing = parse::request(&self.input.bytes()[..end], head, &limits.head, self.is_tls)?;
        self.awaited_continue = AwaitedContinue::take(head, self.framing);
        self.decoder = Decoder::new(self.framing, (limits.head.max_fields_bytes, limits.head.max_fields));
        self.input.consume(end);
        (self.scanned, self.received, self.body_limit) = (0, 0, limits.body);
        (self.trailer_filter, self.removed, self.informational_bytes) = (None, RemovedParts::default(), 0);
        self.abort_on_close = limits.abort_on_close;
        self.version = head.version;
        self.served += 1;
        match self.framing {
            Framing::Length(n) if n > limits.body => Err(self.too_large()),
            _ => Ok(true),
        }
    }

    pub(super) fn too_large(&self) -> GatewayError {
        let detail = format!("the request body is larger than {} bytes", self.body_limit);
        GatewayError::new(ErrorCode::RequestBody, detail)
    }

    /// Reads once; 0 is the end of the stream.
    pub(super) fn poll_read_more(&mut self, cx: &mut Context, max_len: usize) -> Poll<io::Result<usize>> {
        self.input.poll_read(cx, &mut self.io, max_len)
    }

    /// Discards the rest of the request body, at most `max_len` bytes until `deadline`; returns whether it ended.
    pub async fn drain(&mut self, max_len: u64, deadline: Instant) -> bool {
        let mut remaining = max_len;
        poll_fn(|cx| {
            loop {
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(Chunk::Data(data))) => {
                        let n = data.len();
                        BodyRead::consume(self, n);
                        remaining = remaining.saturating_sub(n as u64);
                        if remaining == 0 {
                            return Poll::Ready(self.decoder.is_end());
                        }
                    }
                    Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(true),
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => break,
                }
            }
            self.timer.poll(cx, deadline).map(|()| false)
        })
        .await
    }

    /// Lingering close: shuts down the write side, then discards received bytes, so that the client can read the response.
    /// Closing with unread input would make the kernel send a reset, which discards the response at the client.
    pub async fn close_lingering(&mut self, max_len: u64, deadline: Instant) {
        let mut remaining = max_len;
        poll_fn(|cx| {
            if ready!(self.poll_flush_response(cx)).is_err() || ready!(self.io.poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            loop {
                let n = self.input.len();
                self.input.consume(n);
                match self.poll_read_more(cx, 1) {
                    Poll::Ready(Ok(n @ 1..)) if remaining > n as u64 => remaining -= n as u64,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            self.timer.poll(cx, deadline)
        })
        .await;
    }
}

impl ClientIo for ClientConn {
    fn version(&self) -> Version {
        self.version
    }

    fn requests_served(&self) -> u32 {
        self.served
    }

    fn is_body_done(&self) -> bool {
        self.decoder.is_end()
    }

    fn removed(&self) -> RemovedParts {
        self.removed
    }

    fn send_head(&mut self, head: &Head, framing: Framing, keep: bool) {
        self.awaited_continue = AwaitedContinue::No;
        let buf = self.encoder.begin(framing);
        put_status_line(buf, head);
        for (known, name, value) in head.fields() {
            // Without a body, Content-Length is that of the response to a GET (RFC 9110 8.6).
            if known != KnownHeader::ContentLength || framing == Framing::None && head.status != 204 {
                put_field(buf, name, value);
            }
        }
        put_framing(buf, framing);
        match (keep, self.version) {
            (false, _) => put_field(buf, b"Connection", b"close"),
            (true, Version::Http10) => put_field(buf, b"Connection", b"keep-alive"),
            (true, _) => {}
        }
        buf.extend_from_slice(b"\r\n");
    }

    fn send_upgrade(&mut self, head: &Head, protocol: &str) {
        let buf = self.encoder.begin(Framing::None);
        put_status_line(buf, head);
        put_fields(buf, head);
        put_field(buf, b"Connection", b"Upgrade");
        put_field(buf, b"Upgrade", protocol.as_bytes());
        buf.extend_from_slice(b"\r\n");
    }

    fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>> {
        self.encoder.poll_send(cx, &mut self.io, data)
    }

    fn end(&mut self, trailers: Option<&Head>) -> bool {
        let may = self.encoder.is_complete();
        if may {
            self.encoder.end(trailers);
        }
        may
    }

    fn poll_flush_response(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        self.encoder.poll_flush(cx, &mut self.io)
    }

    fn sent(&self) -> u64 {
        self.encoder.bytes_sent
    }

    fn delivered(&self) -> u64 {
        self.io.acknowledged().unwrap_or(self.encoder.bytes_sent)
    }
}
