//! The transfer of a response: one poll drives download and upload, and the deadlines of both sides. A slow client holds
//! no backend connection for a response that fits into its buffer, and none for longer than the minimum rate permits.

use super::read_ahead::{ReadAhead, ReadAheadLimit};
use crate::{
    base::data_rate::{MinDataRate, RateWindow},
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

/// How the body of an answer is framed for this client.
pub fn framing(answer: &Response, for_head: bool, version: Version) -> Framing {
    if for_head || matches!(answer.head.status, 204 | 304) {
        return Framing::None;
    }
    match (answer.body.length(), version) {
        (Some(n), _) => Framing::Length(n),
        (None, Version::Http11 | Version::Http2) => Framing::Chunked,
        (None, Version::Http10) => Framing::UntilClose,
    }
}

/// The limits of a transfer.
#[derive(Clone, Copy, Debug)]
pub struct TransferLimits<'a> {
    /// Longest time without data in either direction.
    pub idle_timeout: Duration,
    /// The minimum rate at which a client accepts the response.
    pub min_rate: Option<MinDataRate>,
    pub read_ahead: ReadAheadLimit<'a>,
}

/// Sends the body of a response whose head was begun, to its clean end; after an error the client must see it incomplete.
/// The body is replaced by an empty one when the backend is done before the client.
pub async fn relay<C: ClientIo>(
    conn: &mut C,
    body: &mut Body,
    limits: TransferLimits<'_>,
) -> Result<(), GatewayError> {
    let mut relay = Relay {
        ended: false,
        upload_done: false,
        is_client_blocked: false,
        progressed: 0,
        idle_since: None,
        ahead: ReadAhead::default(),
        window: RateWindow::default(),
        limits,
    };
    poll_fn(|cx| relay.poll(cx, conn, body)).await
}

struct Relay<'a> {
    /// The end of the body is in the client's buffer.
    ended: bool,
    upload_done: bool,
    /// The client accepts no more now.
    is_client_blocked: bool,
    /// Bytes moved when `idle_since` was taken.
    progressed: u64,
    idle_since: Option<Instant>,
    /// Received from the backend, and not accepted by the client.
    ahead: ReadAhead,
    window: RateWindow,
    limits: TransferLimits<'a>,
}

impl Relay<'_> {
    fn poll(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        body: &mut Body,
    ) -> Poll<Result<(), GatewayError>> {
        self.is_client_blocked = false;
        let done = match body {
            Body::Empty => self.poll_rest(cx, conn),
            Body::Bytes(bytes) => self.poll_bytes(cx, conn, bytes),
            Body::Stream(stream) => self.poll_stream(cx, conn, &mut **stream),
        };
        if let Poll::Ready(Err(cause)) = done {
            return Poll::Ready(Err(cause));
        }
        let flushed = conn.poll_flush_response(cx).map_err(|_| GatewayError::client_closed())?;
        if self.ended && flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.is_client_blocked |= flushed.is_pending();
        if let Body::Stream(stream) = body {
            self.poll_upload(cx, conn, &mut **stream)?;
            if self.ahead.is_ended() && self.upload_done {
                release_backend(body);
            }
        }
        self.poll_timeouts(cx, conn)
    }

    fn poll_bytes(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientIo,
        bytes: &mut bytes::Bytes,
    ) -> Poll<Result<(), GatewayError>> {
        while !bytes.is_empty() {
            let sent = conn.poll_send(cx, bytes);
            self.is_client_blocked = sent.is_pending();
            let n = ready!(sent).map_err(|_| GatewayError::client_closed())?;
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
            if self.ahead.is_active() {
                let sent = self.poll_ahead(cx, conn);
                if sent.is_pending() {
                    self.ahead.fill(cx, stream, self.limits.read_ahead);
                }
                ready!(sent)?;
                if self.ahead.is_ended() {
                    return self.poll_rest(cx, conn);
                }
            }
            match ready!(stream.poll_fill(cx))? {
                Chunk::Data(data) => match conn.poll_send(cx, data) {
                    Poll::Ready(sent) => stream.consume(sent.map_err(|_| GatewayError::client_closed())?),
                    Poll::Pending => {
                        self.is_client_blocked = true;
                        self.ahead.fill(cx, stream, self.limits.read_ahead);
                        return Poll::Pending;
                    }
                },
                Chunk::End => return self.end(conn, stream.trailers()),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what was read ahead.
    fn poll_ahead(&mut self, cx: &mut Context, conn: &mut impl ClientIo) -> Poll<Result<(), GatewayError>> {
        while !self.ahead.bytes().is_empty() {
            let sent = conn.poll_send(cx, self.ahead.bytes());
            self.is_client_blocked = sent.is_pending();
            let n = ready!(sent).map_err(|_| GatewayError::client_closed())?;
            self.ahead.consume(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the rest of a response whose backend is done.
    fn poll_rest(&mut self, cx: &mut Context, conn: &mut impl ClientIo) -> Poll<Result<(), GatewayError>> {
        ready!(self.poll_ahead(cx, conn))?;
        let mut trailers = self.ahead.take_trailers();
        self.end(conn, trailers.as_mut())
    }

    fn end(
        &mut self,
        conn: &mut impl ClientIo,
        trailers: Option<&mut crate::pipeline::head::Head>,
    ) -> Poll<Result<(), GatewayError>> {
        if !self.ended && !conn.end(trailers.as_deref()) {
            return Poll::Ready(Err(GatewayError::new(
                ErrorCode::BackendTruncated,
                "the body is shorter than its head promised",
            )));
        }
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    /// The upload may continue while the response is sent; meanwhile the client may close its connection.
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

    /// A body ends early when neither side moves, and when its client is too slow.
    fn poll_timeouts(
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
        match self.limits.min_rate.filter(|_| self.is_client_blocked) {
            None => self.window.reset(),
            Some(rate) => {
                while conn.poll_deadline(cx, self.window.end(rate, since)).is_ready() {
                    let (delivered, streams) = (conn.delivered(), conn.concurrent_streams());
                    if self.window.is_too_slow(rate, delivered, streams, Instant::now()) {
                        return Poll::Ready(Err(slow_client(rate)));
                    }
                }
            }
        }
        ready!(conn.poll_deadline(cx, since + self.limits.idle_timeout));
        Poll::Ready(Err(if self.is_client_blocked {
            GatewayError::new(
                ErrorCode::ClientReadTimeout,
                "the client accepted no byte of the response in time",
            )
        } else {
            GatewayError::new(ErrorCode::BackendTruncated, "the backend sent no byte of the response in time")
        }))
    }
}

/// Returns the connection of a backend that is done to its pool.
fn release_backend(body: &mut Body) {
    if let Body::Stream(stream) = std::mem::take(body) {
        stream.finish();
    }
}

#[cold]
fn slow_client(rate: MinDataRate) -> GatewayError {
    let detail = format!("the client accepts the response with less than {} bytes/s", rate.bytes_per_second);
    GatewayError::new(ErrorCode::ClientReadTimeout, detail)
}
