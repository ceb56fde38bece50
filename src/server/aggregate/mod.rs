//! Aggregates (response aggregation, API composition): the parts are called concurrently and their responses composed
//! into one (docs/ocelot-behavior.md, section 20).
//!
//! Entry point: [`run`], for a route whose target is an aggregate; caller: `dispatch` only. Each part is an exchange
//! that runs through its complete route. The parts belong to the exchange of the aggregate: if it ends because the
//! client disconnects or a timeout expires, they are canceled and release their resources. Nothing here outlives the
//! exchange.

mod call;
mod fan_out;

use super::part_trace::finish_part;
use crate::{
    base::{
        bytes::is_tchar,
        percent::{percent_decoded, put_percent},
    },
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{ClientBody, Framing},
        cancel::until_deadline,
        collect::{BodyPace, charged_bytes, collect_body},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::{Response, RouteResult},
    },
    plan::{
        Aggregate, AggregatePart,
        aggregate::{
            PARTIAL_HEADER, accept,
            compose::{self, Representation},
        },
    },
};
pub use call::{BoxFuture, RouteRunner};
use call::{PartCaller, RequestBody, RequestMetricsGuard, part_end};
use fan_out::{FanOut, FanOutResult};
use std::{future::Future, sync::atomic::AtomicU32, time::Instant};

/// Calls the parts and composes their responses.
pub async fn run(
    aggregate: &Aggregate,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
    run_route: RouteRunner,
) -> RouteResult {
    let shape = &aggregate.shape;
    if let ([only, rest @ ..], true) = (&*aggregate.parts, shape.ocelot)
        && (rest.is_empty() || hop.websocket)
    {
        return single_part(only, exchange, hop, client, run_route).await;
    }
    if hop.websocket && !shape.ocelot {
        return Err(GatewayError::new(ErrorCode::RequestUpgrade, "an aggregate does not support WebSocket"));
    }
    let form = negotiate(aggregate, exchange)?;
    let body = read_request_body(aggregate, exchange, client).await?;
    let caller = PartCaller { aggregate, exchange, body, run_route, attempts: AtomicU32::new(0) };
    let fan_out = FanOut { caller };
    let started_at = Instant::now();
    let gathered = with_cancellation(fan_out.gather(), aggregate, exchange.now, client).await;
    exchange.record.attempts = fan_out.caller.attempts.into_inner();
    exchange.record.end_attempt(started_at, Ok(0));
    match gathered? {
        FanOutResult::Only(response) => Ok(response),
        FanOutResult::Parts(_) if shape.unsupported_aggregator.is_some() => Err(GatewayError::new(
            ErrorCode::RouteUnsupported,
            shape.unsupported_aggregator.clone().unwrap_or_default(),
        )),
        FanOutResult::Parts(bodies) => response(aggregate, form, bodies, exchange),
    }
}

/// In Ocelot mode an aggregate of one route is that route; a WebSocket uses the first one (docs/ocelot-behavior.md,
/// sections 20 and 22).
async fn single_part(
    part: &AggregatePart,
    exchange: &mut Exchange,
    hop: HopByHop,
    client: &mut dyn ClientBody,
    run_route: RouteRunner,
) -> RouteResult {
    let mut inner = part.fork_for_part(exchange, None, true);
    let mut counted = RequestMetricsGuard::start(&part.route.metrics, exchange.worker);
    let outcome = run_route(&part.route, &mut inner, hop, client).await;
    let status = |cause: &GatewayError| cause.status(true);
    counted.status = outcome.as_ref().map_or_else(status, Response::status);
    counted.end = part_end(&inner, &outcome);
    if inner.trace.is_some() {
        finish_part(&mut inner, &part.terms.key, &outcome);
    }
    let record = inner.record;
    (exchange.record.endpoint, exchange.record.attempts) = (record.endpoint, record.attempts);
    (exchange.record.backend, exchange.record.backend_ended_at) = (record.backend, record.backend_ended_at);
    exchange.record.backend_status = record.backend_status;
    outcome
}

/// The representation that the client prefers.
fn negotiate<'a>(aggregate: &'a Aggregate, exchange: &Exchange) -> Result<&'a Representation, GatewayError> {
    let forms = &aggregate.shape.representations;
    let names: Vec<&str> = forms.iter().map(|form| &*form.media).collect();
    let wished = accept::negotiate(exchange.request.get_all(b"Accept"), &names);
    let wished = if aggregate.shape.ocelot { wished.or(Some(0)) } else { wished };
    wished.and_then(|at| forms.get(at)).ok_or_else(|| {
        GatewayError::new(
            ErrorCode::RequestNotAcceptable,
            format!("available representations: {}", names.join(", ")),
        )
    })
}

