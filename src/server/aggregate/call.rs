//! Calls of aggregate parts: each is an exchange that runs through the complete route of its part.

use crate::{
    net::{buffered_client::BufferedClient, h1::hop_by_hop::HopByHop},
    pipeline::{
        body::{Body, ClientBody},
        collect::collect_response,
        error::GatewayError,
        exchange::Exchange,
        head::Head,
        response::{Response, RouteResult},
    },
    plan::{Aggregate, AggregatePart, Route, aggregate::compose::failed},
    server::part_trace::finish_part,
    telemetry::{RequestEnd, RouteMetrics},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::Instant,
};

/// A boxed future that borrows its input.
pub type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Runs an exchange through a route. Passed in by `dispatch`, so that aggregates do not depend on their caller.
pub type RouteRunner =
    for<'f> fn(&'f Route, &'f mut Exchange, HopByHop, &'f mut dyn ClientBody) -> BoxFuture<'f, RouteResult>;

/// A request body that was read completely.
#[derive(Debug, Default)]
pub struct RequestBody {
    pub bytes: Bytes,
    pub trailers: Option<Head>,
}

/// Calls the parts of an aggregate on behalf of one exchange.
pub struct PartCaller<'a> {
    pub aggregate: &'a Aggregate,
    pub exchange: &'a Exchange,
    /// The same for every part.
    pub body: RequestBody,
    pub run_route: RouteRunner,
    /// Attempts of all calls together.
    pub attempts: AtomicU32,
}

/// The response to a call.
pub struct PartResponse {
    pub head: Head,
    pub body: Bytes,
}

impl PartCaller<'_> {
    /// Calls a part, for a value if there is one. `remaining` is the number of bytes that responses of the part may
    /// still have.
    pub fn call<'f>(
        &'f self,
        part: &'f AggregatePart,
        value: Option<&'f [u8]>,
        remaining: &'f AtomicUsize,
    ) -> BoxFuture<'f, Result<PartResponse, GatewayError>> {
        let ocelot = self.aggregate.shape.ocelot;
        Box::pin(async move {
            let mut exchange = part.fork_for_part(self.exchange, value, ocelot);
            let mut metrics = RequestMetricsGuard::start(&part.route.metrics, exchange.worker);
            let mut client = BufferedClient::new(self.body.bytes.clone(), self.body.trailers.clone());
            let outcome =
                (self.run_route)(&part.route, &mut exchange, HopByHop::default(), &mut client).await;
            self.attempts.fetch_add(exchange.record.attempts, Ordering::Relaxed);
            metrics.end = part_end(&exchange, &outcome);
            if exchange.trace.is_some() {
                finish_part(&mut exchange, &part.terms.key, &outcome);
            }
            let outcome = outcome.map_err(|cause| with_part_name(cause, part, ocelot));
            metrics.status = outcome.as_ref().map_or_else(|cause| cause.status(ocelot), Response::status);
            let Response { head, body, .. } = outcome?;
            let body = self.read_response_body(body, &mut client, remaining, part).await?;
            Ok(PartResponse { head, body })
        })
    }

    /// The whole body of a response, which may arrive before the request was sent completely.
    async fn read_response_body(
        &self,
        body: Body,
        client: &mut BufferedClient,
        remaining: &AtomicUsize,
        part: &AggregatePart,
    ) -> Result<Bytes, GatewayError> {
        let reserve = |n| reserve_bytes(remaining, n, part);
        match body {
            Body::Empty => Ok(Bytes::new()),
            Body::Bytes(bytes) => reserve(bytes.len()).map(|()| bytes),
            Body::Stream(stream) => {
                let charge = self.exchange.buffer_charge();
                collect_response(stream, client, self.aggregate.body_idle, charge, reserve).await
            }
        }
    }
}

/// What is counted of a part, up to the head of its response.
pub fn part_end(exchange: &Exchange, outcome: &RouteResult) -> RequestEnd {
    RequestEnd {
        error_code: outcome.as_ref().err().map_or("", |cause| cause.code.name()),
        gateway: exchange.record.gateway_duration(exchange.now, exchange.now.elapsed()),
        backend: exchange.record.backend,
        ..RequestEnd::default()
    }
}

/// Prefixes the error detail with the name of the part.
fn with_part_name(mut cause: GatewayError, part: &AggregatePart, ocelot: bool) -> GatewayError {
    if !ocelot {
        cause.detail = format!("the part \"{}\": {}", part.terms.key, cause.detail).into();
    }
    cause
}

/// Reserves some of the bytes that the responses of a part may have.
fn reserve_bytes(remaining: &AtomicUsize, n: usize, part: &AggregatePart) -> Result<(), GatewayError> {
    let reserved = remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n));
    let max_bytes = part.terms.max_response_bytes;
    reserved
        .map(drop)
        .map_err(|_| failed(&part.terms.key, format!("sent a response of more than {max_bytes} bytes")))
}

/// Counts a call in the metrics of its route, even if the call is canceled.
pub struct RequestMetricsGuard<'m> {
    metrics: &'m RouteMetrics,
    worker: usize,
    started_at: Instant,
    pub status: u16,
    /// The remaining numbers.
    pub end: RequestEnd,
}

impl<'m> RequestMetricsGuard<'m> {
    /// Counts the request as in flight. Until `status` is set it counts as canceled (499).
    pub fn start(metrics: &'m RouteMetrics, worker: usize) -> RequestMetricsGuard<'m> {
        metrics.begin(worker);
        RequestMetricsGuard {
            metrics,
            worker,
            started_at: Instant::now(),
            status: 499,
            end: RequestEnd::default(),
        }
    }
}

impl Drop for RequestMetricsGuard<'_> {
    fn drop(&mut self) {
        let (status, duration) = (self.status, self.started_at.elapsed());
        self.metrics.end(self.worker, &RequestEnd { status, duration, ..self.end });
    }
}
