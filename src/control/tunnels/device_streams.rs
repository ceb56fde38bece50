//! The service `DeviceStreams`: requests of service applications, bridges, and MQTT over WebSocket.

use super::{
    azure_log::{self, Handshake},
    caller::{Caller, check_throttle, count_failure},
    refusal::{refuse, refuse_with},
};
use crate::{
    base::{percent::percent_decoded, websocket::accept_key},
    control::gateway_handle::GatewayHandle,
    net::{
        agents::access::{AccessError, Proof, Requester, check_policy},
        agents::config::StreamLogFormat,
        devices::{
            bridge::BridgeError,
            hub::DeviceHub,
            join,
            names::DeviceError,
            request::{AcceptedStream, DeviceRequest},
            session::{self, DevicePeer},
        },
        websocket::{WebSocketRole, WebSocketStream},
    },
    pipeline::{
        client_certificate::ClientCertificate,
        error::ErrorCode,
        internal::{Request, Response},
        upgrade::ConnectionOwner,
    },
};
use axum::{Router, body::Body, extract::State, response::IntoResponse};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const CONNECT_TIMEOUT_FIELD: &str = "iothub-streaming-connect-timeout-in-seconds";
const RESPONSE_TIMEOUT_FIELD: &str = "iothub-streaming-response-timeout-in-seconds";
/// Longest timeout of a request.
const MAX_TIMEOUT_SECONDS: f64 = 300.0;
/// When a client may try again that is too fast.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The service.
pub fn router(gateway: &GatewayHandle) -> Router {
    Router::new().fallback(serve).with_state(gateway.clone())
}

async fn serve(State(gateway): State<GatewayHandle>, request: Request) -> Response {
    let Some(gateway) = gateway.get() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let hub = gateway.shared_state.devices.clone();
    if let Err(error) = check_throttle(&hub.registry, &request) {
        return refuse(&hub.registry, &error);
    }
    let decode =
        |segment: &str| String::from_utf8_lossy(&percent_decoded(segment.as_bytes(), false)).into_owned();
    let segments: Vec<String> = request.uri().path().split('/').skip(1).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (&segments[..], request.method()) {
        (["twins", device, "streams", name], &Method::POST) => {
            let prepared = prepare(&hub, &request, (device, None, name));
            request_stream(&hub, prepared).await
        }
        (["twins", device, "modules", module, "streams", name], &Method::POST) => {
            let prepared = prepare(&hub, &request, (device, Some(module), name));
            request_stream(&hub, prepared).await
        }
        (["twins", .., "streams", _, _], &Method::POST) => {
            respond_error(&hub, DeviceError::Invalid("the name contains a slash"))
        }
        (["bridges", id], &Method::GET) => join_bridge(&hub, &request, id),
        (["$iothub", "websocket"], &Method::GET) => accept_mqtt(&hub, &request),
        (["deviceStreams"], &Method::GET) => list_endpoints(&hub, &request),
        _ => {
            let detail = "expected POST /twins/ID/streams/NAME, GET /bridges/ID, GET /$iothub/websocket or GET /deviceStreams";
            refuse_with(&hub.registry, ErrorCode::RouteNotFound, detail)
        }
    }
}

