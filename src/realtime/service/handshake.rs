//! The handshake of a client: token, subprotocol, `connect` handler, registration, then 101.

use super::{
    HubTarget, cors,
    fields::{checked_groups, grouped, headers, offered_subprotocols},
    path::{PathError, QueryPairs, parameter},
    rejection::{RejectedConnection, backplane_error, check_hub_name, registration_error, token_error},
    upgrade::{self, check_draining, switch},
};
use crate::pipeline::{
    body::ClientBody,
    cancel::until_client_closes,
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    response::RouteResult,
    upgrade::ConnectionService,
};
use crate::realtime::{
    backplane::wire::Take,
    context::HubContext,
    engine::{
        Engine,
        connection::{NewConnection, SimpleMode},
        socket::HubSocket,
    },
    events::{ConnectError, ConnectReply, ConnectRequest, EventSource},
    names::{is_group_name, is_user_id},
    permissions::Permissions,
    protocols::Subprotocol,
    session::RECOVERY_KEY_BYTES,
    tokens::{ClientToken, TokenError, TokenRequest, verify_client},
};
use crate::telemetry::hubs::{HubHandshake, HubRecovery};
use std::{sync::Arc, time::SystemTime};

/// Accepts or refuses a client; `hub` and `query` are those of the request, `service_path` is its path within the service.
pub async fn accept(
    target: &HubTarget,
    hub: Result<String, PathError>,
    (service_path, query): (&str, QueryPairs),
    exchange: &mut Exchange,
    client: &mut dyn ClientBody,
) -> RouteResult {
    let result = Handshake::new(target, hub, query, exchange).and_then(Handshake::checked);
    let result = match result {
        Ok(handshake) => handshake.run(service_path, exchange, client).await,
        Err(error) => Err(error),
    };
    target.engine.shared.metrics.count_handshake(match &result {
        Ok(response) if response.status() == 101 => HubHandshake::Accepted,
        Ok(_) => HubHandshake::Rejected,
        Err(error) if error.status(false) < 500 => HubHandshake::Rejected,
        Err(_) => HubHandshake::Failed,
    });
    result
}

/// A handshake in progress.
struct Handshake<'h> {
    target: &'h HubTarget,
    /// As the client wrote it.
    hub: String,
    query: QueryPairs,
    offered: Vec<String>,
    accept: String,
    /// The worker that serves the connection.
    worker: usize,
    is_origin_allowed: Result<(), GatewayError>,
}

/// What the token and the `connect` handler grant.
#[derive(Default)]
struct Grants {
    user: Option<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    subprotocol: Option<String>,
    state: Option<Arc<str>>,
}

