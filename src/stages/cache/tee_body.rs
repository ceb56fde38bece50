//! The body of the leader's response: sent to its client and stored, or read by its own task once others wait for it.

use super::streaming_fill::{FillReader, StreamingFill};
use crate::pipeline::{
    body::{BodyRead, Chunk, Framing},
    error::{ErrorCode, GatewayError},
    head::Head,
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Longest pause between two chunks while the body is read by its own task.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The body of the leader's response: fills the store until a follower reads too.
pub struct TeeBody {
    inner: Option<Box<dyn BodyRead>>,
    fill: Arc<StreamingFill>,
    framing: Framing,
    /// Bytes of the current chunk that are stored already.
    buffered: usize,
    reader: FillReader,
    /// Bytes that the client has received, skipped by `reader`.
    forwarded: u64,
    ended: bool,
}

impl TeeBody {
    /// Reads `inner` for the client and copies each chunk to `fill`.
    pub fn new(inner: Box<dyn BodyRead>, fill: Arc<StreamingFill>) -> TeeBody {
        let reader = FillReader::new(&fill);
        let framing = inner.framing();
        TeeBody { inner: Some(inner), fill, framing, buffered: 0, reader, forwarded: 0, ended: false }
    }

    /// Moves the body into its own task and continues as one of its readers, at the same position: bytes that are stored
    /// and not sent come from the chunks.
    fn detach(&mut self, inner: Box<dyn BodyRead>) {
        self.reader.skip(self.forwarded);
        drain_to_store(inner, self.fill.clone(), self.buffered);
    }

    fn poll_inner(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        // The first follower wakes this task, so that it detaches.
        self.fill.set_driver(cx);
        let TeeBody { inner: Some(inner), fill, buffered, ended, .. } = self else {
            return Poll::Ready(Ok(Chunk::End));
        };
        match ready!(inner.poll_fill(cx)) {
            Ok(Chunk::Data(data)) => {
                if data.len() > *buffered {
                    fill.add(&data[*buffered..]);
                    *buffered = data.len();
                }
                Poll::Ready(Ok(Chunk::Data(data)))
            }
            Ok(Chunk::End) => {
                *ended = true;
                fill.finish(Ok(()));
                Poll::Ready(Ok(Chunk::End))
            }
            Err(error) => {
                fill.finish(Err(error.clone()));
                Poll::Ready(Err(error))
            }
        }
    }
}

impl BodyRead for TeeBody {
    fn poll_fill(&mut self, cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        if !self.ended
            && self.inner.is_some()
            && self.fill.should_detach()
            && let Some(inner) = self.inner.take()
        {
            self.detach(inner);
        }
        if self.inner.is_none() {
            self.inner = self.reader.take_handed_back();
        }
        if self.inner.is_some() { self.poll_inner(cx) } else { self.reader.poll_fill(cx) }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.inner {
            Some(inner) => {
                inner.consume(n);
                self.buffered -= n.min(self.buffered);
                self.forwarded += n as u64;
            }
            None => self.reader.consume(n),
        }
    }

    fn trailers(&mut self) -> Option<&mut Head> {
        self.inner.as_mut().and_then(|inner| inner.trailers())
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_upload(&mut self, cx: &mut Context, from: &mut dyn BodyRead) -> Poll<Result<(), GatewayError>> {
        match &mut self.inner {
            Some(inner) => inner.poll_upload(cx, from),
            None => Poll::Ready(Ok(())),
        }
    }

    fn finish(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            inner.finish();
        }
    }
}

impl Drop for TeeBody {
    /// The client disconnected: its followers continue.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if !self.ended && self.fill.should_detach() {
            return drain_to_store(inner, self.fill.clone(), self.buffered);
        }
        self.fill.finish(Err(GatewayError::client_closed()));
    }
}

/// Reads a body in its own task; `kept` bytes of the current chunk are stored already.
pub fn drain_to_store(mut inner: Box<dyn BodyRead>, fill: Arc<StreamingFill>, buffered: usize) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return fill.finish(Err(GatewayError::client_closed()));
    };
    runtime.spawn(async move {
        match read_to_end(&mut *inner, &fill, buffered).await {
            Ok(FillEnd::Complete) => {
                fill.finish(Ok(()));
                inner.finish();
            }
            Ok(FillEnd::Aborted) => {}
            Ok(FillEnd::TooLarge) => fill.hand_back(inner),
            Err(error) => fill.finish(Err(error)),
        }
    });
}

/// How a body that is read by its own task ended.
enum FillEnd {
    Complete,
    Aborted,
    /// Its length was unknown, and it does not fit into the store.
    TooLarge,
}

/// Adds the chunks of a body until it ends or is aborted.
async fn read_to_end(
    inner: &mut dyn BodyRead,
    fill: &StreamingFill,
    mut buffered: usize,
) -> Result<FillEnd, GatewayError> {
    loop {
        let chunk = poll_fn(|cx| {
            Poll::Ready(match ready!(inner.poll_fill(cx)) {
                Ok(Chunk::Data(data)) => {
                    let is_added = data.len() <= buffered || fill.try_add(&data[buffered..]);
                    Ok(Some((data.len(), is_added)))
                }
                Ok(Chunk::End) => Ok(None),
                Err(error) => Err(error),
            })
        });
        let Ok(chunk) = tokio::time::timeout(BODY_IDLE_TIMEOUT, chunk).await else {
            let text = "the backend sent no data within the idle timeout";
            return Err(GatewayError::new(ErrorCode::BackendTruncated, text));
        };
        match chunk? {
            None => return Ok(FillEnd::Complete),
            Some((n, true)) => inner.consume(n),
            Some((_, false)) if fill.length().is_none() => {
                inner.consume(buffered);
                return Ok(FillEnd::TooLarge);
            }
            Some((_, false)) => {
                fill.abort();
                return Ok(FillEnd::Aborted);
            }
        }
        buffered = 0;
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