fn text_of(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The error in the form that service SDKs parse.
fn respond_error(hub: &DeviceHub, error: DeviceError) -> Response {
    let (code, message) = error.message();
    hub.registry.record_error(error.code());
    let body = serde_json::json!({
        "Message": format!("ErrorCode:{code};{message}"),
        "ExceptionMessage": format!("{message}."),
    });
    let status =
        StatusCode::from_u16(error.code().status(false)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if error == DeviceError::Throttled {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    if error == DeviceError::Unauthorized {
        let scheme = HeaderValue::from_static(crate::pipeline::sas::SCHEME);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response.extensions_mut().insert(error.code());
    response
}

/// The policy of the caller, if its token has the right.
fn authorize(
    hub: &DeviceHub,
    request: &Request,
    right: impl Fn(crate::net::agents::config::Rights) -> bool,
    path: &str,
) -> Result<(Caller, Requester), AccessError> {
    let caller = Caller::of(request)?;
    let (config, settings) = hub.settings().ok_or(AccessError::Signature)?;
    let hosts: Vec<&str> = settings.host_names.iter().map(|name| &**name).collect();
    let token = caller.token.as_ref().ok_or(AccessError::Missing)?;
    let policy = check_policy(&config, token, right, path, &hosts)?;
    Ok((caller, Requester::Policy(policy)))
}

/// A request that was authorized.
struct PreparedRequest<'r> {
    stream: DeviceRequest<'r>,
    log_format: StreamLogFormat,
    hub_name: Box<str>,
    user_agent: String,
}

/// Who requests a stream, and its timeouts.
fn prepare<'r>(
    hub: &DeviceHub,
    request: &Request,
    (device, module, name): (&'r str, Option<&'r str>, &'r str),
) -> Result<PreparedRequest<'r>, DeviceError> {
    let path = match module {
        Some(module) => format!("/devices/{device}/modules/{module}"),
        None => format!("/devices/{device}"),
    };
    let authorized = authorize(hub, request, |rights| rights.service_connect, &path);
    let (caller, requester) = authorized.map_err(|error| {
        count_failure(&hub.registry, request, error);
        DeviceError::Unauthorized
    })?;
    let (_, settings) = hub.settings().ok_or(DeviceError::NotFound)?;
    let timeouts = timeout(request.headers(), CONNECT_TIMEOUT_FIELD, settings.connect_timeout).zip(timeout(
        request.headers(),
        RESPONSE_TIMEOUT_FIELD,
        settings.response_timeout,
    ));
    let (connect_timeout, response_timeout) =
        timeouts.ok_or(DeviceError::Invalid("a timeout is a number of seconds from 0 to 300"))?;
    let client = caller.peer;
    Ok(PreparedRequest {
        stream: DeviceRequest { device, module, name, requester, client, connect_timeout, response_timeout },
        log_format: settings.log_format,
        hub_name: settings.host_names.first().cloned().unwrap_or_default(),
        user_agent: text_of(request.headers(), header::USER_AGENT).unwrap_or_default().to_owned(),
    })
}

async fn request_stream(
    hub: &Arc<DeviceHub>,
    prepared: Result<PreparedRequest<'_>, DeviceError>,
) -> Response {
    let PreparedRequest { stream, log_format, hub_name, user_agent } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return respond_error(hub, error),
    };
    let started_at = Instant::now();
    let response = match hub.request(&stream).await {
        Ok(accepted) => respond_stream(accepted),
        Err(error) => respond_error(hub, error),
    };
    if log_format == StreamLogFormat::Azure {
        let handshake = Handshake {
            hub: &hub_name,
            device: stream.device,
            module: stream.module,
            name: stream.name,
            user_agent: &user_agent,
            status: response.status().as_u16(),
            duration: started_at.elapsed(),
        };
        log::info!("{}", azure_log::line(handshake, SystemTime::now()));
    }
    response
}

/// A number of seconds with a fraction; `None`: not a number from 0 to 300.
fn timeout(headers: &HeaderMap, name: &'static str, default: Duration) -> Option<Duration> {
    let Some(value) = headers.get(name) else { return Some(default) };
    let text = value.to_str().ok()?.trim();
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_decimal)?;
    (0.0..=MAX_TIMEOUT_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// 200 whether the stream is accepted or not, without a body.
fn respond_stream(accepted: Option<AcceptedStream>) -> Response {
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    let is_accepted = if accepted.is_some() { "True" } else { "False" };
    fields.insert("iothub-streaming-is-accepted", HeaderValue::from_static(is_accepted));
    if let Some(AcceptedStream { url, token }) = accepted {
        let values = HeaderValue::from_str(&url).ok().zip(HeaderValue::from_str(&token).ok());
        if let Some((url, token)) = values {
            fields.insert("iothub-streaming-url", url);
            fields.insert("iothub-streaming-auth-token", token);
        }
    }
    response
}

/// The handshake of a WebSocket; `None`: the request is none.
fn websocket_response(headers: &HeaderMap, subprotocol: Option<&str>) -> Option<Response> {
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| text_of(headers, header::UPGRADE) == Some("websocket"))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(&accept_key(key.as_bytes())).ok()?;
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = subprotocol.and_then(|name| HeaderValue::from_str(name).ok()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Some(response)
}

/// The first subprotocol that the client offers.
fn first_offered(headers: &HeaderMap) -> Option<&str> {
    let offered = text_of(headers, header::SEC_WEBSOCKET_PROTOCOL)?;
    offered.split(',').map(str::trim).find(|name| !name.is_empty())
}

fn join_bridge(hub: &Arc<DeviceHub>, request: &Request, id: &str) -> Response {
    let headers = request.headers();
    let Some(mut response) = websocket_response(headers, first_offered(headers)) else {
        return refuse_with(&hub.registry, ErrorCode::AgentUpgrade, "a bridge is a WebSocket connection");
    };
    let authorization = text_of(headers, header::AUTHORIZATION).unwrap_or_default();
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default().trim();
    let (bridge, side) = match join::admit(hub, id, token) {
        Ok(admitted) => admitted,
        Err(BridgeError::Unknown) => {
            return refuse_with(
                &hub.registry,
                ErrorCode::BridgeNotFound,
                "there is no such bridge, or it has ended",
            );
        }
        Err(BridgeError::Token) => {
            return refuse_with(
                &hub.registry,
                ErrorCode::BridgeToken,
                "the token is not one of this bridge, or was used",
            );
        }
    };
    let hub = hub.clone();
    let owner = ConnectionOwner::new("websocket", move |io| {
        join::join(hub, bridge, side, WebSocketStream::new(io, WebSocketRole::Server))
    });
    response.extensions_mut().insert(owner);
    response
}

fn accept_mqtt(hub: &Arc<DeviceHub>, request: &Request) -> Response {
    let Some(mut response) = websocket_response(request.headers(), Some("mqtt")) else {
        return refuse_with(
            &hub.registry,
            ErrorCode::AgentUpgrade,
            "MQTT over WebSocket requires an upgrade",
        );
    };
    let certificate = request.extensions().get::<Arc<ClientCertificate>>();
    let certificate = certificate.map(|known| Proof::of_certificate(known));
    let address = match Caller::of(request) {
        Ok(caller) => caller.peer,
        Err(error) => return refuse(&hub.registry, &error.into_gateway_error()),
    };
    let (hub, peer) = (hub.clone(), DevicePeer { address, certificate });
    let owner = ConnectionOwner::new("websocket", move |io| {
        session::serve(WebSocketStream::new(io, WebSocketRole::Server), hub, peer)
    });
    response.extensions_mut().insert(owner);
    response
}

/// The addresses of bridges, for policies that may read the registry.
fn list_endpoints(hub: &DeviceHub, request: &Request) -> Response {
    if let Err(error) = authorize(hub, request, |rights| rights.registry_read, "") {
        count_failure(&hub.registry, request, error);
        return respond_error(hub, DeviceError::Unauthorized);
    }
    let url = hub.settings().map(|(_, settings)| settings.public_url).unwrap_or_default();
    let url = url.replacen("ws", "http", 1);
    axum::Json(serde_json::json!({ "streamingEndpoints": [url] })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_decimal_numbers_up_to_five_minutes() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECT_TIMEOUT_FIELD, HeaderValue::from_static(text));
            timeout(&headers, CONNECT_TIMEOUT_FIELD, Duration::from_secs(60))
        };
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        assert_eq!((read("0"), read("300")), (Some(Duration::ZERO), Some(Duration::from_secs(300))));
        for text in ["abc", "-1", "301", "", "1e1", "NaN", "inf"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new(), CONNECT_TIMEOUT_FIELD, Duration::MAX), Some(Duration::MAX));
    }
}
