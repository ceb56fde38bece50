//! The receiving side of a stream: the flow-control window is released as bytes are consumed, so that a slow reader slows
//! the sender.

use super::{convert, transport::FrameObserver};
use crate::pipeline::{body::Chunk, head::Head};
use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Frames below this size are copied: each would keep the buffer alive that the connection was read into.
const MIN_SHARED_BYTES: usize = 4096;

/// One incoming body.
#[derive(Debug, Default)]
pub struct RecvBody {
    stream: Option<RecvStream>,
    chunk: Bytes,
    /// Received while nothing was read.
    ahead: Ahead,
    state: State,
    trailers: Option<Head>,
    /// For client streams: the field counts of trailers on the wire.
    observer: Option<Arc<FrameObserver>>,
    /// Bytes of the body not received yet, if Content-Length is known.
    remaining: Option<u64>,
}

/// Why a body is incomplete.
#[derive(Debug)]
pub enum RecvError {
    Connection(h2::Error),
    /// The message is malformed (RFC 9113 8.1.1).
    Malformed(&'static str),
}

impl From<h2::Error> for RecvError {
    fn from(error: h2::Error) -> RecvError {
        RecvError::Connection(error)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    #[default]
    End,
}

/// Received bytes, small frames joined.
#[derive(Debug, Default)]
struct Ahead {
    chunks: VecDeque<Bytes>,
    joined: BytesMut,
    /// The end of the data, or the error behind it.
    end: Option<Result<(), h2::Error>>,
}

impl Ahead {
    fn push(&mut self, data: Bytes) {
        if data.len() < MIN_SHARED_BYTES {
            return self.joined.extend_from_slice(&data);
        }
        if !self.joined.is_empty() {
            self.chunks.push_back(self.joined.split().freeze());
        }
        self.chunks.push_back(data);
    }

    fn take(&mut self) -> Option<Bytes> {
        self.chunks.pop_front().or_else(|| (!self.joined.is_empty()).then(|| self.joined.split().freeze()))
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.joined.is_empty()
    }

    fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

impl RecvBody {
    /// Takes what was received while nothing is read, so that it needs no more memory than its flow-control window.
    pub fn receive_ahead(&mut self, cx: &mut Context) {
        let Some(stream) = self.stream.as_mut().filter(|_| self.state == State::Data && self.ahead.is_open())
        else {
            return;
        };
        while let Poll::Ready(next) = stream.poll_data(cx) {
            match next {
                Some(Ok(data)) => self.ahead.push(data),
                Some(Err(error)) => self.ahead.end = Some(Err(error)),
                None => self.ahead.end = Some(Ok(())),
            }
            if !self.ahead.is_open() {
                return;
            }
        }
    }

    /// The next bytes of the stream.
    fn poll_data(&mut self, cx: &mut Context) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if let Some(data) = self.ahead.take() {
            return Poll::Ready(Some(Ok(data)));
        }
        match (self.ahead.end.take(), &mut self.stream) {
            (Some(Err(error)), _) => Poll::Ready(Some(Err(error))),
            (None, Some(stream)) => stream.poll_data(cx),
            _ => Poll::Ready(None),
        }
    }

    /// The body of a stream; empty if the stream ended with its head.
    pub fn new(stream: RecvStream) -> RecvBody {
        let state = if stream.is_end_stream() { State::End } else { State::Data };
        RecvBody { stream: Some(stream), state, ..RecvBody::default() }
    }

    /// The body of a stream whose frames are inspected.
    pub fn with_observer(stream: RecvStream, observer: Arc<FrameObserver>) -> RecvBody {
        RecvBody { observer: Some(observer), ..RecvBody::new(stream) }
    }

    /// Sets the expected length. The last bytes are withheld until the end of the stream is known: trailers may invalidate
    /// the whole message, which must not appear complete before.
    pub fn set_content_length(&mut self, length: u64) {
        self.remaining = Some(length);
    }

    /// Whether the body was received completely.
    pub fn is_end(&self) -> bool {
        self.state == State::End && self.chunk.is_empty()
    }

    /// The buffered bytes, or the next ones.
    pub fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, RecvError>> {
        while self.chunk.is_empty() || self.ends_at_chunk() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Chunk::End)) };
            match self.state {
                State::Data => match ready!(self.poll_data(cx)).transpose()? {
                    Some(data) => self.accept_data(data)?,
                    None => self.state = State::Trailers,
                },
                State::Trailers => {
                    let trailers = ready!(stream.poll_trailers(cx))?;
                    let received = trailers.as_ref().map_or(0, http::HeaderMap::len);
                    let id = stream.stream_id().as_u32();
                    let counted = self.observer.as_ref().filter(|_| trailers.is_some());
                    if counted
                        .and_then(|observer| observer.trailers.take(id))
                        .is_some_and(|sent| sent != received)
                    {
                        return Poll::Ready(Err(RecvError::Malformed("pseudo-header field in the trailers")));
                    }
                    self.trailers = trailers.map(|map| convert::trailers(&map));
                    self.state = State::End;
                }
                State::End => return Poll::Ready(Ok(Chunk::End)),
            }
        }
        Poll::Ready(Ok(Chunk::Data(&self.chunk)))
    }

    /// Whether the buffered bytes are the last, and the end of the stream is not known yet.
    fn ends_at_chunk(&self) -> bool {
        self.remaining == Some(0) && self.state != State::End
    }

    fn accept_data(&mut self, data: Bytes) -> Result<(), RecvError> {
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining
                .checked_sub(data.len() as u64)
                .ok_or(RecvError::Malformed("the body is longer than its Content-Length"))?;
        }
        // Only empty frames can follow the last bytes.
        if !data.is_empty() {
            self.chunk = data;
        }
        Ok(())
    }

    /// Marks bytes as consumed: releases as much of the flow-control window.
    pub fn consume(&mut self, n: usize) {
        self.chunk.advance(n.min(self.chunk.len()));
        if let Some(stream) = &mut self.stream {
            // Fails only if more is released than was received.
            let _ = stream.flow_control().release_capacity(n);
            let is_empty = self.chunk.is_empty() && self.ahead.is_empty();
            if is_empty && self.state == State::Data && stream.is_end_stream() {
                self.state = State::End;
            }
        }
    }

    /// The trailers, once the body has ended.
    pub fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }
}
