//! One call: an exchange of its own through the whole route of a part.

use super::fan_out::FanOut;
use crate::{
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{Body, Chunk, ClientBody},
        error::{ErrorCode, GatewayError},
        head::Head,
        response::Response,
    },
    plan::{Part, aggregate::compose::failed},
    server::{dispatch::run_route, internal_client},
    telemetry::RouteMetrics,
};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::{Duration, Instant},
};

/// What a call brought back.
pub struct PartResponse {
    pub head: Head,
    pub body: Bytes,
}

/// Calls a part, for a value if there is one. `left` are the bytes that the answers of the part may still have.
pub fn call<'f>(
    asker: &'f FanOut<'_>,
    part: &'f Part,
    value: Option<&'f [u8]>,
    left: &'f AtomicUsize,
) -> Pin<Box<dyn Future<Output = Result<PartResponse, GatewayError>> + Send + 'f>> {
    let ocelot = asker.aggregate.shape.ocelot;
    Box::pin(async move {
        let mut x = part.fork_for_part(asker.exchange, value, ocelot);
        let mut counted = RequestMetricsGuard::start(&part.route.metrics, x.worker);
        let mut caller =
            internal_client::BufferedClient::new(asker.body.bytes.clone(), asker.body.trailers.clone());
        let outcome = run_route(&part.route, &mut x, HopByHop::default(), &mut caller).await;
        asker.add_attempts(x.record.attempts);
        let outcome = outcome.map_err(|cause| with_part_name(cause, part, ocelot));
        counted.status = outcome.as_ref().map_or_else(|cause| cause.status(ocelot), Response::status);
        let Response { head, body, .. } = outcome?;
        let body = read_response_body(body, &mut caller, left, asker.aggregate.body_idle, part).await?;
        Ok(PartResponse { head, body })
    })
}

/// Says which part it was.
fn with_part_name(mut cause: GatewayError, part: &Part, ocelot: bool) -> GatewayError {
    if !ocelot {
        cause.detail = format!("the part \"{}\": {}", part.terms.key, cause.detail).into();
    }
    cause
}

/// The whole body of an answer, which may have come before the request was through.
async fn read_response_body(
    body: Body,
    caller: &mut internal_client::BufferedClient,
    left: &AtomicUsize,
    idle: Duration,
    part: &Part,
) -> Result<Bytes, GatewayError> {
    let mut stream = match body {
        Body::Empty => return Ok(Bytes::new()),
        Body::Bytes(bytes) => return reserve_bytes(left, bytes.len(), part).map(|()| bytes),
        Body::Stream(stream) => stream,
    };
    let (mut all, mut since) = (Vec::new(), Instant::now());
    poll_fn(|cx| {
        // That the service takes no more of the request does not spoil its answer.
        let _ = stream.poll_upload(cx, caller);
        while let Poll::Ready(chunk) = stream.poll_fill(cx) {
            let Chunk::Data(data) = chunk? else { return Poll::Ready(Ok(())) };
            let n = data.len();
            reserve_bytes(left, n, part)?;
            all.extend_from_slice(data);
            stream.consume(n);
            since = Instant::now();
        }
        let still = || GatewayError::new(ErrorCode::BackendTruncated, "the body stood still for too long");
        caller.poll_deadline(cx, since + idle).map(|()| Err(still()))
    })
    .await?;
    stream.finish();
    Ok(all.into())
}

/// Uses up some of the bytes that the answers of a part may have.
fn reserve_bytes(left: &AtomicUsize, n: usize, part: &Part) -> Result<(), GatewayError> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n));
    let most = part.terms.max_response_bytes;
    taken.map(drop).map_err(|_| failed(&part.terms.key, format!("answered with more than {most} bytes")))
}

/// Counts a call in the numbers of its route, also if nobody waits for its end.
pub struct RequestMetricsGuard<'m> {
    metrics: &'m RouteMetrics,
    worker: usize,
    started_at: Instant,
    pub status: u16,
}

impl<'m> RequestMetricsGuard<'m> {
    pub fn start(metrics: &'m RouteMetrics, worker: usize) -> RequestMetricsGuard<'m> {
        metrics.begin(worker);
        RequestMetricsGuard { metrics, worker, started_at: Instant::now(), status: 499 }
    }
}

impl Drop for RequestMetricsGuard<'_> {
    fn drop(&mut self) {
        self.metrics.end(self.worker, self.status, self.started_at.elapsed());
    }
}
