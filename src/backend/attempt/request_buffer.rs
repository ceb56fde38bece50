//! The beginning of a request body: received before a limited connection is taken, so that a slow client does not hold it.

use super::config::AttemptConfig;
use crate::pipeline::{body::ClientBody, error::GatewayError, exchange::Exchange, replay::ReplayBody};
use std::{future::poll_fn, task::Poll, time::Instant};

/// How many bytes of a request body are kept for a request that an HTTP/2 backend does not process.
pub const UNPROCESSED_REPLAY_BYTES: usize = 64 * 1024;

/// Receives at most `max_bytes` of the request body before a limited connection is taken; returns the time of its end.
pub async fn read_ahead(
    config: &AttemptConfig,
    max_bytes: usize,
    exchange: &mut Exchange,
    caller: &mut ReplayBody<'_>,
) -> Result<Instant, GatewayError> {
    if max_bytes == 0 {
        return Ok(exchange.now);
    }
    let started_at = Instant::now();
    let (mut pace, mut received, mut since) = (config.body_pace(exchange), 0, started_at);
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(done) = caller.poll_read_ahead(cx, max_bytes) {
            return Poll::Ready(done);
        }
        if caller.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(GatewayError::client_closed()));
        }
        if received != caller.buffered_bytes() {
            (received, since) = (caller.buffered_bytes(), Instant::now());
        }
        pace.poll_stalled(cx, caller, since).map(Err)
    });
    outcome.await?;
    let now = Instant::now();
    exchange.record.client_wait += now - started_at;
    Ok(now)
}
