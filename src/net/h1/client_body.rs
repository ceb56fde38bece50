//! The request body of a client connection, informational (1xx) responses, and the connection after an upgrade.

use super::{
    super::client_io::{ClientIo, MAX_INFORMATIONAL_BYTES},
    client::ClientConn,
    decode::Decoded,
    encode::{put_fields, put_status_line},
};
use crate::pipeline::{
    body::{BodyRead, Chunk, ClientBody, Framing},
    error::GatewayError,
    head::{Head, Version},
    trailer_filter::{TrailerFilter, filter_trailers},
    upgrade::Duplex,
};
use std::{
    io,
    task::{Context, Poll, ready},
    time::Instant,
};

impl ClientConn {
    /// RFC 9110 10.1.1: the client waits for this before it sends the body.
    fn send_continue(&mut self, cx: &mut Context) {
        self.encoder.informational_buf().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        let _ = self.poll_flush_response(cx);
    }
}

impl BodyRead for ClientConn {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        let ready = loop {
            match self.decoder.decode(self.input.bytes()).map_err(GatewayError::malformed_request)? {
                Decoded::Data(n) => break n,
                Decoded::Skip(n) => self.input.consume(n),
                Decoded::End => return Poll::Ready(Ok(Chunk::End)),
                Decoded::More => {
                    if self.awaited_continue.answer() && self.input.is_empty() {
                        self.send_continue(cx);
                    }
                    if self.received > 64 * 1024 {
                        self.input.grow();
                    }
                    match ready!(self.poll_read_more(cx, self.max_buffered.max(64 * 1024))) {
                        Ok(1..) => {}
                        _ => {
                            self.closed = true;
                            return Poll::Ready(Err(GatewayError::client_closed()));
                        }
                    }
                }
            }
        };
        if self.received + ready as u64 > self.body_limit {
            return Poll::Ready(Err(self.too_large()));
        }
        Poll::Ready(Ok(Chunk::Data(&self.input.bytes()[..ready])))
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.decoder.advance(n);
        self.input.consume(n);
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        let trailers = self.decoder.trailers()?;
        self.removed.trailers += filter_trailers(self.trailer_filter.as_deref(), trailers);
        Some(trailers)
    }

    fn framing(&self) -> Framing {
        self.framing
    }
}

impl ClientBody for ClientConn {
    /// Reads ahead at most one buffer while the client waits: the end of the stream means that the client aborted.
    fn poll_closed(&mut self, cx: &mut Context) -> Poll<()> {
        const MAX_READ_AHEAD: usize = 16 * 1024;
        while !self.closed && !self.is_half_closed && self.input.len() < MAX_READ_AHEAD {
            match self.poll_read_more(cx, MAX_READ_AHEAD) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if !self.abort_on_close => self.is_half_closed = true,
                Poll::Ready(_) => self.closed = true,
                Poll::Pending => break,
            }
        }
        if self.input.is_empty() {
            self.input.release_if_empty();
        }
        if self.closed { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_deadline(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        self.timer.poll(cx, at)
    }

    fn send_informational(&mut self, head: &Head, cx: &mut Context) {
        if self.version < Version::Http11 || self.awaited_continue.is_duplicate(head) {
            return;
        }
        let (_, size) = head.received();
        self.informational_bytes += size;
        if !self.encoder.is_flushed() || self.informational_bytes > MAX_INFORMATIONAL_BYTES {
            // The client does not read: nothing is kept for it.
            self.removed.informational += 1;
            return;
        }
        let buf = self.encoder.informational_buf();
        put_status_line(buf, head);
        put_fields(buf, head);
        buf.extend_from_slice(b"\r\n");
        // What cannot be written now is sent with the response.
        let _ = self.poll_flush_response(cx);
    }

    fn bytes_received(&self) -> u64 {
        self.received
    }

    fn limit_body(&mut self, max_len: u64) {
        self.body_limit = self.body_limit.min(max_len);
    }

    fn set_trailer_filter(&mut self, filter: Box<TrailerFilter>) {
        self.trailer_filter = Some(filter);
    }

    fn as_body(&mut self) -> &mut dyn BodyRead {
        self
    }
}

impl Duplex for ClientConn {
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        self.input.poll_received(cx, &mut self.io)
    }

    fn consume(&mut self, n: usize) {
        self.received += n as u64;
        self.input.consume(n);
    }

    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush_response(cx))?;
        let n = ready!(self.io.poll_write(cx, bytes))?;
        self.encoder.bytes_sent += n as u64;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        self.poll_flush_response(cx)
    }

    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.poll_flush_response(cx))?;
        self.io.poll_shutdown(cx)
    }
}
