//! The connection from a client over HTTP/2: its streams as they come, and how long it is kept.

use super::{
    frame_inspector::{FrameInspector, FrameRateLimits, H2ErrorCode},
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

/// How long a connection that is being closed may take for it.
const GRACEFUL_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most that lies ready to be sent on one stream.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// What a stranger may do with a connection of HTTP/2, beside what he may with one of HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at one time.
    pub streams: u32,
    /// What a client may send on a stream before it is taken from us.
    pub window: u32,
    pub frame_rate: FrameRateLimits,
    /// Requests in all.
    pub requests: u32,
}

/// One client connection.
pub struct Connection {
    conn: server::Connection<Transport, WriteBuffer>,
    observer: Arc<FrameObserver>,
    alarm: DeadlineTimer,
    limits: Limits,
    head_time: Duration,
    idle_time: Duration,
    /// Streams that are being served: also those that the client gave up, until we are done with them.
    active_streams: Arc<AtomicU32>,
    served: u32,
    /// Requests refused since somebody asked.
    refused: u32,
    /// Since when nothing is being served.
    idle_since: Option<Instant>,
    /// Since when a header block is incomplete.
    header_block_since: Option<Instant>,
    /// Since when the end of the connection is announced; and bytes that had been sent then.
    goaway_since: Option<Instant>,
    sent: u64,
    /// The error that ended it.
    fault: Option<H2ErrorCode>,
}

impl Connection {
    /// Takes the connection over; `input` is what was read of it already. None: it is no HTTP/2, or too slow.
    pub async fn open(
        io: Stream,
        input: ReadBuffer,
        client: &ClientLimits,
        limits: Limits,
    ) -> Option<Connection> {
        let (transport, watch) = Transport::new(io, input, Some(FrameInspector::new(limits.frame_rate)));
        let HeadLimits { parse_request_line: line, parse_fields: fields, count } = client.head;
        let mut builder = server::Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            .initial_window_size(limits.window)
            // One stream that stands still must not hold up the others.
            .initial_connection_window_size(connection_window(limits))
            // RFC 9113 6.5.2 counts 32 bytes for each field beside its text.
            .max_header_list_size(u32::try_from(line + fields + 32 * count).unwrap_or(u32::MAX))
            .max_send_buffer_size(MAX_SEND_BUFFER);
        let hands = builder.handshake(transport);
        let conn = tokio::time::timeout(client.head_timeout, hands).await.ok()?.ok()?;
        Some(Connection {
            conn,
            observer: watch,
            alarm: DeadlineTimer::default(),
            limits,
            head_time: client.head_timeout,
            idle_time: client.idle_timeout,
            active_streams: Arc::default(),
            served: 0,
            refused: 0,
            idle_since: Some(Instant::now()),
            header_block_since: None,
            goaway_since: None,
            sent: 0,
            fault: None,
        })
    }

    /// The next request; none when the connection is over. `stop` says, whenever asked, that no new one is wanted.
    pub async fn next(&mut self, mut stop: impl FnMut(&mut Context) -> Poll<()>) -> Option<ClientStream> {
        poll_fn(|cx| {
            if stop(cx).is_ready() {
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
                    log::debug!("a connection of HTTP/2 ended: {error}");
                    let code = error.reason().filter(|_| error.is_library() && error.is_go_away());
                    self.fault = code.map(|code| H2ErrorCode(code.into())).filter(|fault| fault.0 != 0);
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.has_peer_error() => {}
                Poll::Pending => break,
            }
        }
        self.poll_timeouts(cx)
    }

    /// Why it was ended, if the client is to blame.
    pub fn error(&self) -> Option<GatewayError> {
        match self.fault? {
            H2ErrorCode::ENHANCE_YOUR_CALM => Some(GatewayError::new(
                ErrorCode::RequestFrameFlood,
                "too many frames that carry nothing, or resets",
            )),
            _ => Some(GatewayError::new(ErrorCode::RequestFrame, "a frame that breaks the rules")),
        }
    }

    /// How many requests were refused since this was asked last.
    pub fn refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    /// Takes a request on. One that the client gave up is not done before we let go of the service: till then it counts.
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

    /// Whether the client has just made an error: it is told, and nothing more is read.
    fn has_peer_error(&mut self) -> bool {
        if self.fault.is_some() {
            return false;
        }
        self.fault = self.observer.peer_error();
        if let Some(H2ErrorCode(code)) = self.fault {
            self.conn.abrupt_shutdown(Reason::from(code));
            self.goaway_since = Some(Instant::now());
        }
        self.fault.is_some()
    }

    /// Announces the end: what was begun is finished.
    fn start_goaway(&mut self, now: Instant) {
        if self.goaway_since.is_none() {
            self.goaway_since = Some(now);
            self.conn.graceful_shutdown();
        }
    }

    /// Ready when the client was waited for long enough.
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
            let Some(at) = self.deadline(busy) else { return Poll::Pending };
            ready!(self.alarm.poll(cx, at));
            if self.is_over() {
                return Poll::Ready(None);
            }
            // What was announced must go out.
            cx.waker().wake_by_ref();
        }
    }

    /// The time is up: the end is announced, or it is here. A client that still takes what is left is not cut off.
    fn is_over(&mut self) -> bool {
        let sent = self.observer.sent();
        let moves = sent != std::mem::replace(&mut self.sent, sent);
        match self.goaway_since {
            _ if self.header_block_since.is_some() || self.fault.is_some() => return true,
            Some(_) if !moves => return true,
            Some(_) => self.goaway_since = Some(Instant::now()),
            None => self.start_goaway(Instant::now()),
        }
        false
    }

    /// When patience ends, as things stand.
    fn deadline(&self, busy: bool) -> Option<Instant> {
        let block = self.header_block_since.map(|since| since + self.head_time);
        let end = match (self.goaway_since, self.idle_since) {
            (Some(since), idle) if !busy || self.fault.is_some() => {
                Some(idle.map_or(since, |idle| idle.max(since)) + GRACEFUL_CLOSE_TIMEOUT)
            }
            (None, Some(since)) => Some(since + self.idle_time),
            _ => None,
        };
        block.into_iter().chain(end).min()
    }
}

/// The window of the connection: room for every stream's.
fn connection_window(limits: Limits) -> u32 {
    const MAX_WINDOW: u32 = (1 << 31) - 1;
    limits.window.saturating_mul(limits.streams).clamp(65_535, MAX_WINDOW)
}
