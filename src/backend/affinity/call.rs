//! Requests of a route with affinity: negotiations are balanced, requests of a connection reach its endpoint.

use super::{AffinityMode, endpoint_tags::EndpointTags, negotiation::tag_position, tag::AffinityKey};
use crate::{
    backend::{
        attempt::{self, AttemptConfig},
        cluster::Cluster,
        endpoint::Endpoint,
    },
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        affinity::{Affinity, EndpointTag},
        body::{Body, BodyRead, Chunk, ClientBody},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::{Response, RouteResult},
        response_inspection::HeldBody,
    },
    telemetry::hubs::{AffinityOutcome, HubMetrics},
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

/// Maximum size of a response to a negotiation; a larger one is not changed.
const MAX_NEGOTIATION_BYTES: usize = 64 << 10;

/// The affinity of a route.
#[derive(Debug)]
pub struct ConnectionAffinity {
    mode: AffinityMode,
    tags: EndpointTags,
    /// The path of the cookie.
    cookie_path: Box<str>,
    /// For requests of a connection, which may be polls.
    timeout: Duration,
    metrics: Arc<HubMetrics>,
}

impl ConnectionAffinity {
    /// `template` is the path template of the route.
    pub fn new(
        mode: AffinityMode,
        key: AffinityKey,
        template: &str,
        timeout: Duration,
        metrics: Arc<HubMetrics>,
    ) -> ConnectionAffinity {
        let fixed = template.split(['{', '?']).next().unwrap_or_default();
        let is_prefix = fixed.len() < template.len();
        let cookie_path = if is_prefix { &fixed[..=fixed.rfind('/').unwrap_or(0)] } else { fixed };
        let cookie_path = if cookie_path.is_empty() { "/" } else { cookie_path }.into();
        ConnectionAffinity { mode, tags: EndpointTags::new(key), cookie_path, timeout, metrics }
    }

    fn reject(&self, outcome: AffinityOutcome) -> GatewayError {
        self.metrics.count_affinity(outcome);
        GatewayError::new(ErrorCode::SignalRConnectionNotFound, "No Connection with that ID")
    }

    /// The endpoint of an earlier negotiation, if it gets new requests.
    fn eligible(&self, cluster: &Cluster, tag: EndpointTag) -> Option<Arc<Endpoint>> {
        let endpoint = self.tags.find(cluster, tag)?;
        cluster.is_candidate(&endpoint).then_some(endpoint)
    }
}

/// Sends the request to the endpoint that it must reach, once; other requests as on any route.
pub async fn run(
    affinity: &ConnectionAffinity,
    cluster: &Cluster,
    config: &AttemptConfig,
    hop: HopByHop,
    exchange: &mut Exchange,
    client: &mut dyn ClientBody,
) -> RouteResult {
    match exchange.routing.affinity {
        Affinity::Unbound => attempt::run(cluster, config, hop, exchange, client).await,
        Affinity::MissingTag => Err(affinity.reject(AffinityOutcome::Missing)),
        Affinity::InvalidTag => Err(affinity.reject(AffinityOutcome::Invalid)),
        Affinity::Endpoint(tag) => {
            let Some(endpoint) = affinity.tags.find(cluster, tag) else {
                return Err(affinity.reject(AffinityOutcome::Gone));
            };
            let config = AttemptConfig { timeout: affinity.timeout, resilience: None, ..config.clone() };
            let outcome = attempt::run_at(cluster, endpoint, &config, hop, exchange, client).await;
            if is_unreachable(&outcome) {
                return Err(affinity.reject(AffinityOutcome::Gone));
            }
            affinity.metrics.count_affinity(AffinityOutcome::Matched);
            outcome
        }
        Affinity::Negotiation(earlier) => {
            let endpoint = earlier.and_then(|tag| affinity.eligible(cluster, tag));
            let mut outcome = match endpoint {
                Some(endpoint) => attempt::run_at(cluster, endpoint, config, hop, exchange, client).await,
                None => attempt::run(cluster, config, hop, exchange, client).await,
            };
            if earlier.is_some() && is_unreachable(&outcome) && client.rewind() {
                outcome = attempt::run(cluster, config, hop, exchange, client).await;
            }
            complete_negotiation(affinity, config, exchange, outcome?, client).await
        }
    }
}

