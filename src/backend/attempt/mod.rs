//! One exchange with a service: connection, request out, response head in; and again where that is safe or asked for.

pub mod breaker;
mod resilience;
pub mod fallback;
mod endpoint_call;
pub mod retry;
mod retry_loop;
mod sliding_window;

pub use resilience::{QosConfig, Resilience, ResilienceConfig, ResilienceState, Scope};

use super::cluster::{AttemptReport, Cluster, Selection};
use crate::{
    net::h1::{backend::HeadError, hop_by_hop::HopByHop},
    pipeline::{
        body::{ClientBody, Framing},
        error::{ErrorCode, Fault, GatewayError},
        exchange::Exchange,
        head::Version,
        response::RouteResult,
    },
};
use endpoint_call::EndpointCall;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// When a backend is spoken to in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Never,
    /// Over TLS, if the backend agrees.
    IfNegotiated,
    /// Always; without TLS it is begun without asking.
    Always,
}

/// What a route says about its attempts.
#[derive(Clone, Debug)]
pub struct AttemptConfig {
    /// From dispatch to the response head, all attempts included, paused while upload bytes move.
    pub timeout: Duration,
    pub connect: Duration,
    /// How long an upload may stand still.
    pub body_idle: Duration,
    /// The client's Host goes to the backend, instead of the endpoint's authority.
    pub preserve_host: bool,
    /// What the backend is spoken to in, where it is not HTTP/2.
    pub version: Version,
    pub http2: Http2,
    /// What is done about services that fail; none: nothing.
    pub care: Option<Arc<Resilience>>,
}

impl AttemptConfig {
    /// The cluster that is asked when all attempts failed.
    pub fn fallback(&self) -> Option<&Arc<Cluster>> {
        self.care.as_ref()?.fallback.as_ref()?.cluster.as_ref()
    }
}

/// How the time of an exchange is running out.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// When that of the route began: it begins anew while upload bytes move.
    pub started_at: Instant,
    /// When that of the attempt began.
    pub per_try_deadline: Instant,
    /// How long the attempt may last.
    pub total_timeout: Option<Duration>,
    /// Bytes of body that were sent: sending them again is no progress.
    pub sent: u64,
    /// It was the time of the attempt that was over.
    pub is_per_try_timeout: bool,
}

impl Deadlines {
    fn new(started_at: Instant) -> Deadlines {
        Deadlines {
            started_at,
            per_try_deadline: started_at,
            total_timeout: None,
            sent: 0,
            is_per_try_timeout: false,
        }
    }

    /// When the attempt is over at the latest, if so much is allowed in all, and whether that is its own limit.
    fn end(&self, all: Duration) -> (Instant, bool) {
        let end = self.started_at + all;
        match self.total_timeout {
            Some(limit) if self.per_try_deadline + limit < end => (self.per_try_deadline + limit, true),
            _ => (end, false),
        }
    }
}

/// Takes the exchange to the cluster and brings the response back as soon as its head is there.
pub async fn run(
    cluster: &Cluster,
    terms: &AttemptConfig,
    hop: HopByHop,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    if terms.version == Version::Http10 && caller.framing() == Framing::Chunked {
        return Err(GatewayError::new(
            ErrorCode::RequestLength,
            "the service speaks HTTP/1.0, which wants to know the length of a body",
        ));
    }
    let mut outcome = match &terms.care {
        // Boxed: exchanges without all this need not carry its room around.
        Some(care) => Box::pin(retry_loop::run(cluster, terms, care, hop, exchange, caller)).await,
        None => {
            let picked = cluster.pick(exchange, &[])?;
            let mut time = Deadlines::new(exchange.now);
            call_endpoint(cluster, picked, terms, hop, &mut time, exchange, caller).await
        }
    };
    cluster.set_session_cookie(exchange, &mut outcome);
    outcome
}

/// Asks one endpoint, and tells its cluster what was seen.
async fn call_endpoint(
    cluster: &Cluster,
    picked: Selection,
    terms: &AttemptConfig,
    hop: HopByHop,
    time: &mut Deadlines,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let endpoint = picked.endpoint.clone();
    exchange.record.endpoint = Some(endpoint.label.clone());
    exchange.record.endpoint_secure = endpoint.transport_for(exchange).transport.tls.is_some();
    let began = time.per_try_deadline;
    let outcome = send_with_reconnect(picked, terms, hop, time, exchange, caller).await;
    cluster.record(&endpoint, classify_for_health(&outcome), began);
    outcome
}

/// What an outcome says about the endpoint.
fn classify_for_health(outcome: &RouteResult) -> AttemptReport {
    match outcome {
        Ok(answer) => AttemptReport::Answered(answer.status()),
        Err(cause) if cause.why.fault() == Fault::Backend => AttemptReport::Failed(cause.why),
        Err(_) => AttemptReport::Abandoned,
    }
}

/// How often a request is begun anew that the service says it has not begun: one that counts the requests of a connection
/// sends many at once to the next, and some of them to the one after.
const MAX_UNPROCESSED_RETRIES: u32 = 3;

/// Asks once; again where the connection turned out to be dead, or to be one that takes no more.
async fn send_with_reconnect(
    picked: Selection,
    terms: &AttemptConfig,
    hop: HopByHop,
    time: &mut Deadlines,
    exchange: &mut Exchange,
    caller: &mut dyn ClientBody,
) -> RouteResult {
    let Selection { endpoint, lease } = picked;
    let mut leg = EndpointCall::new(&endpoint, terms, hop, time);
    let (mut fresh, mut refused) = (false, 0);
    loop {
        exchange.record.attempts += 1;
        let mut conn = leg.connect(exchange, fresh, caller).await?;
        match leg.send(&mut conn, exchange, caller).await {
            Ok(()) => return leg.response(conn, lease, exchange),
            Err(HeadError::Failed(cause)) => return Err(cause),
            Err(HeadError::Closed(_)) if conn.is_reused() && !fresh && is_replayable(exchange, caller) => {
                fresh = true
            }
            // What was not begun can be begun elsewhere, whatever it is.
            Err(HeadError::NotStarted(_))
                if refused < MAX_UNPROCESSED_RETRIES && caller.bytes_received() == 0 =>
            {
                refused += 1
            }
            Err(HeadError::NotStarted(error)) => {
                let detail = format!("the backend {} refused the request: {error}", endpoint.label);
                return Err(GatewayError::new(ErrorCode::BackendReset, detail));
            }
            Err(HeadError::Closed(error)) => {
                return Err(closed_error(conn.is_upload_done(), &endpoint.label, &error));
            }
        }
    }
}

/// The connection ended without a byte of an answer: while the request was sent, or after.
#[cold]
fn closed_error(sent: bool, label: &str, error: &std::io::Error) -> GatewayError {
    let (why, when) = match sent {
        true => (ErrorCode::BackendReset, "without an answer"),
        false => (ErrorCode::BackendSend, "while it was sent the request"),
    };
    GatewayError::new(why, format!("the backend {label} closed the connection {when}: {error}"))
}

/// Without being configured, only what is harmless is repeated: idempotent, and no byte of body gone.
fn is_replayable(exchange: &Exchange, caller: &dyn ClientBody) -> bool {
    is_idempotent(exchange.request.method()) && caller.bytes_received() == 0
}

/// RFC 9110 9.2.2.
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}
