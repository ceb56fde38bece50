//! The connection of a connector (`margay connect`) on the side of the gateway: each `CONNECT` is joined to a stream of the
//! agent that it names, or of a device.

use super::{
    access::{AccessError, Requester, check_policy},
    device_streams::DeviceStreams,
    duplex::{DuplexEnd, copy_duplex},
    keepalive::Heartbeat,
    names::{AGENT_FIELD, is_agent_id, is_service_name},
    open::StreamRequest,
    registry::AgentRegistry,
    stream::{MAX_FRAME_BYTES, MAX_SEND_BUFFER, TunnelStream},
};
use crate::pipeline::{error::GatewayError, sas::SasToken, upgrade::UpgradedIo};
use bytes::Bytes;
use h2::{
    RecvStream,
    server::{self, SendResponse},
};
use http::{Method, Request, Response, StatusCode, header};
use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most concurrent streams of a connector.
const MAX_STREAMS: u32 = 1024;
const MAX_HEADER_LIST: u32 = 8 * 1024;
const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// The time for a stream; `ConnectTimeout` of the agent is shorter.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long streams may continue while the gateway shuts down.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A connector that the route admitted.
#[derive(Clone, Debug)]
pub struct ConnectorCaller {
    pub token: Option<SasToken>,
    pub subject: Option<Box<str>>,
    pub peer: SocketAddr,
    /// The host of the request, for which tokens may be signed.
    pub host: Box<str>,
    pub devices: Arc<dyn DeviceStreams>,
}

impl ConnectorCaller {
    /// Who requests a stream to this agent.
    pub fn requester(&self, registry: &AgentRegistry, agent: &str) -> Result<Requester, AccessError> {
        if let Some(token) = &self.token {
            let path = format!("/devices/{agent}");
            let config = registry.config();
            let policy = check_policy(&config, token, |rights| rights.service_connect, &path, &[&self.host])?;
            return Ok(Requester::Policy(policy));
        }
        Ok(self.subject.clone().map_or(Requester::Anonymous, Requester::Subject))
    }
}

/// Serves a connector until it disconnects, its proof is no longer good, or the gateway shuts down.
pub async fn serve(io: Box<dyn UpgradedIo>, registry: Arc<AgentRegistry>, caller: Arc<ConnectorCaller>) {
    let Some(mut connection) = handshake(io).await else { return };
    let mut heartbeat = Heartbeat::new(connection.ping_pong(), Instant::now());
    let mut changes = registry.changes();
    let (tasks, _) = watch::channel(());
    let mut drain_until = None;
    loop {
        let accepted = poll_fn(|cx| match heartbeat.poll(cx).is_ready() {
            true => std::task::Poll::Ready(None),
            false => connection.poll_accept(cx),
        });
        tokio::select! {
            accepted = accepted => match accepted {
                Some(Ok((request, respond))) => {
                    let (registry, caller, task) = (registry.clone(), caller.clone(), tasks.subscribe());
                    drop(tokio::spawn(async move {
                        serve_stream(request, respond, &registry, &caller).await;
                        drop(task);
                    }));
                }
                _ => return,
            },
            _ = changes.changed(), if drain_until.is_none() => {
                if is_revoked(&registry, &caller) {
                    return;
                }
                if registry.is_draining() {
                    connection.graceful_shutdown();
                    drain_until = Some(Instant::now() + DRAIN_TIMEOUT);
                }
            }
            () = drained(&tasks, drain_until) => return,
        }
    }
}

async fn handshake(io: Box<dyn UpgradedIo>) -> Option<server::Connection<Box<dyn UpgradedIo>, Bytes>> {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    tokio::time::timeout(HANDSHAKE_TIMEOUT, builder.handshake::<_, Bytes>(io)).await.ok()?.ok()
}

/// Ready while the gateway shuts down, once no stream is open or its time is over.
async fn drained(tasks: &watch::Sender<()>, until: Option<Instant>) {
    match until {
        None => std::future::pending().await,
        Some(until) => {
            let _ = tokio::time::timeout_at(until.into(), tasks.closed()).await;
        }
    }
}

