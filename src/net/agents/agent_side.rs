//! The connection of an agent on the side of the agent: the HTTP/2 server of the turned roles. It connects to the targets of
//! its own settings only.

use super::{
    keepalive::Heartbeat,
    names::{CLIENT_FIELD, ERROR_FIELD, RENEW_PATH, STREAM_FIELD, TIMEOUT_FIELD},
    relay::relay_socket,
    service_target::ServiceTarget,
    socket::LocalSocket,
    stream::{MAX_FRAME_BYTES, MAX_SEND_BUFFER, TunnelStream},
};
use crate::{base::ip_set::IpSet, pipeline::upgrade::UpgradedIo};
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, Connection, SendResponse},
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most concurrent streams of a connection.
const MAX_STREAMS: u32 = 1024;
/// Many streams may be given up at the same time.
const MAX_RESET_STREAMS: usize = 2048;
const MAX_HEADER_LIST: u32 = 8 * 1024;
const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The time for a target, unless the gateway has another.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long streams may continue after the agent was stopped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What all connections of an agent share.
#[derive(Debug, Default)]
pub struct AgentContext {
    services: Mutex<Arc<[ServiceTarget]>>,
    /// The addresses of clients that may reach the services, as the gateway reports them; `None`: all.
    pub allowed_clients: Option<IpSet>,
    /// Lines for the gateways: new tokens, and changes of the services.
    pub announcements: watch::Sender<String>,
    pub streams: AtomicUsize,
    pub streams_total: AtomicU64,
    pub failed_total: AtomicU64,
}

impl AgentContext {
    /// An agent that offers these services to these clients.
    pub fn new(services: Vec<ServiceTarget>, allowed_clients: Option<IpSet>) -> AgentContext {
        AgentContext { services: Mutex::new(services.into()), allowed_clients, ..AgentContext::default() }
    }

    /// The services that are offered.
    pub fn services(&self) -> Arc<[ServiceTarget]> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the services, and announces them.
    pub fn set_services(&self, services: Vec<ServiceTarget>) {
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = services.into();
        let line = serde_json::json!({ "services": self.offer() });
        self.announcements.send_replace(format!("{line}\n"));
    }

    /// The value of `Margay-Services`.
    pub fn offer(&self) -> String {
        self.services().iter().map(ServiceTarget::offer).collect::<Vec<_>>().join(", ")
    }
}

/// The requested end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentStop {
    #[default]
    No,
    /// No new streams; those that are open have some time.
    Graceful,
}

/// Serves one connection until it ends; `streams` counts its open streams.
pub async fn serve(
    io: Box<dyn UpgradedIo>,
    context: Arc<AgentContext>,
    streams: Arc<AtomicUsize>,
    mut stop: watch::Receiver<AgentStop>,
) {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, builder.handshake::<_, Bytes>(io)).await;
    let Ok(Ok(mut connection)) = handshake else { return };
    let mut heartbeat = Heartbeat::new(connection.ping_pong(), Instant::now());
    let mut drain_until = None;
    loop {
        tokio::select! {
            request = next_request(&mut connection, &mut heartbeat) => match request {
                Some((request, respond)) => accept(request, respond, &context, &streams),
                None => return,
            },
            () = stop_requested(&mut stop), if drain_until.is_none() => {
                connection.graceful_shutdown();
                drain_until = Some(Instant::now() + DRAIN_TIMEOUT);
            }
            () = drained(&streams, drain_until) => {
                // Lets the last frames reach the socket.
                let _ = tokio::time::timeout(Duration::from_millis(100), next_request(&mut connection, &mut heartbeat)).await;
                return;
            }
        }
    }
}

