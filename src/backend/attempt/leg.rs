//! One attempt: a connection, the request out, the response head in.

use super::{
    super::{
        balance::Lease as Counted,
        endpoint::{Endpoint, Transport},
    },
    Http2, Terms, Time,
};
use crate::{
    pipeline::{
        answer::{Answer, Outcome},
        body::{Body, BodyRead, Caller},
        cause::{Cause, Why},
        exchange::Exchange,
        head::{Head, Known},
        lease::{Lease, Leased},
        switch::Switch,
    },
    wire::{
        call::Call,
        dial::{Goal, Offer, dial},
        gate::{Entered, Gate, Limit, Refused},
        h1::{backend::HeadError, hop::Hop, host},
        h2::pool::{self as shared, Opening, Unopened},
        pool,
    },
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// One attempt with one endpoint.
pub struct Leg<'a> {
    endpoint: &'a Arc<Endpoint>,
    terms: &'a Terms,
    hop: Hop,
    time: &'a mut Time,
    head: Head,
}

impl<'a> Leg<'a> {
    pub fn new(endpoint: &'a Arc<Endpoint>, terms: &'a Terms, hop: Hop, time: &'a mut Time) -> Leg<'a> {
        Leg { endpoint, terms, hop, time, head: Head::default() }
    }

    /// A connection: one that is there, or a new one.
    pub async fn connect(
        &mut self,
        x: &Exchange,
        fresh: bool,
        caller: &mut dyn Caller,
    ) -> Result<Call, Cause> {
        let transport = &self.endpoint.way(x).transport;
        let (offer, said) = (self.offer(transport), transport.said(x));
        if !fresh && may_be_kept(offer, transport) && self.endpoint.port.is_some() {
            let take =
                |cx: &mut Context| pool::take(transport.pool.key(), &transport.dial, said.as_ref(), cx);
            let idle = poll_fn(|cx| Poll::Ready(take(cx))).await;
            if let Some(conn) = idle {
                return Ok(Call::H1(conn));
            }
        }
        let port = self.endpoint.port.unwrap_or_else(|| asked_port(x));
        if offer != Offer::Http1 {
            // Boxed: few speak it, and others need not carry its room around.
            return Box::pin(self.share(transport, transport.goal(port, said), offer, caller)).await;
        }
        let permit = match &transport.gate {
            None => None,
            // Boxed: few have a limit, and others need not carry its room around.
            Some(gate) => match Box::pin(self.enter(gate, transport, caller)).await? {
                Entered::Take(conn) => return Ok(Call::H1(conn)),
                Entered::Dial(permit) => Some(permit),
                Entered::Room(never) => match never {},
            },
        };
        let (end, own) = self.time.end(self.terms.timeout);
        let within = self.terms.connect.min(end.saturating_duration_since(Instant::now()));
        let dialled = dial(&transport.goal(port, said), transport.pool.key(), within).await;
        self.time.overdue = dialled.is_err() && own && Instant::now() >= end;
        let mut conn = dialled?;
        // Without a port of its own an endpoint is many: its connections are not kept.
        conn.once = self.endpoint.port.is_none();
        conn.admit(permit, transport.lifetime);
        Ok(Call::H1(conn))
    }

    /// A stream on a connection that others use as well, or what TLS brings instead.
    async fn share(
        &mut self,
        transport: &Transport,
        goal: Goal<'_>,
        offer: Offer,
        caller: &mut dyn Caller,
    ) -> Result<Call, Cause> {
        let (end, own) = self.time.end(self.terms.timeout);
        let opening = Opening {
            goal: &goal,
            key: transport.pool.key(),
            offer,
            lifetime: transport.lifetime,
            gate: transport.gate.as_ref(),
            connect: self.terms.connect,
            end,
        };
        let gone = |cx: &mut Context| caller.poll_gone(cx);
        let opened = match self.endpoint.port {
            Some(_) => shared::open(&opening, gone).await,
            None => shared::alone(&opening, gone).await,
        };
        opened.map_err(|error| match error {
            Unopened::Refused(refused) => self.refused(transport.gate.as_ref(), refused, own),
            Unopened::Failed(cause) => {
                self.time.overdue = own && Instant::now() >= end;
                cause
            }
        })
    }

    /// What is asked of the backend: a WebSocket begins on a connection of HTTP/1.1, whatever else is spoken.
    fn offer(&self, transport: &Transport) -> Offer {
        match self.terms.http2 {
            _ if self.hop.websocket => Offer::Http1,
            Http2::Always => Offer::Http2,
            Http2::OverTls if transport.tls.is_some() => Offer::Either,
            Http2::OverTls | Http2::Never => Offer::Http1,
        }
    }

    /// A permit for a connection, or a connection that somebody is done with.
    async fn enter(
        &mut self,
        gate: &Arc<Gate>,
        transport: &Transport,
        caller: &mut dyn Caller,
    ) -> Result<Entered, Cause> {
        if transport.announces.is_some() && gate.is_full() {
            pool::make_room(transport.pool.key());
        }
        let (end, own) = self.time.end(self.terms.timeout);
        let gone = |cx: &mut Context| caller.poll_gone(cx);
        let entered = gate.enter(transport.pool.key(), end, gone).await;
        entered.map_err(|refused| self.refused(Some(gate), refused, own))
    }

    #[cold]
    fn refused(&mut self, gate: Option<&Arc<Gate>>, refused: Refused, own: bool) -> Cause {
        match (refused, gate) {
            (Refused::Gone, _) => Cause::gone(),
            (Refused::Full | Refused::Late, Some(gate)) => self.busy(gate, refused),
            _ => {
                self.time.overdue = own;
                self.too_late(false)
            }
        }
    }

    #[cold]
    fn busy(&self, gate: &Gate, refused: Refused) -> Cause {
        let Limit { connections, queue, .. } = gate.limit();
        let then = match refused {
            Refused::Full => format!("{queue} requests wait already"),
            _ => "none was given back in time".to_owned(),
        };
        let detail =
            format!("all {connections} connections to {} are in use, and {then}", self.endpoint.label);
        Cause::new(Why::BackendBusy, detail)
            .with(|more| more.fields.push(("Retry-After".into(), "1".to_owned())))
    }

    /// Sends the request and waits for the head of the response; an upload may go on behind it.
    pub async fn converse(
        &mut self,
        conn: &mut Call,
        x: &Exchange,
        caller: &mut dyn Caller,
    ) -> Result<(), HeadError> {
        let preserved = self.terms.preserve_host.then(|| x.req.known(Known::Host)).flatten();
        let host = preserved.unwrap_or(&self.endpoint.way(x).authority);
        conn.begin(&x.req, host, caller.framing(), self.hop, self.terms.version);
        let for_head = x.req.method() == b"HEAD";
        poll_fn(|cx| {
            let uploaded = match conn.poll_upload(cx, caller.as_body()) {
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(HeadError::Failed(cause))),
                ready => ready.is_ready(),
            };
            while let Poll::Ready(head) = conn.poll_head(cx, &mut self.head, for_head) {
                if head.is_err() || self.head.status >= 200 || self.head.status == 101 {
                    return Poll::Ready(head);
                }
                caller.interim(&self.head, cx);
            }
            if conn.sent() > self.time.sent {
                self.progress(conn.sent());
            }
            let stalled = !uploaded && !conn.is_choked();
            self.patience(cx, caller, stalled)
        })
        .await
    }

