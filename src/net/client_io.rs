//! The client's side of one exchange, whatever it is spoken in: a connection of HTTP/1.1, or a stream of HTTP/2.

use crate::pipeline::{
    body::{ClientBody, Framing},
    head::{Head, Version},
};
use std::{
    io,
    task::{Context, Poll},
};

/// Who is answered. The request comes over it as a body, see [`Caller`]; this is the way back.
pub trait ClientIo: ClientBody {
    /// The version that the client speaks.
    fn version(&self) -> Version;

    /// Requests served on the same connection, where they follow one another.
    fn requests_served(&self) -> u32;

    /// Whether the request body was received completely.
    fn is_body_done(&self) -> bool;

    /// Begins a response: what follows the head is framed like that; `keep` says whether another request may follow.
    fn send_head(&mut self, head: &Head, framing: Framing, keep: bool);

    /// Agrees to the change of protocol that this head answers; nothing is agreed where no change can be asked for.
    fn send_upgrade(&mut self, _head: &Head) {}

    /// Sends some of a response body.
    fn poll_send(&mut self, cx: &mut Context, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends the response cleanly; false if it is shorter than promised.
    fn end(&mut self, trailers: Option<&Head>) -> bool;

    /// Writes what is waiting to be written.
    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>>;

    /// Bytes of response body sent.
    fn sent(&self) -> u64;
}
