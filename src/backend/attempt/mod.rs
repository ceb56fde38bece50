//! One exchange with one endpoint: connection, request out, response head in; and again where that is safe.

mod leg;

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
use std::time::Duration;

/// What a route says about its attempts.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// From dispatch to the response head, all attempts included, paused while upload bytes move.
    pub timeout: Duration,
    pub connect: Duration,
    /// How long an upload may stand still.
    pub body_idle: Duration,
    /// The client's Host goes to the backend, instead of the endpoint's authority.
    pub preserve_host: bool,
    /// What the backend is spoken to in.
    pub version: Version,
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
    let picked = cluster.pick(x, &[])?;
    let endpoint = picked.endpoint.clone();
    x.record.endpoint = Some(endpoint.label.clone());
    x.record.endpoint_secure = endpoint.way(x).transport.tls.is_some();
    let outcome = with(picked, terms, hop, x, caller).await;
    cluster.show(&endpoint, shown(&outcome), x.now);
    outcome
}

/// What an outcome says about the endpoint.
fn shown(outcome: &Outcome) -> Shown {
    match outcome {
        Ok(answer) => Shown::Answered(answer.status()),
        Err(cause) if cause.why.fault() == Fault::Client => Shown::Abandoned,
        Err(cause) => Shown::Failed(cause.why),
    }
}

async fn with(picked: Picked, terms: &Terms, hop: Hop, x: &mut Exchange, caller: &mut dyn Caller) -> Outcome {
    let Picked { endpoint, lease } = picked;
    let mut leg = Leg::new(&endpoint, terms, hop, x.now);
    let mut fresh = false;
    loop {
        x.record.attempts += 1;
        let mut conn = leg.connect(x, fresh).await?;
        match leg.converse(&mut conn, x, caller).await {
            Ok(()) => return leg.answer(conn, lease, x),
            Err(HeadError::Failed(cause)) => return Err(cause),
            Err(HeadError::Silent(_)) if conn.reused && !fresh && may_repeat(x, caller) => fresh = true,
            Err(HeadError::Silent(error)) => {
                let detail = format!(
                    "the backend {} closed the connection without an answer: {error}",
                    endpoint.label
                );
                return Err(Cause::new(Why::BackendReset, detail));
            }
        }
    }
}

/// Without being configured, only what is harmless is repeated: idempotent (RFC 9110 9.2.2), and no byte of body gone.
fn may_repeat(x: &Exchange, caller: &dyn Caller) -> bool {
    let idempotent = matches!(x.req.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE");
    idempotent && caller.received() == 0
}
