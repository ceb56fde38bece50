//! The connection from a client over HTTP/2: its streams as they come, and how long it is kept.

use super::{
    stream::{ClientStream, Seat},
    transport::{Transport, Watch},
    walker::{Fault, Pace, Walker},
};
use crate::{
    pipeline::cause::{Cause, Why},
    wire::{
        alarm::Alarm,
        buffer::{ReadBuffer, WriteBuffer},
        h1::{client::ClientLimits, parse::HeadLimits},
        io::Io,
    },
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
const PARTING: Duration = Duration::from_secs(2);
/// The most that lies ready to be sent on one stream.
const READY: usize = 64 * 1024;

/// What a stranger may do with a connection of HTTP/2, beside what he may with one of HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at one time.
    pub streams: u32,
    /// What a client may send on a stream before it is taken from us.
    pub window: u32,
    pub pace: Pace,
    /// Requests in all.
    pub requests: u32,
}

/// One client connection.
pub struct Connection {
    conn: server::Connection<Transport, WriteBuffer>,
    watch: Arc<Watch>,
    alarm: Alarm,
    limits: Limits,
    head_time: Duration,
    idle_time: Duration,
    /// Streams that are being served: also those that the client gave up, until we are done with them.
    live: Arc<AtomicU32>,
    served: u32,
    /// Requests refused since somebody asked.
    refused: u32,
    /// Since when nothing is being served.
    idle: Option<Instant>,
    /// Since when a header block is incomplete.
    block: Option<Instant>,
    /// Since when the end of the connection is announced; and bytes that had been sent then.
    leaving: Option<Instant>,
    sent: u64,
    /// The error that ended it.
    fault: Option<Fault>,
}

impl Connection {
    /// Takes the connection over; `input` is what was read of it already. None: it is no HTTP/2, or too slow.
    pub async fn open(
        io: Io,
        input: ReadBuffer,
        client: &ClientLimits,
        limits: Limits,
    ) -> Option<Connection> {
        let (transport, watch) = Transport::new(io, input, Some(Walker::new(limits.pace)));
        let HeadLimits { line, fields, count } = client.head;
        let mut builder = server::Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            .initial_window_size(limits.window)
            // One stream that stands still must not hold up the others.
            .initial_connection_window_size(whole_window(limits))
            // RFC 9113 6.5.2 counts 32 bytes for each field beside its text.
            .max_header_list_size(u32::try_from(line + fields + 32 * count).unwrap_or(u32::MAX))
            .max_send_buffer_size(READY);
        let hands = builder.handshake(transport);
        let conn = tokio::time::timeout(client.head_time, hands).await.ok()?.ok()?;
        Some(Connection {
            conn,
            watch,
            alarm: Alarm::default(),
            limits,
            head_time: client.head_time,
            idle_time: client.idle_time,
            live: Arc::default(),
            served: 0,
            refused: 0,
            idle: Some(Instant::now()),
            block: None,
            leaving: None,
            sent: 0,
            fault: None,
        })
    }

    /// The next request; none when the connection is over. `stop` says, whenever asked, that no new one is wanted.
    pub async fn next(&mut self, mut stop: impl FnMut(&mut Context) -> Poll<()>) -> Option<ClientStream> {
        poll_fn(|cx| {
            if stop(cx).is_ready() {
                self.leave(Instant::now());
            }
            self.poll_next(cx)
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context) -> Poll<Option<ClientStream>> {
        loop {
            match self.conn.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(stream) = self.admit(request, respond) {
                        return Poll::Ready(Some(stream));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    log::debug!("a connection of HTTP/2 ended: {error}");
                    let code = error.reason().filter(|_| error.is_library() && error.is_go_away());
                    self.fault = code.map(|code| Fault(code.into())).filter(|fault| fault.0 != 0);
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.is_at_fault() => {}
                Poll::Pending => break,
            }
        }
        self.patience(cx)
    }

    /// Why it was ended, if the client is to blame.
    pub fn cause(&self) -> Option<Cause> {
        match self.fault? {
            Fault::CALM => {
                Some(Cause::new(Why::RequestFlood, "too many frames that carry nothing, or resets"))
            }
            _ => Some(Cause::new(Why::RequestFrame, "a frame that breaks the rules")),
        }
    }

    /// How many requests were refused since this was asked last.
    pub fn refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    /// Takes a request on. One that the client gave up is not done before we let go of the service: till then it counts.
    fn admit(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<WriteBuffer>,
    ) -> Option<ClientStream> {
        if self.live.load(Relaxed) >= self.limits.streams {
            respond.send_reset(Reason::REFUSED_STREAM);
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        self.served = self.served.saturating_add(1);
        if self.served >= self.limits.requests {
            self.leave(Instant::now());
        }
        self.idle = None;
        Some(ClientStream::new(request, respond, &self.watch, Seat::take(&self.live)))
    }

    /// Whether the client has just made an error: it is told, and nothing more is read.
    fn is_at_fault(&mut self) -> bool {
        if self.fault.is_some() {
            return false;
        }
        self.fault = self.watch.fault();
        if let Some(Fault(code)) = self.fault {
            self.conn.abrupt_shutdown(Reason::from(code));
            self.leaving = Some(Instant::now());
        }
        self.fault.is_some()
    }

    /// Announces the end: what was begun is finished.
    fn leave(&mut self, now: Instant) {
        if self.leaving.is_none() {
            self.leaving = Some(now);
            self.conn.graceful_shutdown();
        }
    }

    /// Ready when the client was waited for long enough.
    fn patience(&mut self, cx: &mut Context) -> Poll<Option<ClientStream>> {
        let busy = self.live.load(Relaxed) > 0;
        let open = self.watch.is_block_open();
        if open != self.block.is_some() {
            self.block = open.then(Instant::now);
        }
        if busy {
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = Some(Instant::now());
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
        let sent = self.watch.sent();
        let moves = sent != std::mem::replace(&mut self.sent, sent);
        match self.leaving {
            _ if self.block.is_some() || self.fault.is_some() => return true,
            Some(_) if !moves => return true,
            Some(_) => self.leaving = Some(Instant::now()),
            None => self.leave(Instant::now()),
        }
        false
    }

    /// When patience ends, as things stand.
    fn deadline(&self, busy: bool) -> Option<Instant> {
        let block = self.block.map(|since| since + self.head_time);
        let end = match (self.leaving, self.idle) {
            (Some(since), idle) if !busy || self.fault.is_some() => {
                Some(idle.map_or(since, |idle| idle.max(since)) + PARTING)
            }
            (None, Some(since)) => Some(since + self.idle_time),
            _ => None,
        };
        block.into_iter().chain(end).min()
    }
}

/// The window of the connection: room for every stream's.
fn whole_window(limits: Limits) -> u32 {
    const LARGEST: u32 = (1 << 31) - 1;
    limits.window.saturating_mul(limits.streams).clamp(65_535, LARGEST)
}