/// The request body, which every part receives. In Ocelot mode it is copied only if its length is known in advance.
async fn read_request_body(
    aggregate: &Aggregate,
    exchange: &mut Exchange,
    client: &mut dyn ClientBody,
) -> Result<RequestBody, GatewayError> {
    let max_bytes = (aggregate.shape.max_request_bytes as u64).min(exchange.body.limit);
    match client.framing() {
        Framing::None => return Ok(RequestBody::default()),
        Framing::Chunked if aggregate.shape.ocelot => return Ok(RequestBody::default()),
        Framing::Length(n) if n > max_bytes => {
            return Err(GatewayError::new(
                ErrorCode::RequestBody,
                format!("the request body is larger than {max_bytes} bytes"),
            ));
        }
        _ => {}
    }
    client.limit_body(max_bytes);
    let pace = BodyPace::new(aggregate.body_idle, exchange.body.min_rate);
    let started_at = Instant::now();
    let bytes = collect_body(client, usize::MAX, pace, exchange.buffer_charge()).await;
    exchange.record.client_wait += started_at.elapsed();
    Ok(RequestBody { bytes: bytes?, trailers: client.trailers().cloned() })
}

/// Awaits `work` while the client is connected, up to the timeout of the aggregate.
async fn with_cancellation<T>(
    work: impl Future<Output = Result<T, GatewayError>>,
    aggregate: &Aggregate,
    started: Instant,
    client: &mut dyn ClientBody,
) -> Result<T, GatewayError> {
    let timeout = aggregate.shape.timeout;
    until_deadline(work, client, timeout.map(|timeout| started + timeout)).await?.unwrap_or_else(|| {
        let detail = format!("the aggregate was not complete within {:?}", timeout.unwrap_or_default());
        Err(GatewayError::new(ErrorCode::BackendTimeout, detail))
    })
}

fn response(
    aggregate: &Aggregate,
    form: &Representation,
    bodies: Vec<compose::Body>,
    exchange: &Exchange,
) -> RouteResult {
    let shape = &aggregate.shape;
    let keys = aggregate.parts.iter().map(|part| &*part.terms.key);
    let parts: Vec<compose::PartBody> =
        keys.zip(bodies).map(|(key, body)| compose::PartBody { key, body }).collect();
    let text = match form.template {
        None if shape.ocelot => compose::compose_ocelot(&parts),
        _ => compose::compose(
            form,
            &parts,
            &placeholder_values(aggregate, exchange),
            shape.max_response_bytes,
        )?,
    };
    let text = charged_bytes(exchange.buffer_charge(), text)?;
    let mut response = Response::local(200, &form.media, text);
    if shape.representations.len() > 1 {
        response.head.append(b"Vary", b"Accept");
    }
    let missing: Vec<String> = compose::missing_parts(&parts).map(encode_route_key).collect();
    if !missing.is_empty() {
        response.head.append(PARTIAL_HEADER.as_bytes(), missing.join(", ").as_bytes());
        // A partial response must not be stored by caches.
        response.head.append(b"Cache-Control", b"no-store");
    }
    Ok(response)
}

/// The placeholders of the aggregate, for templates.
fn placeholder_values(aggregate: &Aggregate, exchange: &Exchange) -> Vec<(String, String)> {
    let Some(part) = aggregate.parts.iter().find(|part| part.terms.values.is_none()) else {
        return Vec::new();
    };
    let value = |at: usize| {
        let value = exchange.routing.path_params.get(at, exchange.request.target())?;
        let plain = percent_decoded(value.bytes, false);
        Some((part.names[at].to_string(), String::from_utf8_lossy(&plain).into_owned()))
    };
    (0..part.names.len()).filter_map(value).collect()
}

/// Escapes a key for a list in a header value.
fn encode_route_key(key: &str) -> String {
    let mut encoded = Vec::new();
    for byte in key.bytes() {
        match is_tchar(byte) && byte != b'%' {
            true => encoded.push(byte),
            false => put_percent(byte, &mut encoded),
        }
    }
    String::from_utf8(encoded).unwrap_or_default()
}
