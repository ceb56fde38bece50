//! The sending side of messages: heads and body framing, small writes put together into one.

use super::{
    super::{buffer::WriteBuffer, io::Stream},
    hop_by_hop::HopByHop,
};
use crate::{
    base::bytes::{put_decimal, put_hex},
    pipeline::{
        body::Framing,
        head::{Head, KnownHeader, Version},
    },
};
use std::{
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

/// Bodies up to this size travel in one write with what stands before them; larger ones are written from where they lie.
const MAX_COALESCED_BODY: usize = 16 * 1024;

/// The state of one outgoing message.
#[derive(Debug)]
pub struct Encoder {
    out: WriteBuffer,
    framing: Framing,
    /// Bytes of body still owed by a Content-Length.
    remaining: u64,
    /// Bytes of the chunk whose size was written and whose data was not.
    chunk_remaining: usize,
    /// Bytes of body sent.
    pub bytes_sent: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder {
            out: WriteBuffer::default(),
            framing: Framing::None,
            remaining: 0,
            chunk_remaining: 0,
            bytes_sent: 0,
        }
    }
}

impl Encoder {
    /// Begins a message: what follows the head is framed like that.
    pub fn begin(&mut self, framing: Framing) -> &mut Vec<u8> {
        self.framing = framing;
        self.remaining = if let Framing::Length(n) = framing { n } else { 0 };
        (self.chunk_remaining, self.bytes_sent) = (0, 0);
        self.out.buf_mut()
    }

    /// Bytes to be sent before the message goes on: an interim response.
    pub fn informational_buf(&mut self) -> &mut Vec<u8> {
        self.out.buf_mut()
    }

    /// Whether there is anything left to write.
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes bytes of body: into the buffer while little is there, else straight from where they lie.
    /// Says how many were taken.
    pub fn poll_send(&mut self, cx: &mut Context, io: &mut Stream, data: &[u8]) -> Poll<io::Result<usize>> {
        let offered = data.len();
        let data = match self.framing {
            Framing::None => return Poll::Ready(Ok(offered)),
            Framing::Length(_) => {
                &data[..data.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX))]
            }
            Framing::Chunked | Framing::UntilClose => data,
        };
        if data.is_empty() {
            // More than was promised: the surplus is dropped, the promise is kept.
            return Poll::Ready(Ok(offered));
        }
        if self.chunk_remaining == 0 && self.out.len() + data.len() <= MAX_COALESCED_BODY {
            self.buffer_chunk(data);
            return Poll::Ready(Ok(data.len()));
        }
        self.poll_write_vectored(cx, io, data)
    }

    /// Puts a small piece, framed, into the buffer.
    fn buffer_chunk(&mut self, data: &[u8]) {
        let out = self.out.buf_mut();
        if self.framing == Framing::Chunked {
            put_size(out, data.len());
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(data);
        }
        self.count(data.len());
    }

    /// Writes the buffer and a large piece behind it with one call.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context,
        io: &mut Stream,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let chunked = self.framing == Framing::Chunked;
        if chunked && self.chunk_remaining == 0 {
            put_size(self.out.buf_mut(), data.len());
            self.chunk_remaining = data.len();
        }
        let data = if chunked { &data[..self.chunk_remaining.min(data.len())] } else { data };
        let waiting = self.out.len();
        let written =
            ready!(io.poll_write_vectored(cx, &[IoSlice::new(self.out.bytes()), IoSlice::new(data)]))?;
        self.out.consume_written(written.min(waiting));
        let taken = written.saturating_sub(waiting);
        if chunked && taken > 0 {
            self.chunk_remaining -= taken;
            if self.chunk_remaining == 0 {
                self.out.buf_mut().extend_from_slice(b"\r\n");
            }
        }
        self.count(taken);
        // Nothing of the data went out: ask again, until the stream says that it is full.
        if taken == 0 { self.poll_write_vectored(cx, io, data) } else { Poll::Ready(Ok(taken)) }
    }

    fn count(&mut self, n: usize) {
        self.bytes_sent += n as u64;
        self.remaining = self.remaining.saturating_sub(n as u64);
    }

    /// Whether the message may end here: all that was promised was sent.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0 && self.chunk_remaining == 0
    }

    /// Ends the message cleanly, with its trailers where chunks carry them.
    pub fn end(&mut self, trailers: Option<&Head>) {
        if self.framing == Framing::Chunked {
            let out = self.out.buf_mut();
            out.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                put_fields(out, trailers);
            }
            out.extend_from_slice(b"\r\n");
        }
        self.framing = Framing::None;
    }

    /// Writes what is in the buffer.
    pub fn poll_flush(&mut self, cx: &mut Context, io: &mut Stream) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(io.poll_write(cx, self.out.bytes()))?;
            self.out.consume_written(n);
        }
        io.poll_flush(cx)
    }
}

/// RFC 9112 7.1: the size of a chunk, on a line of its own.
fn put_size(out: &mut Vec<u8>, n: usize) {
    put_hex(out, n as u64, 1);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a request as a backend gets it: its own Host, and framing written anew.
pub fn put_request(
    out: &mut Vec<u8>,
    head: &Head,
    host: &[u8],
    framing: Framing,
    hop: HopByHop,
    version: Version,
) {
    put_request_line(out, head, version);
    put_field(out, b"Host", host);
    for (known, name, value) in head.fields() {
        if !matches!(known, KnownHeader::Host | KnownHeader::ContentLength) {
            put_field(out, name, value);
        }
    }
    put_framing(out, framing);
    if hop.websocket {
        out.extend_from_slice(UPGRADE_FIELDS);
    } else if hop.te_trailers {
        out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Asks for, and agrees to, a change of protocol.
pub const UPGRADE_FIELDS: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// Writes the field that says how the body is delimited.
pub fn put_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(n) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(out, n);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => put_field(out, b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}

fn put_request_line(out: &mut Vec<u8>, head: &Head, version: Version) {
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.push(b' ');
    out.extend_from_slice(version.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a status line; we always speak 1.1, whatever the other side said.
pub fn put_status_line(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(Version::Http11.as_str().as_bytes());
    out.push(b' ');
    put_decimal(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line.
pub fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes all live field lines.
pub fn put_fields(out: &mut Vec<u8>, head: &Head) {
    for (_, name, value) in head.fields() {
        put_field(out, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
        for (n, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65_536, "10000\r\n")] {
            let mut out = Vec::new();
            put_size(&mut out, n);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn a_status_line_keeps_the_reason_phrase() {
        let mut out = Vec::new();
        put_status_line(&mut out, &Head::response(200, b"some reason"));
        assert_eq!(out, b"HTTP/1.1 200 some reason\r\n");
    }
}
