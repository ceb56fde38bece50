//! HTTP/1.1: our own codec on pingora's streams.

pub mod backend;
pub mod client;
pub mod decode;
pub mod encode;
mod detect;
pub mod hop_by_hop;
pub mod host;
pub mod parse;

use super::{buffer::ReadBuffer, io::Stream};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Maximum number of buffered bytes of an upgraded connection.
const MAX_TUNNEL_BUFFER: usize = 64 * 1024;

/// Received bytes of an upgraded connection; holds no buffer while there are none.
fn poll_receive<'b>(
    input: &'b mut ReadBuffer,
    io: &mut Stream,
    cx: &mut Context,
) -> Poll<io::Result<&'b [u8]>> {
    if input.is_empty() {
        let read = input.poll_read(cx, io, MAX_TUNNEL_BUFFER);
        if read.is_pending() {
            input.release_if_empty();
        }
        ready!(read)?;
    }
    Poll::Ready(Ok(input.bytes()))
}
