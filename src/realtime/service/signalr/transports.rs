//! Requests of transports: WebSockets, event streams, polls, posts.

use super::{
    super::HubTarget,
    access::{self, Access},
};
use crate::pipeline::{
    body::{Body, ClientBody},
    cancel::{sleep_until, until_client_closes},
    collect::{BodyPace, collect_body},
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    head::Head,
    response::{Response, RouteResult},
};
use crate::realtime::{
    engine::{
        AdoptedSession,
        connection::ClientLink,
        hub::{Hub, RegistrationError},
    },
    events::ClientFields,
    hub_user::HubUser,
    protocols::signalr::Transport,
    service::{
        path::{QueryPairs, parameter},
        rejection::{backplane_error, registration_error},
        upgrade::{self, check_draining},
    },
    signalr::{
        event_stream::EventStream,
        link::{Link, LinkOwner, NewLink},
        poll,
        receive::recovery_key,
        socket::LinkSocket,
        table::TokenState,
        token::{NegotiatedConnection, TokenScope},
    },
};
use crate::telemetry::hubs::{HubDirection, HubHandshake, HubRecovery};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

/// How long the body of a post may stall.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request of a transport.
struct TransportRequest<'r> {
    target: &'r HubTarget,
    access: Access,
    query: QueryPairs,
    worker: usize,
}

/// Serves a request; names of parameters are in lower case.
pub async fn serve(
    target: &HubTarget,
    query: QueryPairs,
    exchange: &Exchange,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let is_get = exchange.request.method() == b"GET";
    let is_stream = is_get && accepts_events(&exchange.request);
    let access = access::check(target, &query, exchange, "", exchange.is_websocket || is_stream)?;
    let request = TransportRequest { target, access, query, worker: exchange.worker };
    // Timers and calls of the connection belong to this worker.
    target.engine.hub(&request.access.context).enter(request.worker);
    if exchange.is_websocket {
        return request.web_socket(&exchange.request).await;
    }
    match exchange.request.method() {
        b"GET" if is_stream => request.event_stream().await,
        b"GET" => request.poll(client).await,
        b"POST" => request.post(exchange, client).await,
        b"DELETE" => request.delete(),
        _ => Err(method_not_allowed("GET, POST, DELETE", "SignalR transports do not use this method")),
    }
}

fn accepts_events(request: &Head) -> bool {
    let mut accepted = request.get_all(b"Accept").filter_map(|value| std::str::from_utf8(value).ok());
    accepted.any(|value| value.contains("text/event-stream"))
}

