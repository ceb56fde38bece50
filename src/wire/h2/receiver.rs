//! The receiving side of a stream: the window is given back when bytes were used, so that a slow reader slows the sender.

use super::fields;
use crate::pipeline::{body::Chunk, head::Head};
use bytes::{Buf, Bytes};
use h2::RecvStream;
use std::task::{Context, Poll, ready};

/// One incoming body.
#[derive(Debug, Default)]
pub struct Receiver {
    stream: Option<RecvStream>,
    chunk: Bytes,
    at: At,
    trailers: Option<Head>,
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
        Receiver { stream: Some(stream), chunk: Bytes::new(), at, trailers: None }
    }

    /// Whether the body was received completely.
    pub fn is_end(&self) -> bool {
        self.at == At::End && self.chunk.is_empty()
    }

    /// The bytes at hand, or the next ones.
    pub fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, h2::Error>> {
        while self.chunk.is_empty() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Chunk::End)) };
            match self.at {
                At::Data => match ready!(stream.poll_data(cx)).transpose()? {
                    Some(data) => self.chunk = data,
                    None => self.at = At::Trailers,
                },
                At::Trailers => {
                    let trailers = ready!(stream.poll_trailers(cx))?;
                    self.trailers = trailers.map(|map| fields::trailers(&map));
                    self.at = At::End;
                }
                At::End => return Poll::Ready(Ok(Chunk::End)),
            }
        }
        Poll::Ready(Ok(Chunk::Data(&self.chunk)))
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
