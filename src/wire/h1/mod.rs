//! HTTP/1.1: our own codec on pingora's streams.

pub mod backend;
pub mod client;
pub mod decode;
pub mod encode;
mod first;
pub mod hop;
pub mod host;
pub mod parse;

use super::{buffer::ReadBuffer, io::Io};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// How much of a switched connection is held at most.
const HELD: usize = 64 * 1024;

/// Bytes of a switched connection; while there are none, no memory is held.
fn poll_receive<'b>(input: &'b mut ReadBuffer, io: &mut Io, cx: &mut Context) -> Poll<io::Result<&'b [u8]>> {
    if input.is_empty() {
        let read = input.poll_read(cx, io, HELD);
        if read.is_pending() {
            input.give_back();
        }
        ready!(read)?;
    }
    Poll::Ready(Ok(input.bytes()))
}
