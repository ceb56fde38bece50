//! The listening sockets, and the accept loops of the workers.

use super::{
    connection::ConnectionContext,
    gateway::{ConnectionGuard, ConnectionLimitError, Gateway},
    http1::{ServeFuture, serve},
    l4::{self, Incoming, dial::ClientEnds},
    read_ahead::ReadAheadLimit,
    relay::TransferLimits,
    worker::Worker,
};
use crate::{
    net::{
        client_io::ClientIo,
        descriptors::{self, DescriptorGuard},
        h1::client::ClientConn,
        io::Stream,
        listener::{Accepted, AcceptedSocket, Acceptor, Address, BoundSocket, bind},
        proxy_protocol::{ProxyProtocolConfig, ReceiveError},
    },
    pipeline::{body::Body, error::GatewayError, exchange::Peer, response::rescue},
    plan::{ListenerPlan, blueprint::ListenerProtocol, transport::TransportListener},
};
use arc_swap::ArcSwap;
use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// A bound listening socket.
#[derive(Debug)]
pub struct BoundListener {
    pub socket: BoundSocket,
    plan: ArcSwap<ListenerPlan>,
}

impl BoundListener {
    /// The bound address, with the port that the kernel picked.
    pub fn address(&self) -> Address {
        self.socket.address().unwrap_or_else(|_| self.plan.load().address.clone())
    }

    /// The current plan of the listener.
    pub fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }
}

/// A listener that could not be bound, and the error.
#[derive(Debug)]
pub struct BindError {
    pub name: String,
    pub address: Address,
    pub error: io::Error,
}

/// All current listening sockets.
pub type Listeners = Arc<[Arc<BoundListener>]>;

/// Binds new listeners and keeps existing ones; changes nothing if binding fails.
pub fn update(old: &[Arc<BoundListener>], plans: &[ListenerPlan]) -> Result<Listeners, BindError> {
    let serves = |bound: &&Arc<BoundListener>, plan: &ListenerPlan| {
        bound.plan.load().address == plan.address && bound.socket.exists()
    };
    let bind_or_keep = |plan: &ListenerPlan| match old.iter().find(|bound| serves(bound, plan)) {
        Some(bound) => Ok(bound.clone()),
        None => bind(&plan.address, plan.mode)
            .map(|socket| Arc::new(BoundListener { plan: ArcSwap::from_pointee(plan.clone()), socket }))
            .map_err(|error| BindError { name: plan.name.to_string(), address: plan.address.clone(), error }),
    };
    let bound: Listeners = plans.iter().map(bind_or_keep).collect::<Result<_, _>>()?;
    for (bound, plan) in bound.iter().zip(plans) {
        let before = bound.plan();
        let mut plan = plan.clone();
        match plan.has_same_policy(&before) {
            true => plan.outdated = before.outdated.clone(),
            false => before.outdated.store(true, Ordering::Relaxed),
        }
        let plan = Arc::new(plan);
        bound.plan.store(plan.clone());
        if let Some(mode) = plan.mode.filter(|_| before.mode != plan.mode)
            && let Err(error) = bound.socket.set_mode(mode)
        {
            log::error!("cannot change the mode of {}: {error}", plan.address);
        }
    }
    Ok(bound)
}

/// Lets the connections of removed listeners end with their next response, and removes the files of Unix domain sockets
/// that are no longer listened on, even if they are still referenced.
pub fn retire(old: &[Arc<BoundListener>], now: &[Arc<BoundListener>]) {
    let stays = |bound: &Arc<BoundListener>| now.iter().any(|other| Arc::ptr_eq(bound, other));
    for gone in old.iter().filter(|bound| !stays(bound)) {
        gone.plan.load().outdated.store(true, Ordering::Relaxed);
        gone.socket.remove();
    }
}

