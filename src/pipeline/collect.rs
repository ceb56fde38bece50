//! Reading a whole body: into memory, up to a limit, or draining it so that its connection can be reused.

use super::{
    body::{BodyRead, Chunk, ClientBody},
    error::{ErrorCode, GatewayError},
    inspection::{BodyInspector, Inspection},
};
use crate::base::data_rate::{MinDataRate, RateWindow};
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

/// Reads the whole request body.
///
/// # Errors
///
/// `request.body` if the body is larger than `max_bytes`, `request.timeout` if no byte arrives for the idle timeout or fewer
/// than the minimum rate, and the errors of the body itself.
pub async fn collect_body(
    client: &mut dyn ClientBody,
    max_bytes: usize,
    mut pace: BodyPace,
) -> Result<Bytes, GatewayError> {
    let (mut bytes, mut last_read) = (Vec::new(), Instant::now());
    let mut sink = |data: &[u8]| {
        if data.len() > max_bytes - bytes.len() {
            let detail = format!("the request body is larger than {max_bytes} bytes");
            return Err(GatewayError::new(ErrorCode::RequestBody, detail));
        }
        bytes.extend_from_slice(data);
        Ok(())
    };
    poll_fn(|cx| match poll_chunks(client.as_body(), cx, &mut last_read, &mut sink) {
        Poll::Pending => pace.poll_stalled(cx, client, last_read).map(Err),
        end => end,
    })
    .await?;
    Ok(bytes.into())
}

/// Reads the request body into `held` and passes it to an inspector, up to its end or until it is not held back any longer.
///
/// # Errors
///
/// Those of [`collect_body`], and the decision of the inspector.
pub async fn inspect_chunks(
    client: &mut dyn ClientBody,
    mut pace: BodyPace,
    held: &mut Vec<u8>,
    max_bytes: u64,
    inspector: &mut dyn BodyInspector,
) -> Result<Inspection, GatewayError> {
    let (mut last_read, mut step) = (Instant::now(), Inspection::Hold);
    poll_fn(|cx| {
        while step == Inspection::Hold {
            let count = match client.poll_fill(cx) {
                Poll::Pending => return pace.poll_stalled(cx, client, last_read).map(Err),
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(Ok(Inspection::Hold)),
                Poll::Ready(Ok(Chunk::Data(data))) => {
                    if (held.len() + data.len()) as u64 > max_bytes {
                        let detail = format!("the request body is larger than {max_bytes} bytes");
                        return Poll::Ready(Err(GatewayError::new(ErrorCode::RequestBody, detail)));
                    }
                    step = inspector.inspect(data)?;
                    held.extend_from_slice(data);
                    data.len()
                }
            };
            client.consume(count);
            last_read = Instant::now();
        }
        Poll::Ready(Ok(step))
    })
    .await
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
/// `backend.truncated` if no byte arrives for `idle_timeout`, the errors of `reserve`, and those of the body itself.
pub async fn collect_response(
    mut body: Box<dyn BodyRead>,
    client: &mut dyn ClientBody,
    idle_timeout: Duration,
    mut reserve: impl FnMut(usize) -> Result<(), GatewayError>,
) -> Result<Bytes, GatewayError> {
    let (mut bytes, mut last_read) = (Vec::new(), Instant::now());
    let mut sink = |data: &[u8]| {
        reserve(data.len())?;
        bytes.extend_from_slice(data);
        Ok(())
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
    Ok(bytes.into())
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