async fn stop_requested(stop: &mut watch::Receiver<AgentStop>) {
    if stop.wait_for(|stop| *stop != AgentStop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ready once no stream is open after the connection was stopped, or its time is over.
async fn drained(streams: &AtomicUsize, until: Option<Instant>) {
    let Some(until) = until else { return std::future::pending().await };
    while streams.load(Relaxed) > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The next request; `None` when the connection has ended.
async fn next_request(
    connection: &mut Connection<Box<dyn UpgradedIo>, Bytes>,
    heartbeat: &mut Heartbeat,
) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
    poll_fn(|cx| match heartbeat.poll(cx).is_ready() {
        true => Poll::Ready(None),
        false => connection.poll_accept(cx).map(|accepted| accepted.and_then(Result::ok)),
    })
    .await
}

fn accept(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    context: &Arc<AgentContext>,
    streams: &Arc<AtomicUsize>,
) {
    if request.method() == Method::GET && request.uri().path() == RENEW_PATH {
        if let Ok(body) = respond.send_response(Response::new(()), false) {
            drop(tokio::spawn(announce(body, request.into_body(), context.clone())));
        }
        return;
    }
    let (context, streams) = (context.clone(), streams.clone());
    streams.fetch_add(1, Relaxed);
    context.streams.fetch_add(1, Relaxed);
    context.streams_total.fetch_add(1, Relaxed);
    drop(tokio::spawn(async move {
        serve_stream(request, respond, &context).await;
        streams.fetch_sub(1, Relaxed);
        context.streams.fetch_sub(1, Relaxed);
    }));
}

/// Sends announcements until the connection ends.
async fn announce(mut body: SendStream<Bytes>, _request: RecvStream, context: Arc<AgentContext>) {
    let mut announcements = context.announcements.subscribe();
    loop {
        let reset = poll_fn(|cx| body.poll_reset(cx));
        tokio::select! {
            changed = announcements.changed() => if changed.is_err() { return },
            _ = reset => return,
        }
        let line = Bytes::from(announcements.borrow_and_update().clone());
        if body.send_data(line, false).is_err() {
            return;
        }
    }
}

async fn serve_stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    context: &AgentContext,
) {
    let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let service = request.uri().authority().map_or("", |authority| authority.host()).to_owned();
    let id = field(STREAM_FIELD).unwrap_or_default().to_owned();
    let client: Option<SocketAddr> = field(CLIENT_FIELD).and_then(|value| value.parse().ok());
    let timeout = field(TIMEOUT_FIELD).and_then(|value| value.parse().ok()).map(Duration::from_millis);
    let services = context.services();
    let target = services.iter().find(|target| target.name == service);
    let target = target.filter(|_| request.method() == Method::CONNECT);
    let socket = match connect(context, target, client, timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT)).await {
        Ok(socket) => socket,
        Err((status, why)) => {
            log::info!("stream {id} to {service}: {why}");
            return refuse(&mut respond, context, status, why);
        }
    };
    let Ok(sender) = respond.send_response(Response::new(()), false) else { return };
    let summary = relay_socket(TunnelStream::new(sender, request.into_body()), socket).await;
    let client = client.map(|client| format!(" for {client}")).unwrap_or_default();
    let end = if summary.is_reset { "reset" } else { "closed" };
    log::info!(
        "stream {id} to {service}{client}: {end}, {} bytes in, {} bytes out",
        summary.from_tunnel,
        summary.to_tunnel
    );
}

/// Connects to the target, or the status and the reason of a refusal.
async fn connect(
    context: &AgentContext,
    target: Option<&ServiceTarget>,
    client: Option<SocketAddr>,
    timeout: Duration,
) -> Result<LocalSocket, (StatusCode, &'static str)> {
    let target = target.ok_or((StatusCode::NOT_FOUND, "no such service"))?;
    if !is_allowed(context, client) {
        return Err((StatusCode::FORBIDDEN, "the address of the client is not allowed"));
    }
    match tokio::time::timeout(timeout, target.connect()).await {
        Ok(connected) => connected.map_err(|error| (StatusCode::BAD_GATEWAY, reason(&error))),
        Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "no connection in time")),
    }
}

/// Whether the address of the client is in the allowed networks; an unknown address is in none.
fn is_allowed(context: &AgentContext, client: Option<SocketAddr>) -> bool {
    let Some(allowed) = &context.allowed_clients else { return true };
    client.is_some_and(|client| allowed.contains(client.ip()))
}

/// The reason in a few words, without the address of the target.
fn reason(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused",
        std::io::ErrorKind::NotFound => "the socket does not exist",
        std::io::ErrorKind::PermissionDenied => "permission denied",
        _ => "the target is not reachable",
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, context: &AgentContext, status: StatusCode, why: &'static str) {
    context.failed_total.fetch_add(1, Relaxed);
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.headers_mut().insert(ERROR_FIELD, HeaderValue::from_static(why));
    let _ = respond.send_response(response, true);
}
