//! The client's side of one exchange, independent of the protocol: an HTTP/1.1 connection or an HTTP/2 stream.

use crate::pipeline::{
    body::{ClientBody, Framing},
    head::{Head, KnownHeader, Version},
};
use std::{
    io,
    task::{Context, Poll},
};

/// Maximum size of the heads of all informational (1xx) responses to one request.
pub const MAX_INFORMATIONAL_BYTES: usize = 64 * 1024;

/// Parts of an exchange that were not forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedParts {
    /// Trailer fields of the request.
    pub trailers: u64,
    /// Informational (1xx) responses.
    pub informational: u64,
}

/// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1). The gateway sends it as soon as
/// it reads the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AwaitedContinue {
    #[default]
    No,
    Awaited,
    Answered,
}

impl AwaitedContinue {
    /// Removes the expectation from the request: it is the gateway that answers it.
    pub fn take(head: &mut Head, framing: Framing) -> AwaitedContinue {
        let is_expected =
            head.get_known(KnownHeader::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        if is_expected {
            head.remove_known(KnownHeader::Expect);
        }
        match is_expected && framing != Framing::None && head.version >= Version::Http11 {
            true => AwaitedContinue::Awaited,
            false => AwaitedContinue::No,
        }
    }

    /// Marks it as answered; true if it was awaited.
    pub fn answer(&mut self) -> bool {
        let is_awaited = *self == AwaitedContinue::Awaited;
        if is_awaited {
            *self = AwaitedContinue::Answered;
        }
        is_awaited
    }

    /// Whether this is a second 100, from the backend.
    pub fn is_duplicate(self, head: &Head) -> bool {
        head.status == 100 && self != AwaitedContinue::No
    }
}

/// Sends the response to the client. The request body is read through the supertrait [`ClientBody`].
pub trait ClientIo: ClientBody {
    /// The HTTP version of the request.
    fn version(&self) -> Version;

    /// Requests served on this connection, where requests follow one another (HTTP/1.1).
    fn requests_served(&self) -> u32;

    /// Whether the request body was received completely.
    fn is_body_done(&self) -> bool;

    /// The parts of this exchange that were not forwarded.
    fn removed(&self) -> RemovedParts {
        RemovedParts::default()
    }

    /// Begins a response with this framing; `keep_alive` is whether another request may follow.
    fn send_head(&mut self, head: &Head, framing: Framing, keep_alive: bool);

    /// Sends a 101 response head with this `Upgrade`. Does nothing where the protocol has no upgrade.
    fn send_upgrade(&mut self, _head: &Head, _protocol: &str) {}

    /// Sends some of the response body.
    fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends the response; false if the body is shorter than its Content-Length.
    fn end(&mut self, trailers: Option<&Head>) -> bool;

    /// Writes what is buffered.
    fn poll_flush_response(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;

    /// Bytes of the response body sent.
    fn sent(&self) -> u64;

    /// Bytes that have reached the client, as far as that is known, counted from any start.
    fn delivered(&self) -> u64 {
        self.sent()
    }

    /// The number of responses that share the connection.
    fn concurrent_streams(&self) -> u32 {
        1
    }
}
