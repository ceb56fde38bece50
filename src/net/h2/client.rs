//! An HTTP/2 connection from a client: accepts its streams, and closes it when idle, too old or faulty.

use super::{
    error_code::H2ErrorCode,
    frame_inspector::FrameInspector,
    frame_rates::FrameRateLimits,
    stream::{ActiveStreamGuard, ClientStream},
    transport::{FrameObserver, Transport},
};
use crate::{
    net::{
        buffer::{ReadBuffer, WriteBuffer},
        deadline::DeadlineTimer,
        h1::{client::ClientLimits, parse::HeadLimits},
        io::Stream,
    },
    pipeline::error::{ErrorCode, GatewayError},
};
use h2::{
    Reason, RecvStream,
    server::{self, SendResponse},
};
use http::Request;
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Maximum time of a graceful close without progress.
const GRACEFUL_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of bytes buffered for one stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Limits of an HTTP/2 client connection, in addition to those of HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of concurrent streams.
    pub streams: u32,
    /// Initial flow-control window of a stream.
    pub window: u32,
    pub frame_rate: FrameRateLimits,
    /// Maximum number of requests.
    pub requests: u32,
}

/// One client connection.
pub struct Connection {
    conn: server::Connection<Transport, WriteBuffer>,
    observer: Arc<FrameObserver>,
    timer: DeadlineTimer,
    limits: Limits,
    head_timeout: Duration,
    idle_timeout: Duration,
    /// Streams being served, including those reset by the client until their exchange ends.
    active_streams: Arc<AtomicU32>,
    served: u32,
    /// Requests refused since the last call of [`Connection::refused`].
    refused: u32,
    /// Since when no stream is active.
    idle_since: Option<Instant>,
    /// Since when a header block is incomplete.
    header_block_since: Option<Instant>,
    /// When GOAWAY was sent, and the number of bytes sent by then.
    goaway_since: Option<Instant>,
    sent: u64,
    /// The protocol error that ended the connection.
    peer_error: Option<H2ErrorCode>,
}

impl Connection {
    /// Completes the HTTP/2 handshake; `input` is what was already read. `None`: not HTTP/2, or too slow.
    pub async fn open(
        io: Stream,
        input: ReadBuffer,
        client: &ClientLimits,
        limits: Limits,
    ) -> Option<Box<Connection>> {
        let (transport, observer) = Transport::new(io, input, Some(FrameInspector::new(limits.frame_rate)));
        let handshake = builder(client, limits).handshake(transport);
        let conn = tokio::time::timeout(client.head_timeout, handshake).await.ok()?.ok()?;
        Some(Box::new(Connection {
            conn,
            observer,
            timer: DeadlineTimer::default(),
            limits,
            head_timeout: client.head_timeout,
            idle_timeout: client.idle_timeout,
            active_streams: Arc::default(),
            served: 0,
            refused: 0,
            idle_since: Some(Instant::now()),
            header_block_since: None,
            goaway_since: None,
            sent: 0,
            peer_error: None,
        }))
    }