impl TransportRequest<'_> {
    fn id(&self) -> Result<&str, GatewayError> {
        parameter(&self.query, "id")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| GatewayError::new(ErrorCode::SignalRIdMissing, "Connection ID required"))
    }

    /// The link of the token, if it belongs to this user and hub.
    fn known(&self, token: &str) -> Result<Option<Arc<Link>>, GatewayError> {
        match self.target.links.get(token) {
            TokenState::Link(link) => {
                let is_own = link.user == self.access.user
                    && link.context.name == self.access.context.name
                    && link.context.service.config.name == self.target.service.config.name;
                if is_own { Ok(Some(link)) } else { Err(not_found()) }
            }
            TokenState::Ended => Err(not_found()),
            TokenState::New => Ok(None),
        }
    }

    /// The link of a request that does not open one.
    fn existing(&self) -> Result<Arc<Link>, GatewayError> {
        self.known(self.id()?)?.ok_or_else(not_found)
    }

    /// Opens the link of a negotiated token.
    async fn open(&self, token: &str, transport: Transport) -> Result<Arc<Link>, GatewayError> {
        let (service, context) = (&self.target.service.config, &self.access.context);
        let scope = TokenScope { service, hub: &context.name, user: self.access.user.as_deref() };
        let negotiated = scope.read(token).ok_or_else(not_found)?;
        let age = SystemTime::now().duration_since(negotiated.negotiated_at).unwrap_or_default();
        if age > context.config.signalr.handshake_timeout {
            return Err(not_found());
        }
        let link = self.open_negotiated(negotiated, transport, (self.groups().await, age))?;
        self.target.engine.shared.metrics.count_handshake(HubHandshake::Accepted);
        Ok(link)
    }

    /// With the groups of the user, and how long ago the connection was negotiated.
    fn open_negotiated(
        &self,
        negotiated: NegotiatedConnection,
        transport: Transport,
        (groups, age): (Vec<Arc<str>>, Duration),
    ) -> Result<Arc<Link>, GatewayError> {
        check_draining(&self.target.engine)?;
        let (context, engine) = (&self.access.context, &self.target.engine);
        if !context.config.signalr.transports.contains(&transport) {
            return Err(mismatch(400, "the hub does not permit this transport"));
        }
        let hub = engine.hub(context);
        self.check_limits(&hub)?;
        let link = Link::open(NewLink {
            id: negotiated.connection_id,
            token: negotiated.token,
            transport,
            is_stateful: negotiated.is_stateful,
            user: self.access.user.clone(),
            client: Arc::new(ClientFields {
                claims: self.access.claims.clone(),
                query: client_query(&self.query),
            }),
            hub,
            context: context.clone(),
            table: self.target.links.clone(),
            user_groups: engine.data_plane.user_groups.clone(),
            groups,
            worker: self.worker,
            age,
        });
        link.ok_or_else(not_found)
    }

    /// The groups of the user in the shared state; without a reply the connection joins them later.
    async fn groups(&self) -> Vec<Arc<str>> {
        let shared = self.target.engine.data_plane.user_groups.shared();
        let (Some(shared), Some(user)) = (shared, self.access.user.clone()) else { return Vec::new() };
        let service = self.target.service.config.name.clone();
        let user = HubUser { service, hub: self.access.context.name.clone(), user };
        shared.of(&user).await.unwrap_or_default()
    }

    /// Whether the hub and the process accept one more connection; the handshake checks it again.
    fn check_limits(&self, hub: &Hub) -> Result<(), GatewayError> {
        let is_full = |limit: Option<usize>, count: usize| limit.is_some_and(|limit| count >= limit);
        let shared = &self.target.engine.shared;
        if is_full(self.access.context.config.limits.max_connections, hub.connections()) {
            return Err(registration_error(RegistrationError::HubLimit));
        }
        if is_full(shared.limits.load().max_connections, shared.connections.load(Relaxed)) {
            return Err(registration_error(RegistrationError::ProcessLimit));
        }
        Ok(())
    }

    /// A connection without negotiation.
    async fn open_unnegotiated(&self) -> Result<Arc<Link>, GatewayError> {
        let shared = &self.target.engine.shared;
        let scope = TokenScope {
            service: &self.target.service.config,
            hub: &self.access.context.name,
            user: self.access.user.as_deref(),
        };
        let now = SystemTime::now();
        let negotiated = scope.negotiate(shared.random_bytes(), &shared.node, (false, false), now);
        let negotiated = negotiated.ok_or_else(not_found)?;
        let opened = (self.groups().await, Duration::ZERO);
        let link = self.open_negotiated(negotiated, Transport::WebSockets, opened)?;
        shared.metrics.count_handshake(HubHandshake::Accepted);
        Ok(link)
    }

    async fn web_socket(&self, request: &Head) -> RouteResult {
        let accept = upgrade::accept(request).ok_or_else(upgrade::required)?;
        let token = parameter(&self.query, "id").filter(|id| !id.is_empty());
        let link = match token {
            None => self.open_unnegotiated().await?,
            Some(token) => match self.known(token)? {
                Some(link) => return self.resume(link, &accept),
                None => match self.take_over(token, &accept).await? {
                    Some(response) => return Ok(response),
                    None => self.open(token, Transport::WebSockets).await?,
                },
            },
        };
        link.attach();
        Ok(upgrade::switch(&accept, None, Box::new(LinkSocket::new(link))))
    }

    /// Takes a connection with stateful reconnect over from another node; `None`: no node has it.
    async fn take_over(&self, token: &str, accept: &str) -> Result<Option<Response>, GatewayError> {
        let (target, context) = (self.target, &self.access.context);
        if target.engine.shared.backplane().is_none() {
            return Ok(None);
        }
        let (service, user) = (&target.service.config, self.access.user.as_deref());
        let scope = TokenScope { service, hub: &context.name, user };
        let negotiated = scope.read(token).ok_or_else(not_found)?;
        if !negotiated.is_stateful {
            return Ok(None);
        }
        let (id, secret) = (negotiated.connection_id.clone(), recovery_key(token).ok_or_else(not_found)?);
        // The session has its groups.
        let link = self.open_negotiated(negotiated, Transport::WebSockets, (Vec::new(), Duration::ZERO))?;
        link.attach();
        let (client, adopting) = ((self.worker, link.clone() as Arc<dyn ClientLink>), link.clone());
        let open = move |(_, connection, epoch, last_processed): AdoptedSession| {
            adopting.adopt(&connection, epoch, last_processed);
            LinkSocket::resumed(adopting, connection, epoch)
        };
        let taken = target.engine.take_over_signalr(context.clone(), (&id, &secret), client, open);
        let metrics = &target.engine.shared.metrics;
        match taken.await {
            Ok(Some(socket)) => {
                metrics.count_recovery(HubRecovery::Recovered);
                Ok(Some(upgrade::switch(accept, None, Box::new(socket))))
            }
            Ok(None) => {
                target.links.remove(token);
                link.detach();
                Ok(None)
            }
            Err(_) => {
                link.detach();
                metrics.count_recovery(HubRecovery::Unavailable);
                Err(backplane_error())
            }
        }
    }

    /// Another WebSocket of the same connection: with stateful reconnect it takes over.
    fn resume(&self, link: Arc<Link>, accept: &str) -> RouteResult {
        if link.transport != Transport::WebSockets {
            return Err(mismatch(400, "the connection uses another transport"));
        }
        if !link.is_stateful {
            return Err(mismatch(409, "the connection has a WebSocket"));
        }
        let metrics = &self.target.engine.shared.metrics;
        let Some(connection) = link.connection() else {
            metrics.count_recovery(HubRecovery::Rejected);
            return Err(not_found());
        };
        link.attach();
        let Some(epoch) = link.resume() else {
            link.detach();
            metrics.count_recovery(HubRecovery::Rejected);
            return Err(not_found());
        };
        metrics.count_recovery(HubRecovery::Recovered);
        Ok(upgrade::switch(accept, None, Box::new(LinkSocket::resumed(link, connection, epoch))))
    }

    async fn event_stream(&self) -> RouteResult {
        let token = self.id()?;
        let link = match self.known(token)? {
            None => self.open(token, Transport::ServerSentEvents).await?,
            Some(link) if link.transport == Transport::ServerSentEvents => {
                return Err(mismatch(409, "the connection has an event stream"));
            }
            Some(_) => return Err(mismatch(400, "the connection uses another transport")),
        };
        link.attach();
        let mut head = Head::response(200, b"OK");
        head.append(b"Content-Type", b"text/event-stream");
        head.append(b"Cache-Control", b"no-cache, no-store");
        head.append(b"Pragma", b"no-cache");
        head.append(b"Content-Encoding", b"identity");
        Ok(Response { head, body: Body::Stream(Box::new(EventStream::new(link))), ..Response::default() })
    }

    async fn poll(&self, client: &mut dyn ClientBody) -> RouteResult {
        let token = self.id()?;
        match self.known(token)? {
            None => {
                let link = self.open(token, Transport::LongPolling).await?;
                Ok(poll::first_response(&link))
            }
            Some(link) if link.transport == Transport::LongPolling => poll::poll(link, client).await,
            Some(_) => Err(mismatch(400, "the connection uses another transport")),
        }
    }

    async fn post(&self, exchange: &Exchange, client: &mut dyn ClientBody) -> RouteResult {
        let link = self.existing()?;
        if link.transport == Transport::WebSockets {
            return Err(mismatch(405, "messages of the connection are sent over its WebSocket"));
        }
        let max_bytes = self.access.context.config.limits.max_message_bytes;
        let pace = BodyPace::new(BODY_IDLE_TIMEOUT, exchange.body.min_rate);
        let body = match &exchange.body.collected {
            Some(body) => body.clone(),
            None => collect_body(client, max_bytes, pace, exchange.buffer_charge()).await?,
        };
        let metrics = &self.target.engine.shared.metrics;
        metrics.count_messages(HubDirection::In, 1, body.len() as u64);
        link.receive(&body);
        drop(body);
        if let Some(resumes_at) = link.take_rate()
            && !sleep_until(client, resumes_at).await
        {
            return Err(GatewayError::client_closed());
        }
        until_client_closes(link.wait_for_room(), client).await?;
        Ok(Response::local(200, "", ""))
    }

    fn delete(&self) -> RouteResult {
        let link = self.existing()?;
        if link.transport != Transport::LongPolling {
            return Err(mismatch(400, "only connections of long polling are deleted"));
        }
        link.close_normally();
        Ok(Response::local(202, "", ""))
    }
}

fn not_found() -> GatewayError {
    GatewayError::new(ErrorCode::SignalRConnectionNotFound, "No Connection with that ID")
}

fn mismatch(status: u16, detail: &'static str) -> GatewayError {
    let error = GatewayError::new(ErrorCode::SignalRTransportMismatch, detail);
    error.with_details(|details| details.status = Some(status))
}

fn method_not_allowed(allowed: &'static str, detail: &'static str) -> GatewayError {
    mismatch(405, detail).with_details(|details| details.headers.push(("Allow".into(), allowed.to_owned())))
}

/// The query as event handlers receive it: without the secrets of the client.
fn client_query(query: &QueryPairs) -> Box<str> {
    let visible = query.iter().filter(|(name, _)| name != "access_token" && name != "id");
    let encoded = crate::base::percent::percent_encoded;
    let pairs: Vec<String> =
        visible.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    format!("?{}", pairs.join("&")).into()
}
