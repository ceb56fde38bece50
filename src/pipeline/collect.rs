//! Reading a whole body: into memory, up to a limit, or draining it so that its connection can be reused.

use super::{
    body::{BodyRead, Chunk, ClientBody},
    error::{ErrorCode, GatewayError},
};
use crate::base::{
    budget::BufferCharge,
    data_rate::{MinDataRate, RateWindow},
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Passes everything that has arrived to `sink`; ready at the end of the body. `last_read` is the time of the last chunk.
fn poll_chunks(
    body: &mut dyn BodyRead,
    cx: &mut Context,
    last_read: &mut Instant,
    sink: &mut impl FnMut(&[u8]) -> Result<(), GatewayError>,
) -> Poll<Result<(), GatewayError>> {
    while let Poll::Ready(chunk) = body.poll_fill(cx) {
        let Chunk::Data(data) = chunk? else { return Poll::Ready(Ok(())) };
        let n = data.len();
        sink(data)?;
        body.consume(n);
        *last_read = Instant::now();
    }
    Poll::Pending
}

/// A body while it is collected, charged to its client.
#[derive(Debug, Default)]
pub struct CollectedBody {
    bytes: Vec<u8>,
    charge: Option<BufferCharge>,
}

impl CollectedBody {
    /// Continues a body that begins with `bytes`.
    ///
    /// # Errors
    ///
    /// `gateway.buffering_limit` if the memory is not available.
    pub fn new(bytes: Vec<u8>, mut charge: Option<BufferCharge>) -> Result<CollectedBody, GatewayError> {
        if !bytes.is_empty() {
            reserve(&mut charge, bytes.len())?;
        }
        Ok(CollectedBody { bytes, charge })
    }

    /// The bytes that have arrived.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the first `count` bytes by what follows them.
    pub fn remove_first(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    ///
    /// `gateway.buffering_limit` if the memory is not available.
    pub fn push(&mut self, data: &[u8]) -> Result<(), GatewayError> {
        reserve(&mut self.charge, self.bytes.len() + data.len())?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The body, charged until it is dropped.
    pub fn into_bytes(self) -> Bytes {
        match self.charge {
            Some(charge) if !self.bytes.is_empty() => charge.into_bytes(self.bytes),
            _ => self.bytes.into(),
        }
    }
}

fn reserve(charge: &mut Option<BufferCharge>, size: usize) -> Result<(), GatewayError> {
    match charge.as_mut().is_none_or(|charge| charge.reserve(size)) {
        true => Ok(()),
        false => {
            let detail = "the memory for buffered bodies is in use (Limits.MaxBufferingMemory)";
            Err(GatewayError::new(ErrorCode::GatewayBufferingLimit, detail))
        }
    }
}

/// A generated body, charged until it is sent.
///
/// # Errors
///
/// `gateway.buffering_limit` if the memory is not available.
pub fn charged_bytes(mut charge: Option<BufferCharge>, bytes: Vec<u8>) -> Result<Bytes, GatewayError> {
    reserve(&mut charge, bytes.len())?;
    Ok(CollectedBody { bytes, charge }.into_bytes())
}

/// Reads the whole request body.
///
/// # Errors
///
/// `request.body` if the body is larger than `max_bytes`, `request.timeout` if no byte arrives for the idle timeout or fewer
/// than the minimum rate, `gateway.buffering_limit` if `charge` does not permit more, and the errors of the body itself.
pub async fn collect_body(
    client: &mut dyn ClientBody,
    max_bytes: usize,
    mut pace: BodyPace,
    charge: Option<BufferCharge>,
) -> Result<Bytes, GatewayError> {
    let (mut body, mut last_read) = (CollectedBody { bytes: Vec::new(), charge }, Instant::now());
    let mut sink = |data: &[u8]| {
        if data.len() > max_bytes - body.bytes.len() {
            let detail = format!("the request body is larger than {max_bytes} bytes");
            return Err(GatewayError::new(ErrorCode::RequestBody, detail));
        }
        body.push(data)
    };
    poll_fn(|cx| match poll_chunks(client.as_body(), cx, &mut last_read, &mut sink) {
        Poll::Pending => pace.poll_stalled(cx, client, last_read).map(Err),
        end => end,
    })
    .await?;
    Ok(body.into_bytes())
}

/// How fast a request body must arrive while it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct BodyPace {
    idle_timeout: Duration,
    min_rate: Option<MinDataRate>,
    window: RateWindow,
}

impl BodyPace {
    /// At least one byte within each `idle_timeout`, and at least the minimum rate.
    pub fn new(idle_timeout: Duration, min_rate: Option<MinDataRate>) -> BodyPace {
        BodyPace { idle_timeout, min_rate, window: RateWindow::default() }
    }

    /// The client is not waited for.
    pub fn reset(&mut self) {
        self.window.reset();
    }

    /// Waits for more of the body; ready with the error of a client that is too slow. `since` is the time of the last byte.
    pub fn poll_stalled(
        &mut self,
        cx: &mut Context,
        client: &mut dyn ClientBody,
        since: Instant,
    ) -> Poll<GatewayError> {
        if let Some(rate) = self.min_rate {
            while client.poll_deadline(cx, self.window.end(rate, since)).is_ready() {
                if self.window.is_too_slow(rate, client.bytes_received(), 1, Instant::now()) {
                    let rate = rate.bytes_per_second;
                    let detail = format!("the request body arrives with less than {rate} bytes/s");
                    return Poll::Ready(GatewayError::new(ErrorCode::RequestTimeout, detail));
                }
            }
        }
        client.poll_deadline(cx, since + self.idle_timeout).map(|()| {
            let detail = format!("the request body stalled for {:?}", self.idle_timeout);
            GatewayError::new(ErrorCode::RequestTimeout, detail)
        })
    }
}

/// Reads the whole body of a response, while the rest of the request body of `client` is sent; `reserve` is called with the
/// size of each chunk and may reject it.
///
/// # Errors
///
/// `backend.truncated` if no byte arrives for `idle_timeout`, `gateway.buffering_limit` if `charge` does not permit more, the
/// errors of `reserve`, and those of the body itself.
pub async fn collect_response(
    mut body: Box<dyn BodyRead>,
    client: &mut dyn ClientBody,
    idle_timeout: Duration,
    charge: Option<BufferCharge>,
    mut reserve: impl FnMut(usize) -> Result<(), GatewayError>,
) -> Result<Bytes, GatewayError> {
    let (mut collected, mut last_read) = (CollectedBody { bytes: Vec::new(), charge }, Instant::now());
    let mut sink = |data: &[u8]| {
        reserve(data.len())?;
        collected.push(data)
    };
    poll_fn(|cx| {
        // A backend that stops reading the request may still respond completely.
        let _ = body.poll_upload(cx, client.as_body());
        match poll_chunks(&mut *body, cx, &mut last_read, &mut sink) {
            Poll::Pending => client.poll_deadline(cx, last_read + idle_timeout).map(|()| {
                Err(GatewayError::new(ErrorCode::BackendTruncated, "no byte of the body arrived in time"))
            }),
            end => end,
        }
    })
    .await?;
    body.finish();
    Ok(collected.into_bytes())
}

/// Discards what has already arrived of a body, at most about `max_bytes`; if that is all of it, its connection can be reused.
pub async fn drain_received(mut body: Box<dyn BodyRead>, max_bytes: usize) {
    let mut remaining = max_bytes;
    let has_ended = poll_fn(|cx| {
        while remaining > 0 {
            let n = match body.poll_fill(cx) {
                Poll::Ready(Ok(Chunk::Data(data))) => data.len(),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(true),
                _ => break,
            };
            body.consume(n);
            remaining = remaining.saturating_sub(n);
        }
        Poll::Ready(false)
    });
    if has_ended.await {
        body.finish();
    }
}

/// Discards a whole body, chunk by chunk; gives up if no byte arrives for `idle_timeout`.
pub async fn drain_body(mut body: Box<dyn BodyRead>, idle_timeout: Duration) {
    loop {
        let chunk = poll_fn(|cx| {
            body.poll_fill(cx).map_ok(|chunk| match chunk {
                Chunk::Data(data) => Some(data.len()),
                Chunk::End => None,
            })
        });
        match tokio::time::timeout(idle_timeout, chunk).await {
            Ok(Ok(Some(n))) => body.consume(n),
            Ok(Ok(None)) => return body.finish(),
            _ => return,
        }
        // Other tasks of this worker run between two chunks.
        tokio::task::yield_now().await;
    }
}
