//! The receiving side of a stream: the window is given back when bytes were used, so that a slow reader slows the sender.

use super::{fields, transport::Watch};
use crate::pipeline::{body::Chunk, head::Head};
use bytes::{Buf, Bytes};
use h2::RecvStream;
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// One incoming body.
#[derive(Debug, Default)]
pub struct Receiver {
    stream: Option<RecvStream>,
    chunk: Bytes,
    at: At,
    trailers: Option<Head>,
    /// Where it is known how many fields trailers had on the wire.
    watch: Option<Arc<Watch>>,
    /// Bytes of body that are still to come, where the head says how many.
    left: Option<u64>,
}

/// Why a body does not go on.
#[derive(Debug)]
pub enum Broken {
    Lost(h2::Error),
    /// The message as a whole is malformed (RFC 9113 8.1.1).
    Malformed(&'static str),
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Broken {
        Broken::Lost(error)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    Data,
    Trailers,
    #[default]
    End,
}

impl Receiver {
    /// The body of that stream; nothing is left of one that ended with its head.
    pub fn new(stream: RecvStream) -> Receiver {
        let at = if stream.is_end_stream() { At::End } else { At::Data };
        Receiver { stream: Some(stream), at, ..Receiver::default() }
    }

    /// The same of a stream whose frames are looked at.
    pub fn watched(stream: RecvStream, watch: Arc<Watch>) -> Receiver {
        Receiver { watch: Some(watch), ..Receiver::new(stream) }
    }

    /// The body has this length. Its last bytes are given out once its end is known: trailers may spoil the whole
    /// message, and then it must not have been complete for anybody.
    pub fn expect(&mut self, length: u64) {
        self.left = Some(length);
    }

    /// Whether the body was received completely.
    pub fn is_end(&self) -> bool {
        self.at == At::End && self.chunk.is_empty()
    }

    /// The bytes at hand, or the next ones.
    pub fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, Broken>> {
        while self.chunk.is_empty() || self.is_last() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Chunk::End)) };
            match self.at {
                At::Data => match ready!(stream.poll_data(cx)).transpose()? {
                    Some(data) => self.take(data)?,
                    None => self.at = At::Trailers,
                },
                At::Trailers => {
                    let trailers = ready!(stream.poll_trailers(cx))?;
                    let seen = trailers.as_ref().map_or(0, http::HeaderMap::len);
                    let id = stream.stream_id().as_u32();
                    let told = self.watch.as_ref().filter(|_| trailers.is_some());
                    if told.and_then(|watch| watch.trailers.take(id)).is_some_and(|sent| sent != seen) {
                        return Poll::Ready(Err(Broken::Malformed(
                            "a pseudo-header field among the trailers",
                        )));
                    }
                    self.trailers = trailers.map(|map| fields::trailers(&map));
                    self.at = At::End;
                }
                At::End => return Poll::Ready(Ok(Chunk::End)),
            }
        }
        Poll::Ready(Ok(Chunk::Data(&self.chunk)))
    }

    /// Whether the bytes at hand are the last ones, and it is not known yet whether all ends well.
    fn is_last(&self) -> bool {
        self.left == Some(0) && self.at != At::End
    }

    fn take(&mut self, data: Bytes) -> Result<(), Broken> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or(Broken::Malformed("a longer body than promised"))?;
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
            if self.chunk.is_empty() && self.at == At::Data && stream.is_end_stream() {
                self.at = At::End;
            }
        }
    }

    pub fn trailers(&mut self) -> Option<&mut Head> {
        self.trailers.as_mut()
    }
}