    /// Upload bytes move: the time begins anew.
    fn progress(&mut self, sent: u64) {
        self.time.sent = sent;
        self.time.began = Instant::now();
        self.time.attempt = self.time.began;
    }

    /// Nothing came: does anybody still wait, and is there time?
    fn patience(
        &mut self,
        cx: &mut Context,
        caller: &mut dyn Caller,
        stalled: bool,
    ) -> Poll<Result<(), HeadError>> {
        if caller.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(HeadError::Failed(Cause::gone())));
        }
        // Until the upload is through it is the client that is waited for, if its patience is the shorter one; the
        // service is not to blame then.
        let Terms { timeout, body_idle, .. } = *self.terms;
        let (end, own) = match stalled {
            true => (self.time.began + timeout.min(body_idle), false),
            false => self.time.end(timeout),
        };
        if caller.poll_alarm(cx, end).is_pending() {
            return Poll::Pending;
        }
        self.time.overdue = own;
        Poll::Ready(Err(HeadError::Failed(self.too_late(stalled && body_idle < timeout))))
    }

    #[cold]
    fn too_late(&self, stalled: bool) -> Cause {
        if stalled {
            let detail = format!("the request body stood still for {:?}", self.terms.body_idle);
            return Cause::new(Why::RequestTimeout, detail);
        }
        let limit = self.time.limit.filter(|_| self.time.overdue).unwrap_or(self.terms.timeout);
        let detail = format!("the backend {} did not answer within {limit:?}", self.endpoint.label);
        Cause::new(Why::BackendTimeout, detail)
    }

    /// The answer, its body still on the connection.
    pub fn answer(self, call: Call, lease: Option<Counted>, x: &mut Exchange) -> Outcome {
        x.record.backend = x.record.wanted.then(|| x.now.elapsed());
        let body = match call {
            Call::H1(conn) if self.head.status == 101 => {
                let leases = lease.map(Lease::new).into_iter().collect();
                let switch = Some(Switch { far: conn, leases });
                return Ok(Answer { head: self.head, switch, ..Answer::default() });
            }
            call => call.into_body(),
        };
        let body: Box<dyn BodyRead> = match lease {
            Some(lease) => Box::new(Leased::new(body, lease)),
            None => body,
        };
        Ok(Answer { head: self.head, body: Body::Stream(body), ..Answer::default() })
    }
}

/// Whether a kept connection of HTTP/1.1 will do: one that others use for it is no reason to speak it, as long as the
/// backend may know better.
fn may_be_kept(offer: Offer, transport: &Transport) -> bool {
    match offer {
        Offer::Http1 => true,
        Offer::Http2 => false,
        Offer::Either => shared::is_http1(transport.pool.key()),
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