impl<'h> Handshake<'h> {
    fn new(
        target: &'h HubTarget,
        hub: Result<String, PathError>,
        query: QueryPairs,
        exchange: &Exchange,
    ) -> Result<Handshake<'h>, GatewayError> {
        let request = &exchange.request;
        let accept = upgrade::accept(request).filter(|_| exchange.is_websocket);
        let is_origin_allowed = if target.has_cors { cors::check_origin(exchange) } else { Ok(()) };
        let accept = accept.ok_or_else(upgrade::required)?;
        let hub = hub.map_err(hub_error)?;
        Ok(Handshake {
            target,
            hub,
            query,
            offered: offered_subprotocols(request),
            accept,
            worker: exchange.worker,
            is_origin_allowed,
        })
    }

    fn checked(self) -> Result<Handshake<'h>, GatewayError> {
        self.is_origin_allowed.clone()?;
        check_draining(&self.target.engine)?;
        check_hub_name(&self.hub)?;
        Ok(self)
    }

    async fn run(self, service_path: &str, exchange: &Exchange, client: &mut dyn ClientBody) -> RouteResult {
        let name = self.hub.to_ascii_lowercase();
        if let (Some(id), Some(token)) =
            (parameter(&self.query, "awps_connection_id"), parameter(&self.query, "awps_reconnection_token"))
        {
            return self.recover(&name, id, token).await;
        }
        let context = HubContext::new(&self.target.service, &name).map(Arc::new);
        let token = self.verify(context.as_deref(), &name, service_path, exchange)?;
        let context = context.ok_or_else(unknown_hub)?;
        let mode = self.mode()?;
        if let Some(backplane) = self.target.engine.shared.backplane() {
            backplane.wait_ready().await;
        }
        let id = self.target.engine.shared.new_id();
        let grants = self.connect(&context, &id, token, exchange, client).await?;
        self.register(context, id, mode, grants)
    }

    /// The contents of the token; a hub with anonymous clients needs none.
    fn verify(
        &self,
        context: Option<&HubContext>,
        name: &str,
        service_path: &str,
        exchange: &Exchange,
    ) -> Result<ClientToken, GatewayError> {
        let request = &exchange.request;
        let authorization = request.get(b"Authorization").and_then(|value| std::str::from_utf8(value).ok());
        let request = TokenRequest {
            authorization,
            query_token: parameter(&self.query, "access_token"),
            path: std::str::from_utf8(request.original_path()).unwrap_or_default(),
            service_path,
            hub: name,
        };
        match verify_client(&self.target.service.config, &request, SystemTime::now()) {
            Err(TokenError::Missing) if context.is_some_and(|hub| hub.config.anonymous_connect) => {
                Ok(ClientToken::default())
            }
            verified => verified.map_err(token_error),
        }
    }

    fn mode(&self) -> Result<SimpleMode, GatewayError> {
        match parameter(&self.query, "webpubsub_mode") {
            None | Some("sendEvent") => return Ok(SimpleMode::SendEvent),
            Some("sendToGroup") => {}
            Some(_) => {
                let detail = "webpubsub_mode must be sendEvent or sendToGroup";
                return Err(GatewayError::new(ErrorCode::HubInvalidMode, detail));
            }
        }
        let mut groups = self.query.iter().filter(|(name, _)| name == "group").map(|(_, value)| value);
        match (groups.next(), groups.next()) {
            (Some(group), None) if is_group_name(group) => Ok(SimpleMode::SendToGroup(group.as_str().into())),
            _ => Err(GatewayError::new(
                ErrorCode::HubInvalidGroup,
                "the mode sendToGroup requires exactly one group with a valid name",
            )),
        }
    }

    /// Calls the `connect` handler, if one matches.
    async fn connect(
        &self,
        context: &Arc<HubContext>,
        id: &Arc<str>,
        token: ClientToken,
        exchange: &Exchange,
        client: &mut dyn ClientBody,
    ) -> Result<Grants, GatewayError> {
        let ClientToken { user_id, roles, groups, claims } = token;
        let mut grants = Grants { user: user_id, roles, groups, ..Grants::default() };
        let source = EventSource {
            hub: context.clone(),
            connection_id: id.clone(),
            user_id: grants.user.as_deref().map(Arc::from),
            subprotocol: self.known_subprotocol().map(Arc::from),
            state: None,
            client: None,
        };
        let certificates = exchange.client.certificate.iter();
        let request = ConnectRequest {
            claims,
            query: grouped(self.query.iter().filter(|(name, _)| name != "access_token").cloned()),
            headers: grouped(headers(&exchange.request)),
            subprotocols: self.offered.clone(),
            client_certificates: certificates.map(|known| known.sha1_thumbprint().to_owned()).collect(),
        };
        let Some(call) = self.target.engine.shared.events.connect(&source, request) else {
            return Ok(grants);
        };
        let reply = match until_client_closes(call, client).await? {
            Ok(reply) => reply,
            Err(error) => return Err(connect_error(error, &context.name)),
        };
        let ConnectReply { user_id, groups, roles, subprotocol, state } = reply;
        grants.user = user_id.or(grants.user);
        grants.groups.extend(groups);
        grants.roles.extend(roles);
        (grants.subprotocol, grants.state) = (subprotocol, state);
        Ok(grants)
    }

    /// The first offered subprotocol that is supported.
    fn known_subprotocol(&self) -> Option<&str> {
        self.offered.iter().map(String::as_str).find(|name| Subprotocol::from_name(name).is_some())
    }

    fn register(
        &self,
        context: Arc<HubContext>,
        id: Arc<str>,
        mode: SimpleMode,
        grants: Grants,
    ) -> RouteResult {
        let selected = grants.subprotocol.as_deref().filter(|name| !name.is_empty());
        if selected.is_some_and(|name| !self.offered.iter().any(|offered| offered == name)) {
            let detail = "the connect handler selected a subprotocol that the client did not offer";
            return Err(GatewayError::new(ErrorCode::HubInvalidSubprotocol, detail));
        }
        let name = selected.or(self.known_subprotocol());
        let groups = checked_groups(&grants.groups)?;
        if grants.user.as_ref().is_some_and(|user| !is_user_id(user)) {
            let detail = "the user id of the connect handler is longer than 1024 bytes";
            return Err(GatewayError::new(ErrorCode::HubEventHandlerFailed, detail));
        }
        let new = NewConnection {
            id,
            context: context.clone(),
            user: grants.user.map(Arc::from),
            subprotocol: name.and_then(Subprotocol::from_name).unwrap_or_default(),
            subprotocol_name: name.map(Arc::from),
            mode,
            state: grants.state,
            link: None,
        };
        let permissions = Permissions::from_roles(grants.roles.iter().map(String::as_str));
        let hub = self.target.engine.hub(&context);
        let registered = hub.register(new, self.worker, &groups, permissions);
        let (connection, epoch) = registered.map_err(registration_error)?;
        Ok(switch(&self.accept, name, Box::new(HubSocket::new(hub, connection, epoch))))
    }

    async fn recover(&self, name: &str, id: &str, token: &str) -> RouteResult {
        let offered = self.known_subprotocol();
        let subprotocol = offered.and_then(Subprotocol::from_name).unwrap_or_default();
        let engine = &self.target.engine;
        let hub = engine.find(&self.target.service.config.name, name);
        let key = Engine::recovery_key(token);
        let mut recovered = key.zip(hub).and_then(|(key, hub)| {
            let (connection, epoch) = hub.recover(id, &key, subprotocol)?;
            Some(HubSocket::new(hub, connection, epoch))
        });
        if let (None, Some(key)) = (&recovered, key) {
            recovered = self.take_over(name, id, key, subprotocol).await?;
        }
        let service: Box<dyn ConnectionService> = match recovered {
            Some(socket) => {
                engine.shared.metrics.count_recovery(HubRecovery::Recovered);
                Box::new(socket)
            }
            None => {
                engine.shared.metrics.count_recovery(HubRecovery::Rejected);
                Box::new(RejectedConnection::new("The connection cannot be recovered"))
            }
        };
        Ok(switch(&self.accept, offered, service))
    }

    /// The session of another node.
    async fn take_over(
        &self,
        name: &str,
        id: &str,
        key: [u8; RECOVERY_KEY_BYTES],
        subprotocol: Subprotocol,
    ) -> Result<Option<HubSocket>, GatewayError> {
        let engine = &self.target.engine;
        let context = HubContext::new(&self.target.service, name).map(Arc::new);
        let (Some(context), true) = (context, subprotocol.is_reliable()) else { return Ok(None) };
        let take = Take {
            connection_id: id.to_owned(),
            key: key.to_vec(),
            subprotocol: subprotocol.name().unwrap_or_default().to_owned(),
        };
        match engine.take_over(context, take, self.worker).await {
            Ok(taken) => Ok(taken),
            Err(_) => {
                engine.shared.metrics.count_recovery(HubRecovery::Unavailable);
                Err(backplane_error())
            }
        }
    }
}

fn hub_error(error: PathError) -> GatewayError {
    GatewayError::new(
        ErrorCode::HubInvalidName,
        match error {
            PathError::Missing => "the request has no hub name",
            PathError::Repeated => "the parameter `hub` occurs more than once",
        },
    )
}

fn unknown_hub() -> GatewayError {
    GatewayError::new(ErrorCode::HubNotFound, "the service has no hub of this name")
}

/// The response to a client that a `connect` handler refused, or could not be called for.
fn connect_error(error: ConnectError, hub: &str) -> GatewayError {
    match error {
        ConnectError::Relayed { status, content_type, body } => {
            GatewayError::new(ErrorCode::HubConnectRefused, "the connect handler refused the client")
                .with_details(|details| {
                    details.status = Some(status);
                    details.body = Some((content_type.unwrap_or_default(), body));
                })
        }
        ConnectError::Failed(reason) => {
            log::warn!("the connect handler of hub {hub} failed: {reason}");
            GatewayError::new(ErrorCode::HubEventHandlerFailed, "the connect handler of the hub failed")
        }
    }
}
