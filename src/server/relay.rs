//! The response body: one poll drives download and upload, timeouts, and the detection of a closed client.

use crate::{
    net::client_io::ClientIo,
    pipeline::{
        body::{Body, BodyRead, Chunk, Framing},
        error::{ErrorCode, GatewayError},
        head::Version,
        response::Response,
    },
};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// The framing of a response body for this client.
pub fn framing(response: &Response, for_head: bool, version: Version) -> Framing {
    if for_head || matches!(response.head.status, 204 | 304) {
        return Framing::None;
    }
    match (response.body.length(), version) {
        (Some(n), _) => Framing::Length(n),
        (None, Version::Http11 | Version::Http2) => Framing::Chunked,
        (None, Version::Http10) => Framing::UntilClose,
    }
}

/// Sends the body of a response whose head was sent, up to its end; on an error the client must see a truncated body.
pub async fn relay<C: ClientIo>(conn: &mut C, body: &mut Body, idle: Duration) -> Result<(), GatewayError> {
    let mut relay =
        Relay { ended: false, upload_done: false, progressed: 0, idle_since: None, idle_timeout: idle };
    poll_fn(|cx| relay.poll(cx, conn, body)).await
}

struct Relay {
    /// The end of the body is in the client's send buffer.
    ended: bool,
    upload_done: bool,
    /// Bytes sent when `idle_since` was set.
    progressed: u64,
    idle_since: Option<Instant>,
    idle_timeout: Duration,
}

impl Relay {
    fn poll(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        body: &mut Body,
    ) -> Poll<Result<(), GatewayError>> {
        let state = match body {
            Body::Empty => self.end(conn, None),
            Body::Bytes(bytes) => {
                let sent = self.poll_bytes(cx, conn, bytes);
                if sent.is_ready() { sent } else { Poll::Pending }
            }
            Body::Stream(stream) => self.poll_stream(cx, conn, &mut **stream),
        };
        if let Poll::Ready(Err(cause)) = state {
            return Poll::Ready(Err(cause));
        }
        let flushed = conn.poll_flush_response(cx).map_err(|_| GatewayError::client_closed())?;
        if self.ended && flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Body::Stream(stream) = body {
            self.poll_upload(cx, conn, &mut **stream)?;
        }
        self.poll_idle_timeout(cx, conn)
    }

    fn poll_bytes(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        bytes: &mut bytes::Bytes,
    ) -> Poll<Result<(), GatewayError>> {
        while !bytes.is_empty() {
            let n = ready!(conn.poll_send(cx, bytes)).map_err(|_| GatewayError::client_closed())?;
            bytes::Buf::advance(bytes, n);
        }
        self.end(conn, None)
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        stream: &mut dyn BodyRead,
    ) -> Poll<Result<(), GatewayError>> {
        while !self.ended {
            match ready!(stream.poll_fill(cx))? {
                Chunk::Data(data) => {
                    let n = ready!(conn.poll_send(cx, data)).map_err(|_| GatewayError::client_closed())?;
                    stream.consume(n);
                }
                Chunk::End => return self.end(conn, stream.trailers()),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(
        &mut self,
        conn: &mut impl ClientIo,
        trailers: Option<&mut crate::pipeline::head::Head>,
    ) -> Poll<Result<(), GatewayError>> {
        if !self.ended && !conn.end(trailers.as_deref()) {
            return Poll::Ready(Err(GatewayError::new(
                ErrorCode::BackendTruncated,
                "the body is shorter than its Content-Length",
            )));
        }
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    /// Sends the remaining request body; meanwhile, detects a client that closes its connection.
    fn poll_upload(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        stream: &mut dyn BodyRead,
    ) -> Result<(), GatewayError> {
        if !self.upload_done && !self.ended {
            match stream.poll_upload(cx, conn) {
                Poll::Ready(done) => {
                    done?;
                    self.upload_done = true;
                }
                Poll::Pending => {}
            }
        }
        if conn.poll_closed(cx).is_ready() {
            return Err(GatewayError::client_closed());
        }
        Ok(())
    }

    /// Applies the idle timeout, the only timeout of a body, in both directions.
    fn poll_idle_timeout(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
    ) -> Poll<Result<(), GatewayError>> {
        let moved = conn.sent() + conn.bytes_received();
        let since = match self.idle_since {
            Some(since) if moved == self.progressed => since,
            _ => *self.idle_since.insert(Instant::now()),
        };
        self.progressed = moved;
        ready!(conn.poll_deadline(cx, since + self.idle_timeout));
        Poll::Ready(Err(GatewayError::new(ErrorCode::BackendTruncated, "the body was idle for too long")))
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
