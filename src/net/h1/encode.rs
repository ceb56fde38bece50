//! Encoding messages: heads and body framing, with small writes coalesced.

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

/// Maximum size of body data that is copied next to the buffered bytes; larger data is written without a copy.
const MAX_COALESCED_BODY: usize = 16 * 1024;

/// Encodes one outgoing message.
#[derive(Debug)]
pub struct Encoder {
    buf: WriteBuffer,
    framing: Framing,
    /// Bytes of the body missing to its Content-Length.
    remaining: u64,
    /// Bytes missing of the chunk whose size was written.
    chunk_remaining: usize,
    /// Bytes of the body sent.
    pub bytes_sent: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder {
            buf: WriteBuffer::default(),
            framing: Framing::None,
            remaining: 0,
            chunk_remaining: 0,
            bytes_sent: 0,
        }
    }
}

impl Encoder {
    /// Begins a message with this framing; returns the buffer for its head.
    pub fn begin(&mut self, framing: Framing) -> &mut Vec<u8> {
        self.framing = framing;
        self.remaining = if let Framing::Length(n) = framing { n } else { 0 };
        (self.chunk_remaining, self.bytes_sent) = (0, 0);
        self.buf.buf_mut()
    }

    /// The buffer for an informational (1xx) response.
    pub fn informational_buf(&mut self) -> &mut Vec<u8> {
        self.buf.buf_mut()
    }

    /// Whether nothing is buffered.
    pub fn is_flushed(&self) -> bool {
        self.buf.is_empty()
    }

    /// Sends body data: copies it into the buffer while little is buffered, else writes it directly. Returns the number of
    /// bytes accepted.
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
            // More than Content-Length: the surplus is dropped.
            return Poll::Ready(Ok(offered));
        }
        if self.chunk_remaining == 0 && self.buf.len() + data.len() <= MAX_COALESCED_BODY {
            self.buffer_chunk(data);
            return Poll::Ready(Ok(data.len()));
        }
        self.poll_write_vectored(cx, io, data)
    }

    /// Appends a small piece, framed, to the buffer.
    fn buffer_chunk(&mut self, data: &[u8]) {
        let buf = self.buf.buf_mut();
        if self.framing == Framing::Chunked {
            put_size(buf, data.len());
            buf.extend_from_slice(data);
            buf.extend_from_slice(b"\r\n");
        } else {
            buf.extend_from_slice(data);
        }
        self.count(data.len());
    }

    /// Writes the buffer and a large piece with one system call.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context,
        io: &mut Stream,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let chunked = self.framing == Framing::Chunked;
        if chunked && self.chunk_remaining == 0 {
            put_size(self.buf.buf_mut(), data.len());
            self.chunk_remaining = data.len();
        }
        let data = if chunked { &data[..self.chunk_remaining.min(data.len())] } else { data };
        let buffered = self.buf.len();
        let written =
            ready!(io.poll_write_vectored(cx, &[IoSlice::new(self.buf.bytes()), IoSlice::new(data)]))?;
        self.buf.consume_written(written.min(buffered));
        let accepted = written.saturating_sub(buffered);
        if chunked && accepted > 0 {
            self.chunk_remaining -= accepted;
            if self.chunk_remaining == 0 {
                self.buf.buf_mut().extend_from_slice(b"\r\n");
            }
        }
        self.count(accepted);
        // No data was written: retry until the stream is not ready.
        if accepted == 0 { self.poll_write_vectored(cx, io, data) } else { Poll::Ready(Ok(accepted)) }
    }

    fn count(&mut self, n: usize) {
        self.bytes_sent += n as u64;
        self.remaining = self.remaining.saturating_sub(n as u64);
    }

    /// Whether the message may end here: Content-Length is reached.
    pub fn is_complete(&self) -> bool {
        self.remaining == 0 && self.chunk_remaining == 0
    }

    /// Ends the message, with trailers if it is chunked.
    pub fn end(&mut self, trailers: Option<&Head>) {
        if self.framing == Framing::Chunked {
            let buf = self.buf.buf_mut();
            buf.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                put_fields(buf, trailers);
            }
            buf.extend_from_slice(b"\r\n");
        }
        self.framing = Framing::None;
    }

    /// Writes the buffer.
    pub fn poll_flush(&mut self, cx: &mut Context, io: &mut Stream) -> Poll<io::Result<()>> {
        while !self.buf.is_empty() {
            let n = ready!(io.poll_write(cx, self.buf.bytes()))?;
            self.buf.consume_written(n);
        }
        io.poll_flush(cx)
    }
}

/// RFC 9112 7.1: the line with the size of a chunk.
fn put_size(buf: &mut Vec<u8>, n: usize) {
    put_hex(buf, n as u64, 1);
    buf.extend_from_slice(b"\r\n");
}

/// Writes a request head for a backend: with the Host of the backend and new framing fields.
pub fn put_request(
    buf: &mut Vec<u8>,
    head: &Head,
    host: &[u8],
    framing: Framing,
    hop: HopByHop,
    version: Version,
) {
    put_request_line(buf, head, version);
    put_field(buf, b"Host", host);
    for (known, name, value) in head.fields() {
        if !matches!(known, KnownHeader::Host | KnownHeader::ContentLength) {
            put_field(buf, name, value);
        }
    }
    put_framing(buf, framing);
    if hop.websocket {
        buf.extend_from_slice(UPGRADE_FIELDS);
    } else if hop.te_trailers {
        buf.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    buf.extend_from_slice(b"\r\n");
}

/// Requests an upgrade to WebSocket.
const UPGRADE_FIELDS: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// Writes the framing field of the body.
pub fn put_framing(buf: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(n) => {
            buf.extend_from_slice(b"Content-Length: ");
            put_decimal(buf, n);
            buf.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => put_field(buf, b"Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}

fn put_request_line(buf: &mut Vec<u8>, head: &Head, version: Version) {
    buf.extend_from_slice(head.method());
    buf.push(b' ');
    buf.extend_from_slice(head.target());
    buf.push(b' ');
    buf.extend_from_slice(version.as_str().as_bytes());
    buf.extend_from_slice(b"\r\n");
}

/// Writes a status line, always with HTTP/1.1, whatever the version of the client.
pub fn put_status_line(buf: &mut Vec<u8>, head: &Head) {
    buf.extend_from_slice(Version::Http11.as_str().as_bytes());
    buf.push(b' ');
    put_decimal(buf, u64::from(head.status));
    buf.push(b' ');
    buf.extend_from_slice(head.reason());
    buf.extend_from_slice(b"\r\n");
}

/// Writes one field line.
pub fn put_field(buf: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    buf.extend_from_slice(name);
    buf.extend_from_slice(b": ");
    buf.extend_from_slice(value);
    buf.extend_from_slice(b"\r\n");
}

/// Writes all field lines that were not removed.
pub fn put_fields(buf: &mut Vec<u8>, head: &Head) {
    for (_, name, value) in head.fields() {
        put_field(buf, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
        for (n, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65_536, "10000\r\n")] {
            let mut buf = Vec::new();
            put_size(&mut buf, n);
            assert_eq!(buf, text.as_bytes());
        }
    }

    #[test]
    fn a_status_line_keeps_the_reason_phrase() {
        let mut buf = Vec::new();
        put_status_line(&mut buf, &Head::response(200, b"some reason"));
        assert_eq!(buf, b"HTTP/1.1 200 some reason\r\n");
    }
}
