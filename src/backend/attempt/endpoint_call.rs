//! One attempt with one endpoint: connection, request, response head; again on a new connection where that is safe.

use super::{
    config::{AttemptConfig, Http2},
    deadlines::Deadlines,
    retry::is_idempotent,
};
use crate::{
    backend::{
        endpoint::{Endpoint, Transport},
        selection::InFlightGuard,
    },
    net::{
        backend_request::BackendRequest,
        connect::ConnectTarget,
        connection_limit::{AcquireError, Acquired, ConnectionLimit, ConnectionLimiter},
        h1::{
            backend::{BackendConn, HeadError},
            hop_by_hop::HopByHop,
        },
        h2::pool::{self as shared, OpenError, OpenRequest},
        pool,
        tls::alpn::AlpnOffer,
    },
    pipeline::{
        body::{Body, BodyRead, ClientBody},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        guard::{GuardedBody, ResponseGuard},
        head::{Head, KnownHeader},
        response::{Response, RouteResult},
        upgrade::{Upgrade, UpgradePeer},
    },
};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

/// How often a request is sent again that the backend refused (REFUSED_STREAM): some of several concurrent ones are
/// refused again.
const MAX_REFUSED_RETRIES: u32 = 3;
/// How often a request is sent again because the backend ended the connection before it (GOAWAY). A backend that limits
/// the requests of a connection ends one connection after the other while many requests are concurrent.
const MAX_GOAWAY_RETRIES: u32 = 128;

/// One attempt with one endpoint.
pub struct EndpointCall<'a> {
    endpoint: &'a Arc<Endpoint>,
    config: &'a AttemptConfig,
    hop: HopByHop,
    deadlines: &'a mut Deadlines,
    head: Head,
    /// Informational (1xx) responses received.
    informational: u32,
}

