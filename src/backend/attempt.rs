//! One exchange with one endpoint: connection, request out, response head in; and again where that is safe.

use super::{cluster::Cluster, cluster::Endpoint};
use crate::{
    pipeline::{
        answer::{Answer, Outcome},
        body::{Body, BodyRead, Caller, Framing},
        cause::{Cause, Why},
        exchange::Exchange,
        head::{Head, Known, Version},
        lease::Leased,
    },
    wire::{
        dial::{Goal, dial},
        h1::{
            backend::{BackendConn, HeadError},
            hop::Hop,
            host,
        },
        pool,
    },
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

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
    let (endpoint, lease) = cluster.pick()?;
    x.record.endpoint = Some(endpoint.label.clone());
    let mut leg = Leg { endpoint, terms, hop, began: x.now, head: Head::default() };
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

struct Leg<'a> {
    endpoint: &'a Arc<Endpoint>,
    terms: &'a Terms,
    hop: Hop,
    /// When the time of the route began to run.
    began: Instant,
    head: Head,
}

impl Leg<'_> {
    /// A connection: an idle one, or a new one.
    async fn connect(&self, x: &Exchange, fresh: bool) -> Result<Box<BackendConn>, Cause> {
        let state = &self.endpoint.state;
        if !fresh && self.endpoint.port.is_some() {
            let idle = poll_fn(|cx| Poll::Ready(pool::take(state.pool.key(), cx))).await;
            if let Some(conn) = idle {
                return Ok(conn);
            }
        }
        let port = self.endpoint.port.unwrap_or_else(|| asked_port(x));
        let goal = Goal { name: &state.name, port, preferred: &state.preferred };
        let mut conn = dial(&goal, state.pool.key(), self.terms.connect.min(self.terms.timeout)).await?;
        // Without a port of its own an endpoint is many: its connections are not kept.
        conn.once = self.endpoint.port.is_none();
        Ok(conn)
    }

    /// Sends the request and waits for the head of the response; an upload may go on behind it.
    async fn converse(
        &mut self,
        conn: &mut BackendConn,
        x: &Exchange,
        caller: &mut dyn Caller,
    ) -> Result<(), HeadError> {
        let preserved = self.terms.preserve_host.then(|| x.req.known(Known::Host)).flatten();
        let host = preserved.unwrap_or(&self.endpoint.authority);
        conn.begin(&x.req, host, caller.framing(), self.hop, self.terms.version);
        let for_head = x.req.method() == b"HEAD";
        let (mut moved, mut began) = (0, self.began);
        poll_fn(|cx| {
            let uploaded = match conn.poll_upload(cx, caller.as_body()) {
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(HeadError::Failed(cause))),
                ready => ready.is_ready(),
            };
            while let Poll::Ready(head) = conn.poll_head(cx, &mut self.head, for_head) {
                if head.is_err() || self.head.status >= 200 {
                    return Poll::Ready(head);
                }
                caller.interim(&self.head, cx);
            }
            if conn.sent() != moved {
                (moved, began) = (conn.sent(), Instant::now());
            }
            let stalled = !uploaded && !conn.is_choked();
            self.patience(cx, caller, uploaded, stalled, began)
        })
        .await
    }

    /// Nothing came: does anybody still wait, and is there time?
    fn patience(
        &self,
        cx: &mut Context,
        caller: &mut dyn Caller,
        uploaded: bool,
        stalled: bool,
        began: Instant,
    ) -> Poll<Result<(), HeadError>> {
        if uploaded && caller.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(HeadError::Failed(Cause::gone())));
        }
        // Until the upload is through it is the client that is waited for, if its patience is the shorter one.
        let stalled = stalled && self.terms.body_idle < self.terms.timeout;
        let limit = if stalled { self.terms.body_idle } else { self.terms.timeout };
        if caller.poll_alarm(cx, began + limit).is_ready() {
            if stalled {
                let detail = format!("the request body stood still for {limit:?}");
                return Poll::Ready(Err(HeadError::Failed(Cause::new(Why::RequestTimeout, detail))));
            }
            let detail =
                format!("the backend {} did not answer within {:?}", self.endpoint.label, self.terms.timeout);
            return Poll::Ready(Err(HeadError::Failed(Cause::new(Why::BackendTimeout, detail))));
        }
        Poll::Pending
    }

    fn answer(
        self,
        conn: Box<BackendConn>,
        lease: Option<super::balance::Lease>,
        x: &mut Exchange,
    ) -> Outcome {
        x.record.backend = x.record.wanted.then(|| x.now.elapsed());
        let body: Box<dyn BodyRead> = match lease {
            Some(lease) => Box::new(Leased::new(conn, lease)),
            None => conn,
        };
        Ok(Answer { head: self.head, body: Body::Stream(body), close: false })
    }
}

/// The port that the client asked for: that of its Host, or of the connection.
fn asked_port(x: &Exchange) -> u16 {
    let host = x.req.known(Known::Host).map(host::split);
    let port = host.and_then(|(_, port)| std::str::from_utf8(port?).ok()?.parse().ok());
    port.unwrap_or(if x.req.known(Known::Host).is_some() {
        if x.peer.tls { 443 } else { 80 }
    } else {
        x.peer.local.port()
    })
}
