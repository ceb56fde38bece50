//! The service `Agents`: connections of agents and connectors, and the list of agents.

use super::{
    caller::{Caller, check_throttle, count_failure},
    refusal::{refuse, refuse_with},
};
use crate::{
    base::{date::Timestamp, websocket::accept_key},
    control::gateway_handle::GatewayHandle,
    net::{
        agents::{
            access::{AccessError, admit_agent, check_policy},
            connection,
            connector::{self, ConnectorCaller},
            device_streams::DeviceStreams,
            entry::AgentHello,
            keepalive::HEARTBEAT,
            names::{
                AGENT_FIELD, AGENT_PROTOCOL, AGENT_SUBPROTOCOL, CONNECT_PROTOCOL, CONNECT_SUBPROTOCOL,
                HEARTBEAT_FIELD, INSTANCE_FIELD, SERVICES_FIELD, is_agent_id, parse_services,
            },
            registry::{AgentRegistry, AgentSummary},
        },
        websocket::{WebSocketRole, WebSocketStream},
    },
    pipeline::{
        error::ErrorCode,
        internal::{Request, Response},
        upgrade::{ConnectionOwner, UpgradedIo},
    },
    telemetry::agents::AgentConnect,
};
use axum::{Router, body::Body, extract::State, response::IntoResponse};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use std::{future::Future, sync::Arc};

/// The service.
pub fn router(gateway: &GatewayHandle) -> Router {
    Router::new().fallback(serve).with_state(gateway.clone())
}

/// The protocol of a connection, and what carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RequestedUpgrade {
    is_agent: bool,
    is_websocket: bool,
}

async fn serve(State(gateway): State<GatewayHandle>, request: Request) -> Response {
    let Some(gateway) = gateway.get() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let registry = gateway.shared_state.agents.clone();
    if let Err(error) = check_throttle(&registry, &request) {
        registry.metrics().count_connect(AgentConnect::Limited);
        return refuse(&registry, &error);
    }
    let caller = match Caller::of(&request) {
        Ok(caller) => caller,
        Err(error) => return refuse_access(&registry, &request, error),
    };
    match requested_upgrade(request.headers()) {
        Some(upgrade) if upgrade.is_agent => accept_agent(&registry, &request, &caller, upgrade),
        Some(upgrade) => {
            let devices = Arc::new(gateway.shared_state.devices.clone());
            accept_connector((&registry, devices), &request, &caller, upgrade)
        }
        None if request.method() == Method::GET && accepts_json(request.headers()) => {
            list(&registry, &request, &caller)
        }
        None => {
            let detail = "agents and connectors request an upgrade to margay-agent/1 or margay-connect/1";
            let mut response = refuse_with(&registry, ErrorCode::AgentUpgrade, detail);
            let protocols = HeaderValue::from_static("margay-agent/1, margay-connect/1");
            response.headers_mut().insert(header::UPGRADE, protocols);
            response
        }
    }
}

fn requested_upgrade(headers: &HeaderMap) -> Option<RequestedUpgrade> {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    match text(header::UPGRADE) {
        AGENT_PROTOCOL => Some(RequestedUpgrade { is_agent: true, is_websocket: false }),
        CONNECT_PROTOCOL => Some(RequestedUpgrade { is_agent: false, is_websocket: false }),
        "websocket" => {
            let offered = text(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim);
            offered.into_iter().find_map(|name| match name {
                AGENT_SUBPROTOCOL => Some(RequestedUpgrade { is_agent: true, is_websocket: true }),
                CONNECT_SUBPROTOCOL => Some(RequestedUpgrade { is_agent: false, is_websocket: true }),
                _ => None,
            })
        }
        _ => None,
    }
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json")
}

/// Refuses a caller, and counts a failed proof.
fn refuse_access(registry: &AgentRegistry, request: &Request, error: AccessError) -> Response {
    count_failure(registry, request, error);
    let error = error.into_gateway_error();
    registry.metrics().count_connect(match error.status(false) {
        401 => AgentConnect::Unauthorized,
        _ => AgentConnect::Refused,
    });
    refuse(registry, &error)
}

fn text_of<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The id and the instance of an agent.
fn identity(headers: &HeaderMap) -> Option<(&str, &str)> {
    let (id, instance) = (text_of(headers, AGENT_FIELD), text_of(headers, INSTANCE_FIELD));
    let is_instance = instance.len() == 16 && instance.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_agent_id(id) && is_instance).then_some((id, instance))
}

