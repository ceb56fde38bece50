//! Long polling: requests that wait for messages. A new poll takes over from the one before; messages are removed from the queue
//! when their response is sent.

use super::link::{Link, Phase};
use crate::pipeline::{
    body::{Body, BodyRead, Chunk, ClientBody, Framing},
    cancel::until_deadline,
    error::GatewayError,
    head::Head,
    response::{Response, RouteResult},
};
use crate::realtime::{engine::connection::Connection, session::queue::Batch};
use crate::telemetry::hubs::HubDirection;
use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

/// About how many bytes of messages one response contains.
const MAX_BATCH_BYTES: usize = 256 * 1024;

/// A poll that waits.
#[derive(Debug)]
struct WaitingPoll {
    link: Arc<Link>,
    number: u64,
}

/// What a poll waited for.
enum Polled {
    Messages(MessageBatch),
    /// The response to a handshake that failed.
    Rejected(Arc<[u8]>),
    /// Another poll took over, or the connection has ended.
    Over,
}

/// Responds to the first request of a link at once, so that the client knows that it is open.
pub fn first_response(link: &Link) -> Response {
    link.state().polls.ended_at = Instant::now();
    response(200, Body::Empty)
}

/// Waits for messages, at most for the time of a poll.
pub async fn poll(link: Arc<Link>, client: &mut dyn ClientBody) -> RouteResult {
    link.touch();
    let timeout = link.hub.context.load().config.signalr.poll_timeout;
    let deadline = Instant::now() + timeout;
    let waiting = WaitingPoll::begin(link);
    let polled = until_deadline(poll_fn(|cx| waiting.poll(cx)), client, Some(deadline)).await?;
    let link = waiting.link.clone();
    drop(waiting);
    Ok(match polled {
        None => response(200, Body::Empty),
        Some(Polled::Messages(batch)) => response(200, Body::Stream(Box::new(batch))),
        Some(Polled::Rejected(text)) => {
            link.finish();
            response(200, Body::Bytes(Bytes::copy_from_slice(&text)))
        }
        Some(Polled::Over) => response(204, Body::Empty),
    })
}

fn response(status: u16, body: Body) -> Response {
    let reason: &[u8] = if status == 200 { b"OK" } else { b"No Content" };
    let mut head = Head::response(status, reason);
    head.append(b"Cache-Control", b"no-cache, no-store");
    head.append(b"Pragma", b"no-cache");
    match body.length() {
        Some(0) => head.append(b"Content-Length", b"0"),
        _ => head.append(b"Content-Type", b"application/octet-stream"),
    }
    Response { head, body, ..Response::default() }
}

impl WaitingPoll {
    /// Takes over from the poll before.
    fn begin(link: Arc<Link>) -> WaitingPoll {
        let mut state = link.state();
        state.polls.last += 1;
        state.polls.is_waiting = true;
        let number = state.polls.last;
        state.wake();
        drop(state);
        link.progress.notify_waiters();
        WaitingPoll { link, number }
    }

    fn poll(&self, cx: &mut Context) -> Poll<Polled> {
        let mut state = self.link.state();
        if state.polls.last != self.number {
            return Poll::Ready(Polled::Over);
        }
        // Registered first: what happens from now on wakes the task.
        state.waker = Some(cx.waker().clone());
        let connection = match &state.phase {
            Phase::Handshake => return Poll::Pending,
            Phase::Rejected(text) => return Poll::Ready(Polled::Rejected(text.clone())),
            Phase::Ended => return Poll::Ready(Polled::Over),
            Phase::Open(connection, _) | Phase::Closing(connection) => connection.clone(),
        };
        if state.polls.is_responding {
            return Poll::Pending;
        }
        let mut session = connection.session();
        let batch = session.queue.take_batch(MAX_BATCH_BYTES, SystemTime::now);
        if batch.is_empty() {
            if session.set_waker(cx.waker()) {
                return Poll::Pending;
            }
            drop(session);
            drop(state);
            self.link.finish();
            return Poll::Ready(Polled::Over);
        }
        drop(session);
        state.polls.is_responding = true;
        drop(state);
        Poll::Ready(Polled::Messages(MessageBatch::new(self.link.clone(), connection, batch)))
    }
}

impl Drop for WaitingPoll {
    fn drop(&mut self) {
        self.link.touch();
        let mut state = self.link.state();
        if state.polls.last == self.number {
            state.polls.is_waiting = false;
            state.polls.ended_at = Instant::now();
        }
    }
}

/// Messages that are being sent. Those of a response that is not sent completely return to the queue.
struct MessageBatch {
    link: Arc<Link>,
    connection: Arc<Connection>,
    /// `None` once everything was sent.
    batch: Option<Batch>,
    segments: VecDeque<Bytes>,
    total: u64,
    remaining: u64,
}

impl MessageBatch {
    fn new(link: Arc<Link>, connection: Arc<Connection>, batch: Batch) -> MessageBatch {
        let segments: VecDeque<Bytes> = batch.segments(connection.subprotocol).collect();
        let total = segments.iter().map(|segment| segment.len() as u64).sum();
        MessageBatch { link, connection, batch: Some(batch), segments, total, remaining: total }
    }

    /// Another poll may send messages.
    fn end(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.connection.session().queue.restore_batch(batch);
        }
        let mut state = self.link.state();
        state.polls.is_responding = false;
        state.polls.ended_at = Instant::now();
        state.wake();
    }
}

impl BodyRead for MessageBatch {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(match self.segments.front() {
            Some(segment) => Chunk::Data(segment),
            None => Chunk::End,
        }))
    }

    fn consume(&mut self, n: usize) {
        self.remaining -= n as u64;
        if let Some(segment) = self.segments.front_mut() {
            segment.advance(n);
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        if self.remaining == 0
            && let Some(batch) = self.batch.take()
        {
            let messages = batch.messages();
            self.link.hub.shared.metrics.count_messages(HubDirection::Out, messages, self.total);
        }
    }

    fn framing(&self) -> Framing {
        Framing::Length(self.remaining)
    }
}

impl Drop for MessageBatch {
    fn drop(&mut self) {
        self.end();
    }
}
