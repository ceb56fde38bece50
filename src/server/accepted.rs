//! Accepted connections: the limits they count for, the PROXY protocol, and what serves them.

use super::{
    connection::ConnectionContext,
    gateway::{ConnectionGuard, ConnectionLimitError},
    http1::{ServeFuture, serve},
    l4::{self, Incoming, dial::ClientEnds},
    read_ahead::ReadAheadLimit,
    relay::{TransferLimits, framing, relay},
    worker::Worker,
};
use crate::{
    net::{
        agents::access::Proof,
        buffer::ReadBuffer,
        client_io::ClientIo,
        descriptors::{self, DESCRIPTOR_RETRY_INTERVAL, DescriptorGuard, MAX_DESCRIPTOR_WAIT},
        devices::session::{self, DevicePeer},
        h1::client::ClientConn,
        io::Stream,
        listener::{Accepted, AcceptedSocket},
        proxy_protocol::{ProxyProtocolConfig, ReceiveError},
        upgraded::UpgradedConnection,
    },
    pipeline::{body::Body, error::GatewayError, exchange::Peer, response::rescue},
    plan::{ListenerPlan, blueprint::ListenerProtocol, transport::TransportListener},
};
use std::{
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Serves a connection: transport routes before HTTP, or instead of it.
pub(super) fn handle(accepted: AcceptedSocket, listener: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    let handler = listener
        .handler
        .as_ref()
        .filter(|handler| listener.protocol != ListenerProtocol::Http || handler.router.has_conditions());
    match handler.cloned() {
        None => handle_connection(accepted.into(), listener, worker),
        Some(handler) => forward_connection(accepted, (listener, handler), worker),
    }
}

/// Serves a connection within the connection limits. Behind the PROXY protocol, the limit per client applies to the client
/// and not to the proxy: it is checked later.
fn handle_connection(accepted: Accepted, listener: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    match try_acquire(&accepted, &listener, worker) {
        Ok(guard) => serve_counted(accepted, listener, worker.clone(), guard),
        Err(too_many) => match RejectionGuard::try_acquire() {
            // Neither a handshake nor a descriptor is spent on many rejections.
            None => worker.gateway.metrics().record_error(too_many.error_code().name()),
            Some(guard) => drop(tokio::spawn(handle_excess(accepted, listener, worker.clone(), guard))),
        },
    }
}

fn max_connections(listener: &ListenerPlan, worker: &Worker) -> usize {
    worker.plan().limits.connections.unwrap_or(usize::MAX).min(listener.max_connections)
}

fn try_acquire(
    accepted: &Accepted,
    listener: &ListenerPlan,
    worker: &Worker,
) -> Result<ConnectionGuard, ConnectionLimitError> {
    let limits = worker.plan().limits;
    let max = max_connections(listener, worker);
    let per_client = match listener.proxy {
        Some(_) => usize::MAX,
        None => limits.connections_per_client.min(listener.max_connections / 4),
    };
    worker.gateway.connections.try_acquire(accepted.peer.ip().to_canonical(), max, per_client)
}

/// Serves a connection that is counted.
fn serve_counted(
    accepted: Accepted,
    listener: Arc<ListenerPlan>,
    worker: Arc<Worker>,
    guard: ConnectionGuard,
) {
    if listener.proxy.is_some() {
        return serve_proxied(accepted, listener, worker, guard);
    }
    let Accepted { io, peer, local, .. } = accepted;
    let peer = Peer::new(peer, local, listener.tls.is_some());
    drop(tokio::spawn(async move {
        worker.gateway.metrics().accepted(worker.index);
        serve_accepted(io, peer, listener, worker.clone()).await;
        worker.gateway.metrics().closed(worker.index);
        drop(guard);
    }));
}

/// Waits until an idle connection is closed for one beyond the limits, or rejects it.
async fn handle_excess(
    accepted: Accepted,
    listener: Arc<ListenerPlan>,
    worker: Arc<Worker>,
    rejection: RejectionGuard,
) {
    match wait_for_room(&accepted, &listener, &worker).await {
        Ok(guard) => serve_counted(accepted, listener, worker, guard),
        // The client does not expect HTTP, or the peer has not sent its PROXY header yet.
        Err(too_many) if !expects_http(&listener) || listener.proxy.is_some() => {
            worker.gateway.metrics().record_error(too_many.error_code().name());
        }
        Err(too_many) => {
            let peer = Peer::new(accepted.peer, accepted.local, false);
            reject_connection(accepted.io, peer, worker, too_many).await;
        }
    }
    drop(rejection);
}

async fn wait_for_room(
    accepted: &Accepted,
    listener: &ListenerPlan,
    worker: &Worker,
) -> Result<ConnectionGuard, ConnectionLimitError> {
    let deadline = Instant::now() + MAX_DESCRIPTOR_WAIT;
    loop {
        worker.evict_idle(max_connections(listener, worker));
        match try_acquire(accepted, listener, worker) {
            Err(ConnectionLimitError::Total) if Instant::now() < deadline => {
                tokio::time::sleep(DESCRIPTOR_RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}

/// Serves a connection within the limits. Not an `async fn`: its caller should not reserve memory for the handshake, nor
/// for what is moved into the future of the connection.
fn serve_accepted(io: Stream, peer: Peer, listener: Arc<ListenerPlan>, worker: Arc<Worker>) -> ServeFuture {
    let is_mqtt = listener.protocol == ListenerProtocol::Mqtt;
    if listener.tls.is_none() {
        let connection = ConnectionContext::plain(peer, listener);
        return if is_mqtt { serve_device(io, connection, worker) } else { serve(io, connection, worker) };
    }
    Box::pin(async move {
        if let Some((io, connection)) = ConnectionContext::handshake(io, peer, listener).await {
            match is_mqtt {
                true => serve_device(io, connection, worker).await,
                false => serve(io, connection, worker).await,
            }
        }
    })
}

/// Serves the MQTT connection of a device.
fn serve_device(io: Stream, connection: ConnectionContext, worker: Arc<Worker>) -> ServeFuture {
    let certificate = connection.client_certificate().map(|certificate| Proof::of_certificate(&certificate));
    let peer = DevicePeer { address: connection.peer.address, certificate };
    let io = UpgradedConnection::new(io, ReadBuffer::default());
    Box::pin(session::serve(io, worker.gateway.shared_state.devices.clone(), peer))
}

/// Forwards a connection within the connection limits, or resets it.
fn forward_connection(
    accepted: AcceptedSocket,
    (listener, handler): (Arc<ListenerPlan>, Arc<TransportListener>),
    worker: &Arc<Worker>,
) {
    let limits = worker.plan().limits;
    let max_per_client = if listener.proxy.is_some() { usize::MAX } else { limits.connections_per_client };
    let max = limits.connections.unwrap_or(usize::MAX);
    let mut guard = match worker.gateway.connections.try_acquire(accepted.peer.ip(), max, max_per_client) {
        Ok(guard) => guard,
        Err(too_many) => {
            worker.gateway.metrics().record_error(too_many.error_code().name());
            return accepted.socket.reset();
        }
    };
    let worker = worker.clone();
    drop(tokio::spawn(async move {
        worker.gateway.metrics().accepted(worker.index);
        let incoming = Box::pin(receive_proxied(accepted, listener.clone(), worker.clone())).await;
        if let Some(incoming) = incoming {
            match assign_client(&incoming, &mut guard, limits.connections_per_client) {
                Ok(()) => serve_incoming(incoming, &handler).await,
                Err(too_many) => {
                    worker.gateway.metrics().record_error(too_many.error_code().name());
                    incoming.socket.reset();
                }
            }
        }
        worker.gateway.metrics().closed(worker.index);
        drop(guard);
    }));
}

/// The limit per client applies to the client, not to the proxy.
fn assign_client(
    incoming: &Incoming,
    guard: &mut ConnectionGuard,
    max: usize,
) -> Result<(), ConnectionLimitError> {
    if incoming.listener.proxy.is_none() {
        return Ok(());
    }
    guard.assign_client(incoming.ends.peer.ip(), max)
}

async fn serve_incoming(incoming: Incoming, handler: &TransportListener) {
    // HTTP serves what no transport route takes.
    if let Some(Incoming { socket, ends, prefix, listener, worker }) = l4::serve(incoming, handler).await {
        let peer = Peer::new(ends.peer, ends.local, listener.tls.is_some()).with_listener_port(ends.port);
        serve_accepted(socket.into_stream(&prefix), peer, listener, worker).await;
    }
}

/// Receives the PROXY header, if the listener has it.
async fn receive_proxied(
    accepted: AcceptedSocket,
    listener: Arc<ListenerPlan>,
    worker: Arc<Worker>,
) -> Option<Incoming> {
    let (proxy, port) = (accepted.peer, accepted.local.port());
    let (accepted, prefix) = match listener.proxy.as_deref() {
        None => (accepted, Vec::new()),
        Some(config) => match config.receive_on_socket(accepted).await {
            Ok(received) => received,
            Err(ReceiveError::Closed) => return None,
            Err(ReceiveError::Rejected(cause)) => {
                worker.gateway.metrics().record_error(cause.code.name());
                log::debug!("{} proxy {proxy} on {}: {}", cause.code.name(), listener.name, cause.detail);
                return None;
            }
        },
    };
    let AcceptedSocket { socket, peer, local, .. } = accepted;
    let ends = ClientEnds { peer, local, port };
    Some(Incoming { socket, ends, prefix, listener, worker })
}

/// Rejected connections of a worker that still receive their response; more are closed at once.
const MAX_REJECTIONS: usize = 32;

thread_local! {
    static REJECTIONS: Cell<usize> = const { Cell::new(0) };
}

/// One rejected connection that is still open. Dropped on the worker that created it.
struct RejectionGuard {
    _descriptor: DescriptorGuard,
}

impl RejectionGuard {
    fn try_acquire() -> Option<RejectionGuard> {
        let open = REJECTIONS.get();
        let descriptor = descriptors::PROCESS.try_rejected()?;
        (open < MAX_REJECTIONS).then(|| {
            REJECTIONS.set(open + 1);
            RejectionGuard { _descriptor: descriptor }
        })
    }
}

impl Drop for RejectionGuard {
    fn drop(&mut self) {
        let _ = REJECTIONS.try_with(|open| open.set(open.get().saturating_sub(1)));
    }
}

/// Serves a counted connection of a listener with the PROXY protocol.
fn serve_proxied(
    accepted: Accepted,
    listener: Arc<ListenerPlan>,
    worker: Arc<Worker>,
    mut guard: ConnectionGuard,
) {
    drop(tokio::spawn(async move {
        worker.gateway.metrics().accepted(worker.index);
        // Boxed: other listeners should not reserve memory for it.
        if let Some((io, peer)) = Box::pin(read_proxy_header(accepted, &listener, &worker)).await {
            match guard.assign_client(peer.ip(), worker.plan().limits.connections_per_client) {
                Ok(()) => serve_accepted(io, peer, listener, worker.clone()).await,
                Err(too_many) if !expects_http(&listener) => {
                    worker.gateway.metrics().record_error(too_many.error_code().name());
                }
                Err(too_many) => reject_connection(io, peer, worker.clone(), too_many).await,
            }
        }
        worker.gateway.metrics().closed(worker.index);
        drop(guard);
    }));
}

/// A connection with the addresses of its PROXY header; `None` if it was rejected.
async fn read_proxy_header(
    accepted: Accepted,
    listener: &ListenerPlan,
    worker: &Worker,
) -> Option<(Stream, Peer)> {
    let (proxy, config): (SocketAddr, &ProxyProtocolConfig) = (accepted.peer, listener.proxy.as_deref()?);
    let port = accepted.local.port();
    match config.receive(accepted).await {
        Ok((io, peer, local)) => {
            Some((io, Peer::new(peer, local, listener.tls.is_some()).with_listener_port(port)))
        }
        Err(ReceiveError::Closed) => None,
        Err(ReceiveError::Rejected(cause)) => {
            worker.gateway.metrics().record_error(cause.code.name());
            log::debug!("{} proxy {proxy} on {}: {}", cause.code.name(), listener.name, cause.detail);
            None
        }
    }
}

/// Whether an HTTP response can be sent before anything was read: the client waits for no handshake, and is no MQTT device.
fn expects_http(listener: &ListenerPlan) -> bool {
    listener.tls.is_none() && listener.protocol != ListenerProtocol::Mqtt
}

/// Sends 503 before a request was read, within a short timeout because the limit is reached.
async fn reject_connection(io: Stream, peer: Peer, worker: Arc<Worker>, too_many: ConnectionLimitError) {
    let mut conn = ClientConn::new(io, peer.tls);
    let code = too_many.error_code();
    worker.gateway.metrics().record_error(code.name());
    let mut response = rescue(&GatewayError::new(code, "try again later"), b"", b"", worker.plan().ocelot);
    conn.send_head(&response.head, framing(&response, false, conn.version()), false);
    let budget = &worker.gateway.shared_state.buffering_memory;
    let read_ahead = ReadAheadLimit { max_bytes: 0, budget, client: peer.ip() };
    let limits = TransferLimits { idle_timeout: Duration::from_secs(1), min_rate: None, read_ahead };
    let sent = relay(&mut conn, &mut response.body, limits).await;
    response.body = Body::Empty;
    if sent.is_ok() {
        conn.close_lingering(16 * 1024, Instant::now() + Duration::from_millis(500)).await;
    }
}
