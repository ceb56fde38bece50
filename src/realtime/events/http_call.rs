//! One request to a handler and its complete response, with the pooled client of `backend/`.

use crate::{
    backend::attempt::{self, AttemptConfig},
    net::{buffered_client::BufferedClient, h1::hop_by_hop::HopByHop},
    pipeline::{
        body::Body,
        collect::collect_response,
        error::{ErrorCode, GatewayError},
        exchange::{Exchange, Peer},
        head::Head,
    },
    realtime::context::HandlerBackend,
};
use bytes::Bytes;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// How long an event waits for the first result of service discovery.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A complete response.
#[derive(Debug)]
pub struct HandlerResponse {
    pub head: Head,
    pub body: Bytes,
}

impl HandlerResponse {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// A header field with visible characters.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.get(name.as_bytes())?).ok()
    }
}

/// Why there is no response; a text for the log of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No connection, or it was lost.
    Connection(String),
    /// No complete response in time.
    Timeout,
    /// A response that is too large or malformed.
    Response(String),
}

impl CallError {
    /// The text.
    pub fn detail(&self) -> String {
        match self {
            CallError::Connection(detail) | CallError::Response(detail) => detail.clone(),
            CallError::Timeout => "the event handler did not respond in time".to_owned(),
        }
    }

    fn from_gateway(error: &GatewayError) -> CallError {
        match error.code {
            ErrorCode::BackendTimeout => CallError::Timeout,
            ErrorCode::BackendMalformed => CallError::Response(error.detail.to_string()),
            _ => CallError::Connection(error.detail.to_string()),
        }
    }
}

/// Sends the request and reads at most `max_body` bytes of the response, all within `timeout`. Redirects are not followed.
/// Dropping the future closes the connection.
pub async fn call(
    backend: &HandlerBackend,
    head: Head,
    body: Bytes,
    timeout: Duration,
    max_body: usize,
) -> Result<HandlerResponse, CallError> {
    match tokio::time::timeout(timeout, Box::pin(send(backend, head, body, timeout, max_body))).await {
        Ok(response) => response,
        Err(_) => Err(CallError::Timeout),
    }
}

async fn send(
    backend: &HandlerBackend,
    head: Head,
    body: Bytes,
    timeout: Duration,
    max_body: usize,
) -> Result<HandlerResponse, CallError> {
    let (cluster, now) = (&backend.cluster, Instant::now());
    let own_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // The exchange belongs to no client connection: it is not counted in the shard of a worker.
    let mut exchange = Box::new(Exchange::new(Peer::new(own_address, own_address, false), usize::MAX, now));
    exchange.request = head;
    let mut caller = match exchange.request.method() {
        b"POST" => BufferedClient::with_declared_length(body),
        _ => BufferedClient::new(body, None),
    };
    if let Some(source) = cluster.pending_discovery(&exchange) {
        source.wait_ready(now + DISCOVERY_TIMEOUT.min(timeout)).await;
    }
    let config = AttemptConfig { timeout, ..backend.terms.clone() };
    let response = attempt::run(cluster, &config, HopByHop::default(), &mut exchange, &mut caller).await;
    let response = response.map_err(|error| CallError::from_gateway(&error))?;
    let body = read_body(response.body, &mut caller, timeout, max_body).await?;
    Ok(HandlerResponse { head: response.head, body })
}

/// The complete body, of at most `max_body` bytes.
async fn read_body(
    body: Body,
    caller: &mut BufferedClient,
    timeout: Duration,
    max_body: usize,
) -> Result<Bytes, CallError> {
    let stream = match body {
        Body::Empty => return Ok(Bytes::new()),
        Body::Bytes(bytes) => return Ok(bytes),
        Body::Stream(stream) => stream,
    };
    let mut remaining = max_body;
    let reserve = |len: usize| match remaining.checked_sub(len) {
        Some(left) => {
            remaining = left;
            Ok(())
        }
        None => Err(GatewayError::new(
            ErrorCode::BackendMalformed,
            format!("the response of the event handler is larger than {max_body} bytes"),
        )),
    };
    let collected = collect_response(stream, caller, timeout, None, reserve).await;
    collected.map_err(|error| CallError::from_gateway(&error))
}
