//! The receiving side of a stream: the window is given back when bytes were used, so that a slow reader slows the sender.

use super::{convert, transport::FrameObserver};
use crate::pipeline::{body::Chunk, head::Head};
use bytes::{Buf, Bytes};
use h2::RecvStream;
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// One incoming body.
#[derive(Debug, Default)]
pub struct RecvBody {
    stream: Option<RecvStream>,
    chunk: Bytes,
    at: State,
    trailers: Option<Head>,
    /// Where it is known how many fields trailers had on the wire.
    observer: Option<Arc<FrameObserver>>,
    /// Bytes of body that are still to come, where the head says how many.
    remaining: Option<u64>,
}

/// Why a body does not go on.
#[derive(Debug)]
pub enum RecvError {
    Connection(h2::Error),
    /// The message as a whole is malformed (RFC 9113 8.1.1).
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

impl RecvBody {
    /// The body of that stream; nothing is left of one that ended with its head.
    pub fn new(stream: RecvStream) -> RecvBody {
        let at = if stream.is_end_stream() { State::End } else { State::Data };
        RecvBody { stream: Some(stream), at, ..RecvBody::default() }
    }

    /// The same of a stream whose frames are looked at.
    pub fn with_observer(stream: RecvStream, watch: Arc<FrameObserver>) -> RecvBody {
        RecvBody { observer: Some(watch), ..RecvBody::new(stream) }
    }

    /// The body has this length. Its last bytes are given out once its end is known: trailers may spoil the whole
    /// message, and then it must not have been complete for anybody.
    pub fn set_content_length(&mut self, length: u64) {
        self.remaining = Some(length);
    }

    /// Whether the body was received completely.
    pub fn is_end(&self) -> bool {
        self.at == State::End && self.chunk.is_empty()
    }

    /// The bytes at hand, or the next ones.
    pub fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, RecvError>> {
        while self.chunk.is_empty() || self.ends_at_chunk() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Chunk::End)) };
            match self.at {
                State::Data => match ready!(stream.poll_data(cx)).transpose()? {
                    Some(data) => self.accept_data(data)?,
                    None => self.at = State::Trailers,
                },
                State::Trailers => {
                    let trailers = ready!(stream.poll_trailers(cx))?;
                    let seen = trailers.as_ref().map_or(0, http::HeaderMap::len);
                    let id = stream.stream_id().as_u32();
                    let told = self.observer.as_ref().filter(|_| trailers.is_some());
                    if told.and_then(|watch| watch.trailers.push_payload(id)).is_some_and(|sent| sent != seen)
                    {
                        return Poll::Ready(Err(RecvError::Malformed(
                            "a pseudo-header field among the trailers",
                        )));
                    }
                    self.trailers = trailers.map(|map| convert::trailers(&map));
                    self.at = State::End;
                }
                State::End => return Poll::Ready(Ok(Chunk::End)),
            }
        }
        Poll::Ready(Ok(Chunk::Data(&self.chunk)))
    }

    /// Whether the bytes at hand are the last ones, and it is not known yet whether all ends well.
    fn ends_at_chunk(&self) -> bool {
        self.remaining == Some(0) && self.at != State::End
    }

    fn accept_data(&mut self, data: Bytes) -> Result<(), RecvError> {
        if let Some(left) = &mut self.remaining {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or(RecvError::Malformed("a longer body than promised"))?;
        }
        // Behind the last bytes only empty frames can come.
        if !data.is_empty() {
            self.chunk = data;
        }
        Ok(())
    }

    /// So many bytes were used: the sender may send as many more.
    pub fn consume(&mut self, n: usize) {
        self.chunk.advance(n.min(self.chunk.len()));
        if let Some(stream) = &mut self.stream {
            // Fails only for more than was received.
            let _ = stream.flow_control().release_capacity(n);
            if self.chunk.is_empty() && self.at == State::Data && stream.is_end_stream() {
                self.at = State::End;
            }
        }
    }

    pub fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }
}
