//! One attempt: a connection, the request out, the response head in.

use super::{
    super::{
        balance::InFlightGuard as Counted,
        endpoint::{Endpoint, Transport},
    },
    AttemptConfig, Deadlines, Http2,
};
use crate::{
    net::{
        backend_request::BackendRequest,
        connect::{AlpnOffer, ConnectTarget, open_http1},
        connection_limit::{AcquireError, Acquired, ConnectionLimit, ConnectionLimiter},
        h1::{backend::HeadError, hop_by_hop::HopByHop, host},
        h2::pool::{self as shared, OpenError, OpenRequest},
        pool,
    },
    pipeline::{
        body::{Body, BodyRead, ClientBody},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        guard::{GuardedBody, ResponseGuard},
        head::{Head, KnownHeader},
        response::{Response, RouteResult},
        upgrade::Upgrade,
    },
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// One attempt with one endpoint.
pub struct EndpointCall<'a> {
    endpoint: &'a Arc<Endpoint>,
    config: &'a AttemptConfig,
    hop: HopByHop,
    deadlines: &'a mut Deadlines,
    head: Head,
}

impl<'a> EndpointCall<'a> {
    pub fn new(
        endpoint: &'a Arc<Endpoint>,
        config: &'a AttemptConfig,
        hop: HopByHop,
        deadlines: &'a mut Deadlines,
    ) -> EndpointCall<'a> {
        EndpointCall { endpoint, config, hop, deadlines, head: Head::default() }
    }

    /// A connection: one that is there, or a new one.
    pub async fn connect(
        &mut self,
        exchange: &Exchange,
        fresh: bool,
        caller: &mut dyn ClientBody,
    ) -> Result<BackendRequest, GatewayError> {
        let transport = &self.endpoint.transport_for(exchange).transport;
        let (offer, said) = (self.alpn_offer(transport), transport.proxy_header(exchange));
        if !fresh && may_reuse_pooled(offer, transport) && self.endpoint.port.is_some() {
            let take =
                |cx: &mut Context| pool::check_out(transport.pool.key(), &transport.dial, said.as_ref(), cx);
            let idle = poll_fn(|cx| Poll::Ready(take(cx))).await;
            if let Some(conn) = idle {
                return Ok(BackendRequest::H1(conn));
            }
        }
        let port = self.endpoint.port.unwrap_or_else(|| requested_port(exchange));
        if offer != AlpnOffer::Http1 {
            // Boxed: few speak it, and others need not carry its room around.
            return Box::pin(self.open_shared_stream(
                transport,
                transport.connect_target(port, said),
                offer,
                caller,
            ))
            .await;
        }
        let permit = match &transport.limiter {
            None => None,
            // Boxed: few have a limit, and others need not carry its room around.
            Some(gate) => match Box::pin(self.acquire_connection(gate, transport, caller)).await? {
                Acquired::Reuse(conn) => return Ok(BackendRequest::H1(conn)),
                Acquired::Connect(permit) => Some(permit),
                Acquired::StreamSlot(never) => match never {},
            },
        };
        let (end, own) = self.deadlines.end(self.config.timeout);
        let within = self.config.connect.min(end.saturating_duration_since(Instant::now()));
        let dialled = open_http1(&transport.connect_target(port, said), transport.pool.key(), within).await;
        self.deadlines.is_per_try_timeout = dialled.is_err() && own && Instant::now() >= end;
        let mut conn = dialled?;
        // Without a port of its own an endpoint is many: its connections are not kept.
        conn.single_use = self.endpoint.port.is_none();
        conn.attach_permit(permit, transport.max_lifetime);
        Ok(BackendRequest::H1(conn))
    }

    /// A stream on a connection that others use as well, or what TLS brings instead.
    async fn open_shared_stream(
        &mut self,
        transport: &Transport,
        goal: ConnectTarget<'_>,
        offer: AlpnOffer,
        caller: &mut dyn ClientBody,
    ) -> Result<BackendRequest, GatewayError> {
        let (end, own) = self.deadlines.end(self.config.timeout);
        let opening = OpenRequest {
            target: &goal,
            key: transport.pool.key(),
            offer,
            max_lifetime: transport.max_lifetime,
            limiter: transport.limiter.as_ref(),
            connect_timeout: self.config.connect,
            deadline: end,
        };
        let gone = |cx: &mut Context| caller.poll_closed(cx);
        let opened = match self.endpoint.port {
            Some(_) => shared::open(&opening, gone).await,
            None => shared::open_exclusive(&opening, gone).await,
        };
        opened.map_err(|error| match error {
            OpenError::Refused(refused) => self.acquire_error(transport.limiter.as_ref(), refused, own),
            OpenError::Failed(cause) => {
                self.deadlines.is_per_try_timeout = own && Instant::now() >= end;
                cause
            }
        })
    }

    /// What is asked of the backend: a WebSocket begins on a connection of HTTP/1.1, whatever else is spoken.
    fn alpn_offer(&self, transport: &Transport) -> AlpnOffer {
        match self.config.http2 {
            _ if self.hop.websocket => AlpnOffer::Http1,
            Http2::Always => AlpnOffer::Http2,
            Http2::IfNegotiated if transport.tls.is_some() => AlpnOffer::Both,
            Http2::IfNegotiated | Http2::Never => AlpnOffer::Http1,
        }
    }

    /// A permit for a connection, or a connection that somebody is done with.
    async fn acquire_connection(
        &mut self,
        gate: &Arc<ConnectionLimiter>,
        transport: &Transport,
        caller: &mut dyn ClientBody,
    ) -> Result<Acquired, GatewayError> {
        if transport.proxy_protocol.is_some() && gate.is_full() {
            pool::evict_oldest(transport.pool.key());
        }
        let (end, own) = self.deadlines.end(self.config.timeout);
        let gone = |cx: &mut Context| caller.poll_closed(cx);
        let entered = gate.acquire(transport.pool.key(), end, gone).await;
        entered.map_err(|refused| self.acquire_error(Some(gate), refused, own))
    }

    #[cold]
    fn acquire_error(
        &mut self,
        gate: Option<&Arc<ConnectionLimiter>>,
        refused: AcquireError,
        own: bool,
    ) -> GatewayError {
        match (refused, gate) {
            (AcquireError::ClientClosed, _) => GatewayError::client_closed(),
            (AcquireError::QueueFull | AcquireError::QueueTimeout, Some(gate)) => {
                self.connection_limit_error(gate, refused)
            }
            _ => {
                self.deadlines.is_per_try_timeout = own;
                self.timeout_error(false)
            }
        }
    }

    #[cold]
    fn connection_limit_error(&self, gate: &ConnectionLimiter, refused: AcquireError) -> GatewayError {
        let ConnectionLimit { max_connections: connections, max_pending: queue, .. } = gate.limit();
        let then = match refused {
            AcquireError::QueueFull => format!("{queue} requests wait already"),
            _ => "none was given back in time".to_owned(),
        };
        let detail =
            format!("all {connections} connections to {} are in use, and {then}", self.endpoint.label);
        GatewayError::new(ErrorCode::BackendConnectionLimit, detail)
            .with_details(|more| more.headers.push(("Retry-After".into(), "1".to_owned())))
    }

    /// Sends the request and waits for the head of the response; an upload may go on behind it.
    pub async fn send(
        &mut self,
        conn: &mut BackendRequest,
        exchange: &Exchange,
        caller: &mut dyn ClientBody,
    ) -> Result<(), HeadError> {
        let preserved =
            self.config.preserve_host.then(|| exchange.request.get_known(KnownHeader::Host)).flatten();
        let host = preserved.unwrap_or(&self.endpoint.transport_for(exchange).authority);
        conn.send_head(&exchange.request, host, caller.framing(), self.hop, self.config.version);
        let for_head = exchange.request.method() == b"HEAD";
        poll_fn(|cx| {
            let uploaded = match conn.poll_upload(cx, caller.as_body()) {
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(HeadError::Failed(cause))),
                ready => ready.is_ready(),
            };
            while let Poll::Ready(head) = conn.poll_head(cx, &mut self.head, for_head) {
                if head.is_err() || self.head.status >= 200 || self.head.status == 101 {
                    return Poll::Ready(head);
                }
                caller.send_informational(&self.head, cx);
            }
            if conn.bytes_sent() > self.deadlines.sent {
                self.on_upload_progress(conn.bytes_sent());
            }
            let stalled = !uploaded && !conn.is_write_blocked();
            self.poll_deadlines(cx, caller, stalled)
        })
        .await
    }

    /// Upload bytes move: the time begins anew.
    fn on_upload_progress(&mut self, sent: u64) {
        self.deadlines.sent = sent;
        self.deadlines.started_at = Instant::now();
        self.deadlines.per_try_deadline = self.deadlines.started_at;
    }

    /// Nothing came: does anybody still wait, and is there time?
    fn poll_deadlines(
        &mut self,
        cx: &mut Context,
        caller: &mut dyn ClientBody,
        stalled: bool,
    ) -> Poll<Result<(), HeadError>> {
        if caller.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(HeadError::Failed(GatewayError::client_closed())));
        }
        // Until the upload is through it is the client that is waited for, if its patience is the shorter one; the
        // service is not to blame then.
        let AttemptConfig { timeout, body_idle, .. } = *self.config;
        let (end, own) = match stalled {
            true => (self.deadlines.started_at + timeout.min(body_idle), false),
            false => self.deadlines.end(timeout),
        };
        if caller.poll_deadline(cx, end).is_pending() {
            return Poll::Pending;
        }
        self.deadlines.is_per_try_timeout = own;
        Poll::Ready(Err(HeadError::Failed(self.timeout_error(stalled && body_idle < timeout))))
    }

    #[cold]
    fn timeout_error(&self, stalled: bool) -> GatewayError {
        if stalled {
            let detail = format!("the request body stood still for {:?}", self.config.body_idle);
            return GatewayError::new(ErrorCode::RequestTimeout, detail);
        }
        let limit = self
            .deadlines
            .total_timeout
            .filter(|_| self.deadlines.is_per_try_timeout)
            .unwrap_or(self.config.timeout);
        let detail = format!("the backend {} did not answer within {limit:?}", self.endpoint.label);
        GatewayError::new(ErrorCode::BackendTimeout, detail)
    }

    /// The answer, its body still on the connection.
    pub fn response(
        self,
        call: BackendRequest,
        lease: Option<Counted>,
        exchange: &mut Exchange,
    ) -> RouteResult {
        exchange.record.backend = exchange.record.enabled.then(|| exchange.now.elapsed());
        let body = match call {
            BackendRequest::H1(conn) if self.head.status == 101 => {
                let leases = lease.map(ResponseGuard::new).into_iter().collect();
                let switch = Some(Upgrade { backend: conn, guards: leases });
                return Ok(Response { head: self.head, upgrade: switch, ..Response::default() });
            }
            call => call.into_body(),
        };
        let body: Box<dyn BodyRead> = match lease {
            Some(lease) => Box::new(GuardedBody::new(body, lease)),
            None => body,
        };
        Ok(Response { head: self.head, body: Body::Stream(body), ..Response::default() })
    }
}

/// Whether a kept connection of HTTP/1.1 will do: one that others use for it is no reason to speak it, as long as the
/// backend may know better.
fn may_reuse_pooled(offer: AlpnOffer, transport: &Transport) -> bool {
    match offer {
        AlpnOffer::Http1 => true,
        AlpnOffer::Http2 => false,
        AlpnOffer::Both => shared::is_http1(transport.pool.key()),
    }
}

/// The port that the client asked for: that of its Host, or of the connection.
fn requested_port(exchange: &Exchange) -> u16 {
    let host = exchange.request.get_known(KnownHeader::Host).map(host::split_host_port);
    let port = host.and_then(|(_, port)| std::str::from_utf8(port?).ok()?.parse().ok());
    port.unwrap_or(if exchange.request.get_known(KnownHeader::Host).is_some() {
        if exchange.client.peer.tls { 443 } else { 80 }
    } else {
        exchange.client.peer.local_address.port()
    })
}
