//! Bodies: polled, lending their buffers, so that no chunk is ever allocated and backpressure is the absence of a poll.

use super::{error::GatewayError, head::Head};
use bytes::Bytes;
use std::{
    task::{Context, Poll},
    time::Instant,
};

/// How a body is delimited (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The length, where it is known beforehand.
    pub fn length(self) -> Option<u64> {
        match self {
            Framing::None => Some(0),
            Framing::Length(n) => Some(n),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }
}

/// What a body has to give right now.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Some bytes; they stay until `consume` says that they were used.
    Data(&'a [u8]),
    /// The clean end.
    End,
}

/// A body that is being received.
///
/// ```
/// use margay::pipeline::{
///     body::{Body, BodyRead, Chunk, Framing},
///     error::GatewayError,
/// };
/// use std::task::{Context, Poll};
///
/// /// A body of this many spaces, made while it is sent.
/// struct Spaces(u64);
///
/// const SPACES: [u8; 1024] = [b' '; 1024];
///
/// impl BodyRead for Spaces {
///     fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
///         let n = self.0.min(1024) as usize;
///         Poll::Ready(Ok(if n == 0 { Chunk::End } else { Chunk::Data(&SPACES[..n]) }))
///     }
///
///     fn consume(&mut self, n: usize) {
///         self.0 -= n as u64;
///     }
///
///     fn framing(&self) -> Framing {
///         Framing::Length(self.0)
///     }
/// }
///
/// assert_eq!(Body::Stream(Box::new(Spaces(1 << 20))).length(), Some(1 << 20));
/// ```
pub trait BodyRead: Send {
    /// The bytes that stand ready; reads more when there are none.
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>>;

    /// Frees bytes that were used: this is what lets the sender send more.
    fn consume(&mut self, n: usize);

    /// Trailers, once the end was reached.
    fn trailers(&mut self) -> Option<&mut Head> {
        None
    }

    /// How the sender delimits it.
    fn framing(&self) -> Framing;

    /// Takes the request body further while the answer is on its way; ready when nothing is left to send.
    fn poll_upload(&mut self, _cx: &mut Context, _from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        Poll::Ready(Ok(()))
    }

    /// Both messages ended cleanly: the connection may go back to its pool. A plain drop closes it.
    fn finish(self: Box<Self>) {}
}

/// Whoever wants the answer: a client's connection, or an aggregate for one of its parts. Its body is the request's.
pub trait ClientBody: BodyRead {
    /// Ready when nobody waits for the answer any more. While body is to come, a connection of HTTP/1.1 knows it only of
    /// what it has room to read.
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()>;

    /// Ready once that time has come; only the latest time asked for counts.
    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()>;

    /// Passes on a 1xx response.
    fn send_informational(&mut self, head: &Head, cx: &mut Context);

    /// Bytes of body taken so far.
    fn bytes_received(&self) -> u64;

    /// Takes no more body than this, however much the connection would; more is refused while it comes in.
    fn limit_body(&mut self, most: u64);

    /// For the calls that take any body.
    fn as_body(&mut self) -> &mut dyn BodyRead;
}

/// A caller that sends no body, never leaves and hears no clock: for exchanges that only ask what would happen.
#[derive(Debug)]
pub struct NoClient;

impl BodyRead for NoClient {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        Poll::Ready(Ok(Chunk::End))
    }

    fn consume(&mut self, _n: usize) {}

    fn framing(&self) -> Framing {
        Framing::None
    }
}

impl ClientBody for NoClient {
    fn poll_closed(&mut self, _cx: &mut Context) -> Poll<()> {
        Poll::Pending
    }

    fn poll_deadline(&mut self, _cx: &mut Context, _at: Instant) -> Poll<()> {
        Poll::Pending
    }

    fn send_informational(&mut self, _head: &Head, _cx: &mut Context) {}

    fn bytes_received(&self) -> u64 {
        0
    }

    fn limit_body(&mut self, _most: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// The body of an answer.
///
/// ```
/// use margay::pipeline::body::{Body, Framing};
///
/// assert_eq!(Body::Bytes("hello".into()).length(), Some(5));
/// assert_eq!(Framing::Chunked.length(), None);
/// ```
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Bytes(Bytes),
    Stream(Box<dyn BodyRead>),
}

impl Body {
    /// How long the body is, where that is known beforehand.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream(stream) => stream.framing().length(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Body({:?})", self.length())
    }
}
