//! The way back: one poll drives download and upload, deadlines and the client's patience.

use crate::{
    pipeline::{
        answer::Answer,
        body::{Body, BodyRead, Chunk, Framing},
        cause::{Cause, Why},
        head::Version,
    },
    wire::side::ClientSide,
};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// How the body of an answer is framed for this client.
pub fn framing(answer: &Answer, for_head: bool, version: Version) -> Framing {
    if for_head || matches!(answer.head.status, 204 | 304) {
        return Framing::None;
    }
    match (answer.body.length(), version) {
        (Some(n), _) => Framing::Length(n),
        (None, Version::Http11 | Version::Http2) => Framing::Chunked,
        (None, Version::Http10) => Framing::UntilClose,
    }
}

/// Sends the body of an answer whose head was begun, to its clean end; an error means that the client must see it broken.
pub async fn relay<C: ClientSide>(conn: &mut C, body: &mut Body, idle: Duration) -> Result<(), Cause> {
    let mut relay = Relay { ended: false, uploaded: false, moved: 0, since: None, idle };
    poll_fn(|cx| relay.poll(cx, conn, body)).await
}

struct Relay {
    /// The end of the body is in the client's buffer.
    ended: bool,
    uploaded: bool,
    /// Bytes moved when `since` was taken.
    moved: u64,
    since: Option<Instant>,
    idle: Duration,
}

impl Relay {
    fn poll(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientSide,
        body: &mut Body,
    ) -> Poll<Result<(), Cause>> {
        let done = match body {
            Body::Empty => self.end(conn, None),
            Body::Bytes(bytes) => {
                let sent = self.poll_bytes(cx, conn, bytes);
                if sent.is_ready() { sent } else { Poll::Pending }
            }
            Body::Stream(stream) => self.poll_stream(cx, conn, &mut **stream),
        };
        if let Poll::Ready(Err(cause)) = done {
            return Poll::Ready(Err(cause));
        }
        let flushed = conn.poll_flush(cx).map_err(|_| Cause::gone())?;
        if self.ended && flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Body::Stream(stream) = body {
            self.poll_other_way(cx, conn, &mut **stream)?;
        }
        self.patience(cx, conn)
    }

    fn poll_bytes(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientSide,
        bytes: &mut bytes::Bytes,
    ) -> Poll<Result<(), Cause>> {
        while !bytes.is_empty() {
            let n = ready!(conn.poll_send(cx, bytes)).map_err(|_| Cause::gone())?;
            bytes::Buf::advance(bytes, n);
        }
        self.end(conn, None)
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientSide,
        stream: &mut dyn BodyRead,
    ) -> Poll<Result<(), Cause>> {
        while !self.ended {
            match ready!(stream.poll_fill(cx))? {
                Chunk::Data(data) => {
                    let n = ready!(conn.poll_send(cx, data)).map_err(|_| Cause::gone())?;
                    stream.consume(n);
                }
                Chunk::End => return self.end(conn, stream.trailers()),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(
        &mut self,
        conn: &mut impl ClientSide,
        trailers: Option<&mut crate::pipeline::head::Head>,
    ) -> Poll<Result<(), Cause>> {
        if !self.ended && !conn.end(trailers.as_deref()) {
            return Poll::Ready(Err(Cause::new(
                Why::BackendBody,
                "the body is shorter than its head promised",
            )));
        }
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    /// The request may still be on its way out; whether the client is still there is watched meanwhile.
    fn poll_other_way(
        &mut self,
        cx: &mut Context,
        conn: &mut impl ClientSide,
        stream: &mut dyn BodyRead,
    ) -> Result<(), Cause> {
        if !self.uploaded && !self.ended {
            match stream.poll_upload(cx, conn) {
                Poll::Ready(done) => {
                    done?;
                    self.uploaded = true;
                }
                Poll::Pending => {}
            }
        }
        if conn.poll_gone(cx).is_ready() {
            return Err(Cause::gone());
        }
        Ok(())
    }

    /// Only idleness ends a body, on whichever side.
    fn patience(&mut self, cx: &mut Context, conn: &mut impl ClientSide) -> Poll<Result<(), Cause>> {
        let moved = conn.sent() + conn.received();
        let since = match self.since {
            Some(since) if moved == self.moved => since,
            _ => *self.since.insert(Instant::now()),
        };
        self.moved = moved;
        ready!(conn.poll_alarm(cx, since + self.idle));
        Poll::Ready(Err(Cause::new(Why::BackendBody, "the body stood still for too long")))
    }
}
