//! The listening sockets, and the accept loops of the workers.

use super::{
    connection::ConnectionContext,
    gateway::{ConnectionGuard, ConnectionLimitError, Gateway},
    http1::{ServeFuture, serve},
    read_ahead::ReadAheadLimit,
    relay::TransferLimits,
    worker::Worker,
};
use crate::{
    net::{
        client_io::ClientIo,
        descriptors::{self, DESCRIPTOR_RETRY_INTERVAL, DescriptorGuard, MAX_DESCRIPTOR_WAIT},
        h1::client::ClientConn,
        io::Stream,
        listener::{Accepted, Acceptor, Address, BoundSocket, bind},
        proxy_protocol::{ProxyProtocolConfig, ReceiveError},
    },
    pipeline::{body::Body, error::GatewayError, exchange::Peer, response::rescue},
    plan::ListenerPlan,
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
            Ok(accepted) => handle_connection(accepted, bound.plan(), &worker),
            // The usual cause is the descriptor limit: other connections must close first.
            Err(error) => {
                log::warn!("cannot accept a connection on {}: {error}", bound.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
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
        // The client expects a handshake, or the peer has not sent its PROXY header yet.
        Err(too_many) if listener.tls.is_some() || listener.proxy.is_some() => {
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
    if listener.tls.is_none() {
        return serve(io, ConnectionContext::plain(peer, listener), worker);
    }
    Box::pin(async move {
        if let Some((io, connection)) = ConnectionContext::handshake(io, peer, listener).await {
            serve(io, connection, worker).await;
        }
    })
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
