//! The bodies of a backend connection: request upload, response body, upgraded streams, and the return to the pool.

use super::{
    super::pool,
    backend::{BackendConn, RESPONSE_HEAD_LIMITS, Upload},
    decode::Decoded,
};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::Head,
    upgrade::Duplex,
};
use std::{
    io,
    task::{Context, Poll, ready},
};

impl BodyRead for BackendConn {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        let ready = loop {
            match self
                .decoder
                .decode(self.input.bytes())
                .map_err(|e| GatewayError::new(ErrorCode::BackendTruncated, e))?
            {
                Decoded::Data(n) => break n,
                Decoded::Skip(n) => self.input.consume(n),
                Decoded::End => return Poll::Ready(Ok(Chunk::End)),
                Decoded::More => match ready!(self.poll_read_more(cx, RESPONSE_HEAD_LIMITS.max_fields_bytes))
                {
                    Ok(1..) => {}
                    Ok(_) if self.decoder.ends_with_close() => self.decoder.close(),
                    _ => {
                        return Poll::Ready(Err(GatewayError::new(
                            ErrorCode::BackendTruncated,
                            "the backend closed the connection within its response body",
                        )));
                    }
                },
            }
        };
        Poll::Ready(Ok(Chunk::Data(&self.input.bytes()[..ready])))
    }

    fn consume(&mut self, n: usize) {
        self.decoder.advance(n);
        let full = self.input.is_full();
        self.input.consume(n);
        if full {
            self.input.grow();
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.decoder.trailers()
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, body: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        while self.upload == Upload::Sending {
            let sent = match body.poll_fill(cx)? {
                Poll::Ready(Chunk::Data(data)) => self.encoder.poll_send(cx, &mut self.io, data),
                Poll::Ready(Chunk::End) => {
                    self.encoder.end(body.trailers().as_deref());
                    self.upload = Upload::Done;
                    break;
                }
                Poll::Pending => {
                    self.write_blocked = false;
                    // Flush: the backend may need the buffered bytes before it continues. An error recurs with the next write.
                    let _ = self.encoder.poll_flush(cx, &mut self.io);
                    return Poll::Pending;
                }
            };
            self.write_blocked = sent.is_pending();
            match ready!(sent) {
                Ok(n) => body.consume(n),
                Err(_) => self.upload = Upload::Aborted,
            }
        }
        let flushed = self.encoder.poll_flush(cx, &mut self.io);
        self.write_blocked = flushed.is_pending();
        if ready!(flushed).is_err() {
            self.upload = Upload::Aborted;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(mut self: Box<Self>) {
        if self.is_clean() {
            self.input.release_if_empty();
            pool::check_in(self);
        }
    }
}

impl Duplex for BackendConn {
    fn poll_read(&mut self, cx: &mut Context) -> Poll<io::Result<&[u8]>> {
        self.input.poll_received(cx, &mut self.io)
    }

    fn consume(&mut self, n: usize) {
        self.input.consume(n);
    }

    fn poll_write(&mut self, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.encoder.poll_flush(cx, &mut self.io))?;
        self.io.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        self.encoder.poll_flush(cx, &mut self.io)
    }

    fn poll_close(&mut self, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.io.poll_shutdown(cx)
    }
}
