//! Bodies: polled, lending their buffers, so that no chunk is allocated and a missing poll is backpressure.

use super::{error::GatewayError, head::Head, trailer_filter::TrailerFilter};
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
    /// The length, if it is known in advance.
    pub fn length(self) -> Option<u64> {
        match self {
            Framing::None => Some(0),
            Framing::Length(n) => Some(n),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }
}

/// The state of a body after a poll.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Some bytes; they remain available until `consume` releases them.
    Data(&'a [u8]),
    /// The body ended without an error.
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
    /// The received bytes; reads more if there are none.
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>>;

    /// Releases used bytes, which opens the sender's flow control window again.
    fn consume(&mut self, n: usize);

    /// Trailers, after the end of the body.
    fn trailers(&mut self) -> Option<&mut Head> {
        None
    }

    /// How the sender delimits it.
    fn framing(&self) -> Framing;

    /// Sends more of the request body while the response is received; ready when nothing is left to send.
    fn poll_upload(&mut self, _cx: &mut Context, _from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        Poll::Ready(Ok(()))
    }

    /// Both messages ended without an error: the connection may return to its pool. Dropping the body closes it
    /// instead.
    fn finish(self: Box<Self>) {}
}

/// The receiver of a response: a client connection, or an aggregate for one of its parts. Its body is the request body.
pub trait ClientBody: BodyRead {
    /// Ready when the receiver no longer needs the response. While request body is outstanding, an HTTP/1.1 connection
    /// detects this only within the bytes that it has room to read.
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()>;

    /// Ready at the deadline; only the deadline passed last counts.
    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()>;

    /// Forwards a 1xx response.
    fn send_informational(&mut self, head: &Head, cx: &mut Context);

    /// Bytes of the body received so far.
    fn bytes_received(&self) -> u64;

    /// Lowers the maximum body size of the connection; a larger body fails while it is received.
    fn limit_body(&mut self, max_bytes: u64);

    /// Starts the body again; false if a part of it is lost.
    fn rewind(&mut self) -> bool {
        self.bytes_received() == 0
    }

    /// Which trailer fields of the request are forwarded; without a filter none are.
    fn set_trailer_filter(&mut self, filter: Box<TrailerFilter>) {
        drop(filter);
    }

    /// For calls that accept any body.
    fn as_body(&mut self) -> &mut dyn BodyRead;
}

/// A client without a body that never disconnects and has no timer: for dry runs.
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

    fn limit_body(&mut self, _max_bytes: u64) {}

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

/// The body of a response.
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
    /// The length of the body, if it is known in advance.
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