    /// The next request; `None` when the connection has ended. `stop` is true when no new request is accepted; its second
    /// parameter is the time since when no stream is active.
    pub async fn next(
        &mut self,
        mut stop: impl FnMut(&mut Context, Option<Instant>) -> bool,
    ) -> Option<ClientStream> {
        poll_fn(|cx| {
            if stop(cx, self.idle_since) {
                self.start_goaway(Instant::now());
            }
            self.poll_next(cx)
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context) -> Poll<Option<ClientStream>> {
        loop {
            match self.conn.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(stream) = self.accept_stream(request, respond) {
                        return Poll::Ready(Some(stream));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    log::debug!("HTTP/2 client connection ended: {error}");
                    let code = error.reason().filter(|_| error.is_library() && error.is_go_away());
                    self.peer_error =
                        code.map(|code| H2ErrorCode(code.into())).filter(|peer_error| peer_error.0 != 0);
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.has_peer_error() => {}
                Poll::Pending => break,
            }
        }
        self.poll_timeouts(cx)
    }

    /// The error that ended the connection, if the client caused it.
    pub fn error(&self) -> Option<GatewayError> {
        match self.peer_error? {
            H2ErrorCode::ENHANCE_YOUR_CALM => {
                Some(GatewayError::new(ErrorCode::RequestFrameFlood, "too many control frames or resets"))
            }
            _ => Some(GatewayError::new(ErrorCode::RequestFrame, "invalid frame")),
        }
    }

    /// The number of requests refused since the last call.
    pub fn refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    /// Accepts a stream. A stream reset by the client counts as active until its exchange ends.
    fn accept_stream(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<WriteBuffer>,
    ) -> Option<ClientStream> {
        if self.active_streams.load(Relaxed) >= self.limits.streams {
            respond.send_reset(Reason::REFUSED_STREAM);
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        self.served = self.served.saturating_add(1);
        if self.served >= self.limits.requests {
            self.start_goaway(Instant::now());
        }
        self.idle_since = None;
        Some(ClientStream::new(
            request,
            respond,
            &self.observer,
            ActiveStreamGuard::acquire(&self.active_streams),
        ))
    }

    /// Whether the client has just violated the protocol; sends GOAWAY with the error code and stops reading.
    fn has_peer_error(&mut self) -> bool {
        if self.peer_error.is_some() {
            return false;
        }
        self.peer_error = self.observer.peer_error();
        if let Some(H2ErrorCode(code)) = self.peer_error {
            self.conn.abrupt_shutdown(Reason::from(code));
            self.goaway_since = Some(Instant::now());
        }
        self.peer_error.is_some()
    }

    /// Sends GOAWAY; active streams are finished.
    fn start_goaway(&mut self, now: Instant) {
        if self.goaway_since.is_none() {
            self.goaway_since = Some(now);
            self.conn.graceful_shutdown();
        }
    }

    /// Ready when a timeout of the connection has expired.
    fn poll_timeouts(&mut self, cx: &mut Context) -> Poll<Option<ClientStream>> {
        let busy = self.active_streams.load(Relaxed) > 0;
        let open = self.observer.is_block_open();
        if open != self.header_block_since.is_some() {
            self.header_block_since = open.then(Instant::now);
        }
        if busy {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        loop {
            let Some(deadline) = self.deadline(busy) else { return Poll::Pending };
            ready!(self.timer.poll(cx, deadline));
            if self.expire() {
                return Poll::Ready(None);
            }
            // Wake the task so that GOAWAY is written.
            cx.waker().wake_by_ref();
        }
    }

    /// Handles an expired timeout: sends GOAWAY, or returns true to close. A client that still reads is not cut off.
    fn expire(&mut self) -> bool {
        let sent = self.observer.sent_without_replies();
        let progressed = sent > self.sent;
        self.sent = self.sent.max(sent);
        match self.goaway_since {
            _ if self.header_block_since.is_some() || self.peer_error.is_some() => return true,
            Some(_) if !progressed => return true,
            Some(_) => self.goaway_since = Some(Instant::now()),
            None => self.start_goaway(Instant::now()),
        }
        false
    }

    /// The next deadline of the connection.
    fn deadline(&self, busy: bool) -> Option<Instant> {
        let header_block = self.header_block_since.map(|since| since + self.head_timeout);
        let end = match (self.goaway_since, self.idle_since) {
            (Some(since), idle) if !busy || self.peer_error.is_some() => {
                Some(idle.map_or(since, |idle| idle.max(since)) + GRACEFUL_CLOSE_TIMEOUT)
            }
            (None, Some(since)) => Some(since + self.idle_timeout),
            _ => None,
        };
        header_block.into_iter().chain(end).min()
    }
}

/// The settings of the connection.
fn builder(client: &ClientLimits, limits: Limits) -> server::Builder {
    let HeadLimits { max_line_bytes, max_fields_bytes, max_fields } = client.head;
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.window)
        // One blocked stream must not block the others.
        .initial_connection_window_size(connection_window(limits))
        // RFC 9113 6.5.2 adds 32 bytes per field.
        .max_header_list_size(
            u32::try_from(max_line_bytes + max_fields_bytes + 32 * max_fields).unwrap_or(u32::MAX),
        )
        .max_send_buffer_size(MAX_SEND_BUFFER)
        // The frame inspector limits resets; a client may cancel all of its streams before they are accepted.
        .max_pending_accept_reset_streams(limits.streams as usize)
        // DATA in flight for streams that the gateway has reset is no error.
        .max_concurrent_reset_streams(limits.streams as usize);
    builder
}

/// The flow-control window of the connection: the sum of the stream windows.
fn connection_window(limits: Limits) -> u32 {
    const MAX_WINDOW: u32 = (1 << 31) - 1;
    limits.window.saturating_mul(limits.streams).clamp(65_535, MAX_WINDOW)
}