fn accept_agent(
    registry: &Arc<AgentRegistry>,
    request: &Request,
    caller: &Caller,
    upgrade: RequestedUpgrade,
) -> Response {
    let Some((id, instance)) = identity(request.headers()) else {
        let detail = "expected the fields Margay-Agent (an id) and Margay-Instance (16 hexadecimal digits)";
        return refuse_with(registry, ErrorCode::AgentRequest, detail);
    };
    let (config, proofs) = (registry.config(), caller.proofs());
    let entry = match admit_agent(&config, (id, None), &proofs, &[&caller.host]) {
        Ok(entry) => entry.clone(),
        Err(error) => return refuse_access(registry, request, error),
    };
    if let Err(code) = registry.check_room(id, instance) {
        registry.metrics().count_connect(AgentConnect::Limited);
        return refuse_with(registry, code, "the limit of agents or of their connections is reached");
    }
    // The proof that admitted the agent: it is checked again when the settings change.
    let is_good =
        |proof: &_| admit_agent(&config, (id, None), std::slice::from_ref(proof), &[&caller.host]).is_ok();
    let Some(proof) = proofs.into_iter().find(is_good) else {
        return refuse_access(registry, request, AccessError::Missing);
    };
    let hello = AgentHello {
        agent: id.into(),
        instance: instance.into(),
        services: parse_services(text_of(request.headers(), SERVICES_FIELD)),
        peer: caller.peer,
        proof,
        host: caller.host.clone(),
    };
    let served = registry.clone();
    let protocol = (AGENT_PROTOCOL, AGENT_SUBPROTOCOL);
    switch(registry, request.headers(), protocol, upgrade, move |io| {
        connection::serve(io, served, hello, entry)
    })
}

fn accept_connector(
    (registry, devices): (&Arc<AgentRegistry>, Arc<dyn DeviceStreams>),
    request: &Request,
    caller: &Caller,
    upgrade: RequestedUpgrade,
) -> Response {
    if let Some(token) = &caller.token {
        let path = token.device().map(|device| format!("/devices/{device}")).unwrap_or_default();
        let right = |rights: crate::net::agents::config::Rights| rights.service_connect;
        if let Err(error) = check_policy(&registry.config(), token, right, &path, &[&caller.host]) {
            return refuse_access(registry, request, error);
        }
    }
    let connector = Arc::new(ConnectorCaller {
        token: caller.token.clone(),
        subject: caller.subject.clone(),
        peer: caller.peer,
        host: caller.host.clone(),
        devices,
    });
    let served = registry.clone();
    let protocol = (CONNECT_PROTOCOL, CONNECT_SUBPROTOCOL);
    switch(registry, request.headers(), protocol, upgrade, move |io| connector::serve(io, served, connector))
}

/// The response 101, after which `serve` has the connection.
fn switch<F>(
    registry: &AgentRegistry,
    headers: &HeaderMap,
    (protocol, subprotocol): (&'static str, &'static str),
    upgrade: RequestedUpgrade,
    serve: impl FnOnce(Box<dyn UpgradedIo>) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    registry.metrics().count_connect(AgentConnect::Accepted);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(HEARTBEAT_FIELD, HeaderValue::from(HEARTBEAT.as_secs()));
    let owner = match upgrade.is_websocket {
        false => ConnectionOwner::new(protocol, serve),
        true => {
            let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
            if let Ok(accept) = HeaderValue::from_str(&accept_key(key)) {
                fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
            fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
            ConnectionOwner::new("websocket", |io| {
                serve(Box::new(WebSocketStream::new(io, WebSocketRole::Server)))
            })
        }
    };
    response.extensions_mut().insert(owner);
    response
}

/// One agent of the list.
#[derive(Clone, Debug, Serialize)]
struct ListedAgent {
    agent: String,
    connected: bool,
    instances: usize,
    since: Option<String>,
    services: Vec<Box<str>>,
    streams: usize,
    rtt_ms: f64,
}

impl From<AgentSummary> for ListedAgent {
    fn from(summary: AgentSummary) -> ListedAgent {
        let AgentSummary { agent, since, instances, services, streams, round_trip_ms, .. } = summary;
        let since = since.map(|since| Timestamp(since).to_string());
        ListedAgent {
            agent: agent.to_string(),
            connected: instances > 0,
            instances,
            since,
            services,
            streams,
            rtt_ms: round_trip_ms,
        }
    }
}

/// The list, for policies with the right.
fn list(registry: &AgentRegistry, request: &Request, caller: &Caller) -> Response {
    let right = |rights: crate::net::agents::config::Rights| rights.registry_read;
    let checked = match &caller.token {
        Some(token) => check_policy(&registry.config(), token, right, "", &[&caller.host]),
        None => Err(AccessError::Missing),
    };
    if let Err(error) = checked {
        count_failure(registry, request, error);
        return refuse(registry, &error.into_gateway_error());
    }
    let agents: Vec<ListedAgent> = registry.summaries().into_iter().map(ListedAgent::from).collect();
    axum::Json(serde_json::json!({ "agents": agents })).into_response()
}
