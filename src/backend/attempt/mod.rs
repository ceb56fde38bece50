//! One exchange with a service: connection, request out, response head in; and again where that is safe or asked for.

pub mod breaker;
mod care;
pub mod fallback;
mod leg;
pub mod retry;
mod several;
mod window;

pub use care::{Care, Keeps, Quality, Scope, Settings};

use super::cluster::{Cluster, Picked, Shown};
use crate::{
    pipeline::{
        answer::Outcome,
        body::{Caller, Framing},
        cause::{Cause, Fault, Why},
        exchange::Exchange,
        head::Version,
    },
    wire::h1::{backend::HeadError, hop::Hop},
};
use leg::Leg;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// When a backend is spoken to in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Never,
    /// Over TLS, if the backend agrees.
    OverTls,
    /// Always; without TLS it is begun without asking.
    Always,
}

/// What a route says about its attempts.
#[derive(Clone, Debug)]
pub struct Terms {
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
    pub care: Option<Arc<Care>>,
}

impl Terms {
    /// The cluster that is asked when all attempts failed.
    pub fn fallback(&self) -> Option<&Arc<Cluster>> {
        self.care.as_ref()?.fallback.as_ref()?.cluster.as_ref()
    }
}

/// How the time of an exchange is running out.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// When that of the route began: it begins anew while upload bytes move.
    pub began: Instant,
    /// When that of the attempt began.
    pub attempt: Instant,
    /// How long the attempt may last.
    pub limit: Option<Duration>,
    /// Bytes of body that were sent: sending them again is no progress.
    pub sent: u64,
    /// It was the time of the attempt that was over.
    pub overdue: bool,
}

impl Time {
    fn new(began: Instant) -> Time {
        Time { began, attempt: began, limit: None, sent: 0, overdue: false }
    }

    /// When the attempt is over at the latest, if so much is allowed in all, and whether that is its own limit.
    fn end(&self, all: Duration) -> (Instant, bool) {
        let end = self.began + all;
        match self.limit {
            Some(limit) if self.attempt + limit < end => (self.attempt + limit, true),
            _ => (end, false),
        }
    }
}

/// Takes the exchange to the cluster and brings the response back as soon as its head is there.
pub async fn run(
    cluster: &Cluster,
    terms: &Terms,
    hop: Hop,
    x: &mut Exchange,
    caller: &mut dyn Caller,
) -> Outcome {
    if terms.version == Version::Http10 && caller.framing() == Framing::Chunked {
        return Err(Cause::new(
            Why::RequestLength,
            "the service speaks HTTP/1.0, which wants to know the length of a body",
        ));
    }
    let mut outcome = match &terms.care {
        // Boxed: exchanges without all this need not carry its room around.
        Some(care) => Box::pin(several::run(cluster, terms, care, hop, x, caller)).await,
        None => {
            let picked = cluster.pick(x, &[])?;
            let mut time = Time::new(x.now);
            attempt(cluster, picked, terms, hop, &mut time, x, caller).await
        }
    };
    cluster.mark(x, &mut outcome);
    outcome
}

/// Asks one endpoint, and tells its cluster what was seen.
async fn attempt(
    cluster: &Cluster,
    picked: Picked,
    terms: &Terms,
    hop: Hop,
    time: &mut Time,
    x: &mut Exchange,
    caller: &mut dyn Caller,
) -> Outcome {
    let endpoint = picked.endpoint.clone();
    x.record.endpoint = Some(endpoint.label.clone());
    x.record.endpoint_secure = endpoint.way(x).transport.tls.is_some();
    let began = time.attempt;
    let outcome = with(picked, terms, hop, time, x, caller).await;
    cluster.show(&endpoint, shown(&outcome), began);
    outcome
}

/// What an outcome says about the endpoint.
fn shown(outcome: &Outcome) -> Shown {
    match outcome {
        Ok(answer) => Shown::Answered(answer.status()),
        Err(cause) if cause.why.fault() == Fault::Backend => Shown::Failed(cause.why),
        Err(_) => Shown::Abandoned,
    }
}

/// How often a request is begun anew that the service says it has not begun: one that counts the requests of a connection
/// sends many at once to the next, and some of them to the one after.
const REFUSALS: u32 = 3;

/// Asks once; again where the connection turned out to be dead, or to be one that takes no more.
async fn with(
    picked: Picked,
    terms: &Terms,
    hop: Hop,
    time: &mut Time,
    x: &mut Exchange,
    caller: &mut dyn Caller,
) -> Outcome {
    let Picked { endpoint, lease } = picked;
    let mut leg = Leg::new(&endpoint, terms, hop, time);
    let (mut fresh, mut refused) = (false, 0);
    loop {
        x.record.attempts += 1;
        let mut conn = leg.connect(x, fresh, caller).await?;
        match leg.converse(&mut conn, x, caller).await {
            Ok(()) => return leg.answer(conn, lease, x),
            Err(HeadError::Failed(cause)) => return Err(cause),
            Err(HeadError::Silent(_)) if conn.is_reused() && !fresh && may_repeat(x, caller) => fresh = true,
            // What was not begun can be begun elsewhere, whatever it is.
            Err(HeadError::Refused(_)) if refused < REFUSALS && caller.received() == 0 => refused += 1,
            Err(HeadError::Refused(error)) => {
                let detail = format!("the backend {} refused the request: {error}", endpoint.label);
                return Err(Cause::new(Why::BackendReset, detail));
            }
            Err(HeadError::Silent(error)) => {
                return Err(silence(conn.is_upload_done(), &endpoint.label, &error));
            }
        }
    }
}

/// The connection ended without a byte of an answer: while the request was sent, or after.
#[cold]
fn silence(sent: bool, label: &str, error: &std::io::Error) -> Cause {
    let (why, when) = match sent {
        true => (Why::BackendReset, "without an answer"),
        false => (Why::BackendSend, "while it was sent the request"),
    };
    Cause::new(why, format!("the backend {label} closed the connection {when}: {error}"))
}

/// Without being configured, only what is harmless is repeated: idempotent, and no byte of body gone.
fn may_repeat(x: &Exchange, caller: &dyn Caller) -> bool {
    is_idempotent(x.req.method()) && caller.received() == 0
}

/// RFC 9110 9.2.2.
pub fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}