/// Runs the accept loops of a worker: follows the set of listeners until the gateway drains.
pub async fn accept_all(worker: Arc<Worker>, mut listeners: watch::Receiver<Listeners>) {
    let mut tasks: Vec<(Arc<BoundListener>, oneshot::Sender<()>)> = Vec::new();
    loop {
        let current = listeners.borrow_and_update().clone();
        // A dropped sender stops the task once the backlog is empty.
        tasks.retain(|(accepted, _)| current.iter().any(|bound| Arc::ptr_eq(bound, accepted)));
        for bound in current.iter() {
            if !tasks.iter().any(|(accepted, _)| Arc::ptr_eq(bound, accepted)) {
                let (stop, stopped) = oneshot::channel();
                tokio::spawn(accept(bound.clone(), worker.clone(), stopped));
                tasks.push((bound.clone(), stop));
            }
        }
        drop(current);
        if listeners.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts from one socket until `stopped`, and then until its backlog is empty.
async fn accept(bound: Arc<BoundListener>, worker: Arc<Worker>, mut stopped: oneshot::Receiver<()>) {
    match bound.socket.datagrams(worker.index) {
        Ok(Some(socket)) => {
            return l4::sessions::serve(socket, move || bound.plan(), worker, stopped).await;
        }
        Ok(None) => {}
        Err(error) => {
            return log::error!("worker {} cannot receive on {}: {error}", worker.index, bound.address());
        }
    }
    let acceptor = match Acceptor::new(&bound.socket) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return log::error!("worker {} cannot accept on {}: {error}", worker.index, bound.address());
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = acceptor.accept() => accepted,
            _ = &mut stopped => return,
        };
        match accepted {
            Ok(accepted) => handle(accepted, bound.plan(), &worker),
            // The usual cause is the descriptor limit: other connections must close first.
            Err(error) => {
                log::warn!("cannot accept a connection on {}: {error}", bound.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves a connection: transport routes before HTTP, or instead of it.
fn handle(accepted: AcceptedSocket, listener: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    let handler = listener
        .handler
        .as_ref()
        .filter(|handler| listener.protocol != ListenerProtocol::Http || handler.router.has_conditions());
    match handler.cloned() {
        None => handle_connection(accepted.into(), listener, worker),
        Some(handler) => forward_connection(accepted, (listener, handler), worker),
    }
}

/// Serves a connection within the connection limits, or rejects it.
fn handle_connection(accepted: Accepted, listener: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    if listener.proxy.is_some() {
        return handle_proxied_connection(accepted, listener, worker);
    }
    let Accepted { io, peer, local, .. } = accepted;
    let peer = Peer::new(peer, local, listener.tls.is_some());
    let limits = worker.plan().limits;
    let max = limits.connections.unwrap_or(usize::MAX);
    let guard = worker.gateway.connections.try_acquire(peer.ip(), max, limits.connections_per_client);
    let worker = worker.clone();
    match guard {
        Ok(guard) => drop(tokio::spawn(async move {
            worker.gateway.metrics().accepted(worker.index);
            serve_accepted(io, peer, listener, worker.clone()).await;
            worker.gateway.metrics().closed(worker.index);
            drop(guard);
        })),
        // Neither a handshake nor a descriptor is spent on many rejections.
        Err(too_many) => match RejectionGuard::try_acquire().filter(|_| listener.tls.is_none()) {
            None => worker.gateway.metrics().record_error(too_many.error_code().name()),
            Some(guard) => drop(tokio::spawn(async move {
                reject_connection(io, peer, worker, too_many).await;
                drop(guard);
            })),
        },
    }
}

/// Serves a connection within the limits. Not an `async fn`: its caller should not reserve memory for the handshake, nor
/// for what is moved into the future of the connection.
fn serve_accepted(io: Stream, peer: Peer, listener: Arc<ListenerPlan>, worker: Arc<Worker>) -> ServeFuture {
    if listener.tls.is_none() {
        return serve(io, ConnectionContext::plain(peer, listener), worker);
    }
    Box::pin(async move {
        if let Some((io, connection)) = ConnectionContext::handshake(io, peer, listener).await {
            serve(io, connection, worker).await;
        }
    })
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

/// The same for a listener with the PROXY protocol: the limit per client applies to the client, not to the proxy.
fn handle_proxied_connection(accepted: Accepted, listener: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    let max_connections = worker.plan().limits.connections.unwrap_or(usize::MAX);
    let mut guard =
        match worker.gateway.connections.try_acquire(accepted.peer.ip(), max_connections, usize::MAX) {
            Ok(guard) => guard,
            // The peer has not sent its PROXY header yet and does not expect a response.
            Err(too_many) => return worker.gateway.metrics().record_error(too_many.error_code().name()),
        };
    let worker = worker.clone();
    drop(tokio::spawn(async move {
        worker.gateway.metrics().accepted(worker.index);
        // Boxed: other listeners should not reserve memory for it.
        if let Some((io, peer)) = Box::pin(read_proxy_header(accepted, &listener, &worker)).await {
            match guard.assign_client(peer.ip(), worker.plan().limits.connections_per_client) {
                Ok(()) => serve_accepted(io, peer, listener, worker.clone()).await,
                Err(too_many) if listener.tls.is_some() => {
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

/// Sends 503 before a request was read, within a short timeout because the limit is reached.
async fn reject_connection(io: Stream, peer: Peer, worker: Arc<Worker>, too_many: ConnectionLimitError) {
    let mut conn = ClientConn::new(io, peer.tls);
    let code = too_many.error_code();
    worker.gateway.metrics().record_error(code.name());
    let mut response = rescue(&GatewayError::new(code, "try again later"), b"", b"", worker.plan().ocelot);
    conn.send_head(&response.head, super::relay::framing(&response, false, conn.version()), false);
    let budget = &worker.gateway.shared_state.buffering_memory;
    let read_ahead = ReadAheadLimit { max_bytes: 0, budget, client: peer.ip() };
    let limits = TransferLimits { idle_timeout: Duration::from_secs(1), min_rate: None, read_ahead };
    let sent = super::relay::relay(&mut conn, &mut response.body, limits).await;
    response.body = Body::Empty;
    if sent.is_ok() {
        conn.close_lingering(16 * 1024, Instant::now() + Duration::from_millis(500)).await;
    }
}

/// Waits until all connections are closed, or until the deadline.
pub async fn wait_drained(gateway: &Gateway, deadline: Instant) -> bool {
    while gateway.connections.open() > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
