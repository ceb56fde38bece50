//! The client's request body as the body of an internal request. The service polls it independently; a chunk is read
//! from the client only after the service polled for one, so that backpressure reaches the client.

use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::GatewayError,
    head::Head,
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// The two ends of a request body: the sender, and the body that the service reads.
pub fn channel(framing: Framing) -> (Upload, Body) {
    let slot = Arc::new(Mutex::new(Slot::default()));
    let is_empty = matches!(framing, Framing::None | Framing::Length(0));
    let upload = Upload { slot: slot.clone(), done: is_empty };
    let body = match is_empty {
        true => Body::empty(),
        false => Body::new(RequestBody { slot, remaining: framing.length() }),
    };
    (upload, body)
}

/// The state shared by both ends: a buffer for one chunk.
#[derive(Debug, Default)]
struct Slot {
    chunk: Option<Bytes>,
    trailers: Option<HeaderMap>,
    state: State,
    /// The service waits for the next chunk.
    is_wanted: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// All of the body was received.
    Complete,
    /// The body ended early.
    Aborted,
    /// The service dropped its end.
    Unread,
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending end, polled by the exchange.
#[derive(Debug)]
pub struct Upload {
    slot: Arc<Mutex<Slot>>,
    done: bool,
}

impl Upload {
    /// Sends available chunks; ready when nothing is left to send. The body is not read before the service reads it, and
    /// a client that expects `100 Continue` gets it then.
    pub fn poll(&mut self, cx: &mut Context, body: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while !self.done {
            if !self.poll_wanted(cx) {
                return Poll::Pending;
            }
            if self.done {
                break;
            }
            let chunk = match ready!(body.poll_fill(cx)) {
                Ok(Chunk::Data(data)) => Some(Bytes::copy_from_slice(data)),
                Ok(Chunk::End) => None,
                Err(cause) => {
                    self.finish(State::Aborted, None);
                    return Poll::Ready(Err(cause));
                }
            };
            match chunk {
                Some(chunk) => {
                    body.consume(chunk.len());
                    self.deliver(chunk);
                }
                None => self.finish(State::Complete, body.trailers().map(|head| header_map(head))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the next chunk is requested; an error state counts as requested.
    fn poll_wanted(&mut self, cx: &mut Context) -> bool {
        let mut slot = lock(&self.slot);
        self.done = slot.state == State::Unread;
        if self.done || slot.is_wanted {
            return true;
        }
        slot.writer = Some(cx.waker().clone());
        false
    }

    fn deliver(&self, chunk: Bytes) {
        let mut slot = lock(&self.slot);
        (slot.chunk, slot.is_wanted) = (Some(chunk), false);
        wake(slot.reader.take());
    }

    fn finish(&mut self, state: State, trailers: Option<HeaderMap>) {
        self.done = true;
        let mut slot = lock(&self.slot);
        (slot.state, slot.trailers) = (state, trailers);
        wake(slot.reader.take());
    }
}

impl Drop for Upload {
    /// Ends the body of a service that outlives the exchange.
    fn drop(&mut self) {
        if !self.done {
            self.finish(State::Aborted, None);
        }
    }
}

/// The receiving end.
#[derive(Debug)]
struct RequestBody {
    slot: Arc<Mutex<Slot>>,
    /// Remaining bytes, if the length is known.
    remaining: Option<u64>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let slot = self.slot.clone();
        let mut slot = lock(&slot);
        if let Some(chunk) = slot.chunk.take() {
            self.remaining = self.remaining.map(|left| left.saturating_sub(chunk.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match slot.state {
            State::Open => {
                (slot.is_wanted, slot.reader) = (true, Some(cx.waker().clone()));
                wake(slot.writer.take());
                Poll::Pending
            }
            State::Aborted => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            State::Complete | State::Unread => {
                Poll::Ready(slot.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if slot.state == State::Open {
            slot.state = State::Unread;
        }
        wake(slot.writer.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The headers of a head; those that the `http` crate rejects are omitted.
pub fn header_map(head: &Head) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(head.len());
    for (_, name, value) in head.fields() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}