impl<'a> EndpointCall<'a> {
    /// Prepares an attempt. `hop` comes from the client's request and is applied again for each connection.
    pub fn new(
        endpoint: &'a Arc<Endpoint>,
        config: &'a AttemptConfig,
        hop: HopByHop,
        deadlines: &'a mut Deadlines,
    ) -> EndpointCall<'a> {
        EndpointCall { endpoint, config, hop, deadlines, head: Head::default(), informational: 0 }
    }

    /// Sends the request and returns the response; again on another connection if a reused one turned out to be closed,
    /// or if the backend did not process the request.
    pub async fn send_with_reconnect(
        mut self,
        in_flight: Option<InFlightGuard>,
        exchange: &mut Exchange,
        caller: &mut dyn ClientBody,
    ) -> RouteResult {
        let (mut needs_new, mut refused, mut ended) = (false, 0, 0);
        self.head = std::mem::take(&mut exchange.response.spare_head);
        loop {
            exchange.record.attempts += 1;
            let mut conn = self.connect(exchange, needs_new, caller).await?;
            match self.send(&mut conn, exchange, caller).await {
                Ok(()) => return self.response(conn, in_flight),
                Err(HeadError::Failed(error)) => return Err(error),
                Err(HeadError::Closed(_))
                    if conn.is_reused() && !needs_new && is_replayable(exchange, caller) =>
                {
                    needs_new = true;
                }
                // A request that was not processed may be sent again, whatever its method.
                Err(HeadError::NotStarted(is_goaway, error)) => {
                    let (count, max) = match is_goaway {
                        true => (&mut ended, MAX_GOAWAY_RETRIES),
                        false => (&mut refused, MAX_REFUSED_RETRIES),
                    };
                    *count += 1;
                    if *count > max || !caller.rewind() {
                        let detail =
                            format!("the backend {} refused the request: {error}", self.endpoint.label);
                        return Err(GatewayError::new(ErrorCode::BackendReset, detail));
                    }
                }
                Err(HeadError::Closed(error)) => {
                    return Err(closed_error(conn.is_upload_done(), &self.endpoint.label, &error));
                }
            }
        }
    }

    /// A pooled connection, or a new one.
    async fn connect(
        &mut self,
        exchange: &Exchange,
        needs_new: bool,
        caller: &mut dyn ClientBody,
    ) -> Result<BackendRequest, GatewayError> {
        let transport = &self.endpoint.transport_for(exchange).transport;
        let (offer, header) = (self.alpn_offer(transport), transport.proxy_header(exchange));
        if !needs_new && may_reuse_pooled(offer, transport) && self.endpoint.port.is_some() {
            let (key, addr) = (transport.pool.key(), &transport.addr);
            let check_out = |cx: &mut Context| Poll::Ready(pool::check_out(key, addr, header.as_ref(), cx));
            if let Some(conn) = poll_fn(check_out).await {
                return Ok(BackendRequest::H1(conn));
            }
        }
        let port = self.endpoint.port.unwrap_or_else(|| exchange.client.peer.listener_port());
        let target = transport.connect_target(port, header);
        if offer != AlpnOffer::Http1 {
            // Boxed: keeps the future of HTTP/1.1 calls small.
            return Box::pin(self.open_shared_stream(transport, target, offer, caller)).await;
        }
        let permit = match &transport.limiter {
            None => None,
            // Boxed: keeps the future of calls without a connection limit small.
            Some(limiter) => match Box::pin(self.acquire_connection(limiter, transport, caller)).await? {
                Acquired::Reuse(conn) => return Ok(BackendRequest::H1(conn)),
                Acquired::Connect(permit) => Some(permit),
                Acquired::StreamSlot(never) => match never {},
            },
        };
        let (end, is_per_try) = self.deadlines.end(self.config.timeout);
        let timeout = self.config.connect_timeout.min(end.saturating_duration_since(Instant::now()));
        let connected = BackendConn::connect(&target, transport.pool.key(), timeout).await;
        self.deadlines.is_per_try_timeout = connected.is_err() && is_per_try && Instant::now() >= end;
        let mut conn = connected?;
        // An endpoint without a port stands for many addresses: its connections are not pooled.
        conn.single_use = self.endpoint.port.is_none();
        conn.attach_permit(permit, transport.max_lifetime);
        Ok(BackendRequest::H1(conn))
    }

    /// A stream on a shared HTTP/2 connection, or the HTTP/1.1 connection that TLS negotiated instead.
    async fn open_shared_stream(
        &mut self,
        transport: &Transport,
        target: ConnectTarget<'_>,
        offer: AlpnOffer,
        caller: &mut dyn ClientBody,
    ) -> Result<BackendRequest, GatewayError> {
        let (end, is_per_try) = self.deadlines.end(self.config.timeout);
        let request = OpenRequest {
            target: &target,
            key: transport.pool.key(),
            offer,
            max_lifetime: transport.max_lifetime,
            limiter: transport.limiter.as_ref(),
            connect_timeout: self.config.connect_timeout,
            deadline: end,
        };
        let is_closed = |cx: &mut Context| caller.poll_closed(cx);
        let opened = match self.endpoint.port {
            Some(_) => shared::open(&request, is_closed).await,
            None => shared::open_exclusive(&request, is_closed).await,
        };
        opened.map_err(|error| match error {
            OpenError::Refused(error) => self.acquire_error(transport.limiter.as_ref(), error, is_per_try),
            OpenError::Failed(error) => {
                self.deadlines.is_per_try_timeout = is_per_try && Instant::now() >= end;
                error
            }
        })
    }

    /// The protocols offered to the backend. A WebSocket requires an HTTP/1.1 connection.
    fn alpn_offer(&self, transport: &Transport) -> AlpnOffer {
        match self.config.http2 {
            _ if self.hop.websocket => AlpnOffer::Http1,
            Http2::Always => AlpnOffer::Http2,
            Http2::IfNegotiated if transport.tls.is_some() => AlpnOffer::Both,
            Http2::IfNegotiated | Http2::Never => AlpnOffer::Http1,
        }
    }

    /// A permit for a new connection, or a connection that another request released.
    async fn acquire_connection(
        &mut self,
        limiter: &Arc<ConnectionLimiter>,
        transport: &Transport,
        caller: &mut dyn ClientBody,
    ) -> Result<Acquired<Box<BackendConn>>, GatewayError> {
        if transport.proxy_protocol.is_some() && limiter.is_full() {
            pool::evict_oldest(transport.pool.key());
        }
        let (end, is_per_try) = self.deadlines.end(self.config.timeout);
        let is_closed = |cx: &mut Context| caller.poll_closed(cx);
        let acquired = limiter.acquire(pool::ReleasedConnection::new(true), end, is_closed).await;
        acquired.map_err(|error| self.acquire_error(Some(limiter), error, is_per_try))
    }

    #[cold]
    fn acquire_error(
        &mut self,
        limiter: Option<&Arc<ConnectionLimiter>>,
        error: AcquireError,
        is_per_try: bool,
    ) -> GatewayError {
        match (error, limiter) {
            (AcquireError::ClientClosed, _) => GatewayError::client_closed(),
            (
                AcquireError::QueueFull | AcquireError::QueueTimeout | AcquireError::Overloaded,
                Some(limiter),
            ) => self.connection_limit_error(limiter, error),
            _ => {
                self.deadlines.is_per_try_timeout = is_per_try;
                self.timeout_error()
            }
        }
    }

    #[cold]
    fn connection_limit_error(&self, limiter: &ConnectionLimiter, error: AcquireError) -> GatewayError {
        let ConnectionLimit { max_connections: connections, max_pending: queue, .. } = limiter.limit();
        let detail = match error {
            AcquireError::QueueFull => format!("the queue of {queue} requests is full"),
            AcquireError::Overloaded => "more requests arrive than the backend serves".to_owned(),
            _ => "none was released in time".to_owned(),
        };
        let detail =
            format!("all {connections} connections to {} are in use and {detail}", self.endpoint.label);
        GatewayError::new(ErrorCode::BackendConnectionLimit, detail)
            .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
    }

    /// Sends the request and waits for the response head; the upload may continue after it.
    async fn send(
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
        self.deadlines.start_sending();
        poll_fn(|cx| {
            let is_uploaded = match conn.poll_upload(cx, caller.as_body()) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(HeadError::Failed(error))),
                ready => ready.is_ready(),
            };
            let waits_for_client = !is_uploaded && !conn.is_write_blocked();
            self.deadlines.track_client_wait(waits_for_client);
            while let Poll::Ready(head) = conn.poll_head(cx, &mut self.head, for_head) {
                if head.is_err() || self.head.status >= 200 || self.head.status == 101 {
                    return Poll::Ready(head);
                }
                self.informational += 1;
                if self.informational > self.config.max_informational {
                    return Poll::Ready(Err(HeadError::Failed(too_many_informational())));
                }
                caller.send_informational(&self.head, cx);
            }
            if conn.bytes_sent() > self.deadlines.bytes_sent {
                self.deadlines.restart(conn.bytes_sent());
            }
            self.poll_deadlines(cx, exchange, caller, waits_for_client)
        })
        .await
    }

    /// Nothing arrived: checks whether the client is still connected and the deadlines.
    fn poll_deadlines(
        &mut self,
        cx: &mut Context,
        exchange: &Exchange,
        caller: &mut dyn ClientBody,
        waits_for_client: bool,
    ) -> Poll<Result<(), HeadError>> {
        if caller.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(HeadError::Failed(GatewayError::client_closed())));
        }
        let error = if waits_for_client {
            ready!(self.poll_client_stalled(cx, exchange, caller))
        } else {
            let (end, is_per_try) = self.deadlines.end(self.config.timeout);
            ready!(caller.poll_deadline(cx, end));
            self.deadlines.is_per_try_timeout = is_per_try;
            self.timeout_error()
        };
        Poll::Ready(Err(HeadError::Failed(error)))
    }

    /// Waits for the upload of the client; ready when it stalled for too long. The backend is not at fault then.
    fn poll_client_stalled(
        &mut self,
        cx: &mut Context,
        exchange: &Exchange,
        caller: &mut dyn ClientBody,
    ) -> Poll<GatewayError> {
        if let Some(at) = self.deadlines.trial_yields_at() {
            ready!(caller.poll_deadline(cx, at));
            let resilience = self.config.resilience.as_deref();
            self.deadlines.yield_trials(resilience, self.endpoint, Instant::now());
        }
        let since = self.deadlines.stalled_since();
        let pace = self.deadlines.pace.get_or_insert_with(|| Box::new(self.config.body_pace(exchange)));
        pace.poll_stalled(cx, caller, since)
    }

    #[cold]
    fn timeout_error(&self) -> GatewayError {
        let limit = self
            .deadlines
            .per_try_timeout
            .filter(|_| self.deadlines.is_per_try_timeout)
            .unwrap_or(self.config.timeout);
        let detail = format!("the backend {} did not respond within {limit:?}", self.endpoint.label);
        GatewayError::new(ErrorCode::BackendTimeout, detail)
    }

    /// The response; its body is still on the connection.
    fn response(self, request: BackendRequest, in_flight: Option<InFlightGuard>) -> RouteResult {
        let body = match request {
            BackendRequest::H1(conn) if self.head.status == 101 => {
                let guards = in_flight.map(ResponseGuard::new).into_iter().collect();
                let upgrade = Box::new(Upgrade { peer: UpgradePeer::Backend(conn), guards });
                return Ok(Response { head: self.head, upgrade: Some(upgrade), ..Response::default() });
            }
            request => request.into_body(),
        };
        let body: Box<dyn BodyRead> = match in_flight {
            Some(in_flight) => Box::new(GuardedBody::new(body, in_flight)),
            None => body,
        };
        Ok(Response { head: self.head, body: Body::Stream(body), ..Response::default() })
    }
}

/// The connection ended before the first byte of a response: while the request was sent, or after it.
#[cold]
fn closed_error(is_sent: bool, label: &str, error: &std::io::Error) -> GatewayError {
    let (code, when) = match is_sent {
        true => (ErrorCode::BackendReset, "before it responded"),
        false => (ErrorCode::BackendSend, "while the request was sent"),
    };
    GatewayError::new(code, format!("the backend {label} closed the connection {when}: {error}"))
}

#[cold]
fn too_many_informational() -> GatewayError {
    GatewayError::malformed_response("too many informational (1xx) responses")
}

/// Without configured retries, only a harmless request is sent again: idempotent, and no byte of its body lost.
fn is_replayable(exchange: &Exchange, caller: &mut dyn ClientBody) -> bool {
    is_idempotent(exchange.request.method()) && caller.rewind()
}

/// Whether a pooled HTTP/1.1 connection may be used. With ALPN, only if the backend is known not to support
/// HTTP/2.
fn may_reuse_pooled(offer: AlpnOffer, transport: &Transport) -> bool {
    match offer {
        AlpnOffer::Http1 => true,
        AlpnOffer::Http2 => false,
        AlpnOffer::Both => shared::is_http1(transport.pool.key()),
    }
}