/// Whether the token of the connector is not accepted any more, for any agent.
fn is_revoked(registry: &AgentRegistry, caller: &ConnectorCaller) -> bool {
    let Some(token) = &caller.token else { return false };
    let path = token.device().map(|device| format!("/devices/{device}")).unwrap_or_default();
    check_policy(&registry.config(), token, |rights| rights.service_connect, &path, &[&caller.host]).is_err()
}

async fn serve_stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    registry: &Arc<AgentRegistry>,
    caller: &ConnectorCaller,
) {
    let Some((agent, service)) = named_service(&request) else {
        return respond_status(&mut respond, StatusCode::BAD_REQUEST);
    };
    let requester = match caller.requester(registry, &agent) {
        Ok(requester) => requester,
        Err(error) => return refuse(&mut respond, registry, &error.into_gateway_error()),
    };
    let stream = StreamRequest {
        agent: &agent,
        service: &service,
        requester: &requester,
        client: Some(caller.peer),
        timeout: OPEN_TIMEOUT,
    };
    if !registry.is_connected(&agent) && caller.devices.is_listening(&agent) {
        return serve_device_stream(request, respond, (registry, caller), stream).await;
    }
    let mut opened = match registry.open(stream).await {
        Ok(opened) => opened,
        Err(error) => return refuse(&mut respond, registry, &error.into_gateway_error(&agent, &service)),
    };
    let Ok(sender) = respond.send_response(Response::new(()), false) else { return };
    let mut connector = TunnelStream::new(sender, request.into_body());
    match copy_duplex(&mut connector, &mut opened).await.0 {
        DuplexEnd::Closed => {}
        DuplexEnd::FirstFailed => opened.reset().await,
        DuplexEnd::SecondFailed => connector.sender.reset().await,
    }
}

/// Joins a `CONNECT` to the bridge of a device, whose connection can only end as a whole.
async fn serve_device_stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    (registry, caller): (&AgentRegistry, &ConnectorCaller),
    stream: StreamRequest<'_>,
) {
    let mut opened = match caller.devices.open(stream).await {
        Ok(opened) => opened,
        Err(error) => {
            let error = error.into_gateway_error(stream.agent, stream.service);
            return refuse(&mut respond, registry, &error);
        }
    };
    let Ok(sender) = respond.send_response(Response::new(()), false) else { return };
    let mut connector = TunnelStream::new(sender, request.into_body());
    if copy_duplex(&mut connector, &mut opened).await.0 == DuplexEnd::SecondFailed {
        connector.sender.reset().await;
    }
}

/// The agent and the service of a `CONNECT`: `SERVICE.AGENT:0`, or the agent in its own field.
fn named_service<B>(request: &Request<B>) -> Option<(String, String)> {
    if request.method() != Method::CONNECT {
        return None;
    }
    let authority = request.uri().authority()?.host();
    let field = request.headers().get(AGENT_FIELD).and_then(|value| value.to_str().ok());
    let (service, agent) = match field {
        Some(agent) => {
            (authority.strip_suffix(agent).and_then(|s| s.strip_suffix('.')).unwrap_or(authority), agent)
        }
        None => authority.split_once('.')?,
    };
    (is_service_name(service) && is_agent_id(agent)).then(|| (agent.to_owned(), service.to_owned()))
}

fn respond_status(respond: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let _ = respond.send_response(response, true);
}

/// Sends a problem.
fn refuse(respond: &mut SendResponse<Bytes>, registry: &AgentRegistry, error: &GatewayError) {
    registry.record_error(error.code);
    let status = error.status(false);
    let problem = serde_json::json!({
        "title": error.code.title(), "status": status, "code": error.code.name(), "detail": error.detail,
    });
    let response =
        Response::builder().status(status).header(header::CONTENT_TYPE, "application/problem+json");
    let Ok(response) = response.body(()) else { return };
    if let Ok(mut body) = respond.send_response(response, false) {
        let _ = body.send_data(problem.to_string().into(), true);
    }
}