/// Whether the endpoint accepts no connection.
fn is_unreachable(outcome: &RouteResult) -> bool {
    let error = outcome.as_ref().err().map(|error| error.code);
    matches!(error, Some(ErrorCode::BackendConnect | ErrorCode::BackendConnectTimeout))
}

/// Adds the tag of the endpoint to the response to a negotiation.
async fn complete_negotiation(
    affinity: &ConnectionAffinity,
    config: &AttemptConfig,
    exchange: &Exchange,
    mut response: Response,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let Some(address) = exchange.record.endpoint.as_ref().filter(|_| is_json(&response)) else {
        return Ok(response);
    };
    if response.body.length().is_some_and(|length| length > MAX_NEGOTIATION_BYTES as u64) {
        return Ok(response);
    }
    let body = match std::mem::take(&mut response.body) {
        Body::Empty => return Ok(response),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(mut stream) => {
            let (bytes, has_ended) = read(&mut *stream, client, config.body_idle_timeout).await?;
            if !has_ended {
                response.body = Body::Stream(Box::new(HeldBody::new(bytes.into(), stream, false)));
                return Ok(response);
            }
            stream.finish();
            bytes
        }
    };
    Ok(with_tag(affinity, exchange, response, body, address))
}

/// The response with this body, and with the tag if it is a negotiated connection.
fn with_tag(
    affinity: &ConnectionAffinity,
    exchange: &Exchange,
    mut response: Response,
    mut body: Vec<u8>,
    address: &str,
) -> Response {
    match (tag_position(&body), &affinity.mode) {
        (None, _) | (_, AffinityMode::None) => {}
        (Some(at), AffinityMode::Token) => {
            let suffix = format!("~{}", affinity.tags.text(address));
            body.splice(at..at, suffix.into_bytes());
        }
        (Some(_), AffinityMode::Cookie(name)) => {
            let secure = if exchange.client.is_tls { "; Secure" } else { "" };
            let (tag, path) = (affinity.tags.text(address), &affinity.cookie_path);
            let cookie = format!("{name}={tag}; Path={path}; HttpOnly; SameSite=Lax{secure}");
            response.head.append(b"Set-Cookie", cookie.as_bytes());
        }
    }
    response.head.remove(b"Content-Length");
    response.head.append_number(b"Content-Length", body.len() as u64);
    response.body = Body::Bytes(body.into());
    response
}

/// Whether the response may be that of a negotiation.
fn is_json(response: &Response) -> bool {
    let head = &response.head;
    let coding = head.get(b"Content-Encoding");
    let media_type = head.get(b"Content-Type").and_then(|value| value.split(|byte| *byte == b';').next());
    response.status() == 200
        && coding.is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"))
        && media_type.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

/// The body, up to the maximum size; whether this is all of it.
async fn read(
    body: &mut dyn BodyRead,
    client: &mut dyn ClientBody,
    idle_timeout: Duration,
) -> Result<(Vec<u8>, bool), GatewayError> {
    let (mut bytes, mut last_read) = (Vec::new(), Instant::now());
    let has_ended = poll_fn(|cx| {
        // A backend that stops reading the request may still respond completely.
        let _ = body.poll_upload(cx, client.as_body());
        while let Poll::Ready(chunk) = body.poll_fill(cx) {
            let n = match chunk? {
                Chunk::End => return Poll::Ready(Ok(true)),
                Chunk::Data(data) if bytes.len() + data.len() > MAX_NEGOTIATION_BYTES => {
                    return Poll::Ready(Ok(false));
                }
                Chunk::Data(data) => {
                    bytes.extend_from_slice(data);
                    data.len()
                }
            };
            body.consume(n);
            last_read = Instant::now();
        }
        ready!(client.poll_deadline(cx, last_read + idle_timeout));
        let detail = "no byte of the response to a negotiation arrived in time";
        Poll::Ready(Err(GatewayError::new(ErrorCode::BackendTruncated, detail)))
    })
    .await?;
    Ok((bytes, has_ended))
}
