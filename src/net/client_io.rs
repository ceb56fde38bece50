//! The client's side of one exchange, independent of the protocol: an HTTP/1.1 connection or an HTTP/2 stream.

use crate::pipeline::{
    body::{ClientBody, Framing},
    head::{Head, Version},
};
use std::{
    io,
    task::{Context, Poll},
};

/// Sends the response to the client. The request body is read through the supertrait [`ClientBody`].
pub trait ClientIo: ClientBody {
    /// The HTTP version of the request.
    fn version(&self) -> Version;

    /// Requests served on this connection, where requests follow one another (HTTP/1.1).
    fn requests_served(&self) -> u32;

    /// Whether the request body was received completely.
    fn is_body_done(&self) -> bool;

    /// Begins a response with this framing; `keep_alive` is whether another request may follow.
    fn send_head(&mut self, head: &Head, framing: Framing, keep_alive: bool);

    /// Sends a 101 response head. Does nothing where the protocol has no upgrade.
    fn send_upgrade(&mut self, _head: &Head) {}

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
