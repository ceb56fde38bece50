//! The listening sockets in use, and every worker's share in accepting from them.

use super::{
    connection::ConnectionContext,
    gateway::{ConnectionLimitError, Gateway},
    http1::serve,
    worker::Worker,
};
use crate::{
    net::{
        client_io::ClientIo,
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
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// A bound listening socket.
#[derive(Debug)]
pub struct BoundListener {
    pub socket: BoundSocket,
    plan: ArcSwap<ListenerPlan>,
}

impl BoundListener {
    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> Address {
        self.socket.address().unwrap_or_else(|_| self.plan.load().address.clone())
    }

    /// What it serves now.
    pub fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }
}

/// A listener that cannot be had, and why.
#[derive(Debug)]
pub struct BindError {
    pub name: String,
    pub address: Address,
    pub error: io::Error,
}

/// All listening sockets now.
pub type Listeners = Arc<[Arc<BoundListener>]>;

/// Binds what is new and keeps what stays; nothing changes if one cannot be bound.
pub fn update(old: &[Arc<BoundListener>], wanted: &[ListenerPlan]) -> Result<Listeners, BindError> {
    let serves = |bound: &&Arc<BoundListener>, plan: &ListenerPlan| {
        bound.plan.load().address == plan.address && bound.socket.exists()
    };
    let one = |plan: &ListenerPlan| match old.iter().find(|bound| serves(bound, plan)) {
        Some(bound) => Ok(bound.clone()),
        None => bind(&plan.address, plan.mode)
            .map(|socket| Arc::new(BoundListener { plan: ArcSwap::from_pointee(plan.clone()), socket }))
            .map_err(|error| BindError { name: plan.name.to_string(), address: plan.address.clone(), error }),
    };
    let bound: Listeners = wanted.iter().map(one).collect::<Result<_, _>>()?;
    for (bound, plan) in bound.iter().zip(wanted) {
        let before = bound.plan.swap(Arc::new(plan.clone()));
        if let Some(mode) = plan.mode.filter(|_| before.mode != plan.mode)
            && let Err(error) = bound.socket.set_mode(mode)
        {
            log::error!("the mode of {} was not changed: {error}", plan.address);
        }
    }
    Ok(bound)
}

/// Takes the files away of sockets that are listened on no more, whoever still holds them.
pub fn unlink_sockets(old: &[Arc<BoundListener>], now: &[Arc<BoundListener>]) {
    let stays = |bound: &Arc<BoundListener>| now.iter().any(|other| Arc::ptr_eq(bound, other));
    old.iter().filter(|bound| !stays(bound)).for_each(|bound| bound.socket.remove());
}

/// A worker's accepting: follows the set of listeners until the gateway drains.
pub async fn accept_all(worker: Arc<Worker>, mut listeners: watch::Receiver<Listeners>) {
    let mut tasks: Vec<(Arc<BoundListener>, JoinHandle<()>)> = Vec::new();
    loop {
        let wanted = listeners.borrow_and_update().clone();
        tasks.retain(|(accepted, task)| {
            let stays = wanted.iter().any(|bound| Arc::ptr_eq(bound, accepted));
            if !stays {
                task.abort();
            }
            stays
        });
        for bound in wanted.iter() {
            if !tasks.iter().any(|(accepted, _)| Arc::ptr_eq(bound, accepted)) {
                tasks.push((bound.clone(), tokio::spawn(accept(bound.clone(), worker.clone()))));
            }
        }
        drop(wanted);
        if listeners.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts from one socket until told not to.
async fn accept(bound: Arc<BoundListener>, worker: Arc<Worker>) {
    let acceptor = match Acceptor::new(&bound.socket) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return log::error!("worker {} cannot accept on {}: {error}", worker.index, bound.address());
        }
    };
    loop {
        match acceptor.accept().await {
            Ok(accepted) => handle_connection(accepted, bound.plan(), &worker),
            // Out of descriptors, most likely: others must close first.
            Err(error) => {
                log::warn!("a connection on {} was not accepted: {error}", bound.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Counts the connection in and serves it, or says that there are too many.
fn handle_connection(accepted: Accepted, door: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    if door.proxy.is_some() {
        return handle_proxied_connection(accepted, door, worker);
    }
    let Accepted { io, peer, local, .. } = accepted;
    let peer = Peer::new(peer, local, door.tls.is_some());
    let limits = worker.plan().limits;
    let seat =
        worker.gateway.connections.try_acquire(peer.ip(), limits.connections, limits.connections_per_client);
    let w = worker.clone();
    match seat {
        Ok(seat) => drop(tokio::spawn(async move {
            w.gateway.metrics().accepted(w.index);
            if let Some((io, guest)) = ConnectionContext::handshake(io, peer, door).await {
                serve(io, guest, w.clone()).await;
            }
            w.gateway.metrics().closed(w.index);
            drop(seat);
        })),
        // There is no time for a handshake only to say no.
        Err(too_many) if door.tls.is_some() => w.gateway.metrics().record_error(too_many.error_code().name()),
        Err(too_many) => drop(tokio::spawn(reject_connection(ClientConn::new(io, peer), w, too_many))),
    }
}

/// The same where a proxy may say first for whom it comes: that one is counted, and not the proxy.
fn handle_proxied_connection(accepted: Accepted, door: Arc<ListenerPlan>, worker: &Arc<Worker>) {
    let most = worker.plan().limits.connections;
    let mut seat = match worker.gateway.connections.try_acquire(accepted.peer.ip(), most, usize::MAX) {
        Ok(seat) => seat,
        // It would not understand an answer before it has said who it is.
        Err(too_many) => return worker.gateway.metrics().record_error(too_many.error_code().name()),
    };
    let w = worker.clone();
    drop(tokio::spawn(async move {
        w.gateway.metrics().accepted(w.index);
        // Boxed: other listeners need not carry its room around.
        if let Some((io, peer)) = Box::pin(read_proxy_header(accepted, &door, &w)).await {
            match seat.assign_client(peer.ip(), w.plan().limits.connections_per_client) {
                Ok(()) => {
                    if let Some((io, guest)) = ConnectionContext::handshake(io, peer, door).await {
                        serve(io, guest, w.clone()).await;
                    }
                }
                Err(too_many) if door.tls.is_some() => {
                    w.gateway.metrics().record_error(too_many.error_code().name());
                }
                Err(too_many) => reject_connection(ClientConn::new(io, peer), w.clone(), too_many).await,
            }
        }
        w.gateway.metrics().closed(w.index);
        drop(seat);
    }));
}

/// A connection, and who is at its other end; none where it was refused.
async fn read_proxy_header(
    accepted: Accepted,
    door: &ListenerPlan,
    worker: &Worker,
) -> Option<(Stream, Peer)> {
    let (from, reception): (SocketAddr, &ProxyProtocolConfig) = (accepted.peer, door.proxy.as_deref()?);
    match reception.receive(accepted).await {
        Ok((io, peer, local)) => Some((io, Peer::new(peer, local, door.tls.is_some()))),
        Err(ReceiveError::Closed) => None,
        Err(ReceiveError::Rejected(cause)) => {
            worker.gateway.metrics().record_error(cause.why.name());
            log::debug!("{} from {from} on {}: {}", cause.why.name(), door.name, cause.detail);
            None
        }
    }
}

/// Answers 503 before a request was read; briefly, for this is when there is no room.
async fn reject_connection(mut conn: ClientConn, worker: Arc<Worker>, too_many: ConnectionLimitError) {
    let why = too_many.error_code();
    worker.gateway.metrics().record_error(why.name());
    let mut answer = rescue(&GatewayError::new(why, "try again later"), b"", b"", worker.plan().ocelot);
    conn.send_head(&answer.head, super::relay::framing(&answer, false, conn.version()), false);
    let sent = super::relay::relay(&mut conn, &mut answer.body, Duration::from_secs(1)).await;
    answer.body = Body::Empty;
    if sent.is_ok() {
        conn.close_lingering(16 * 1024, Instant::now() + Duration::from_millis(500)).await;
    }
}

/// Waits until every connection ended, or until then.
pub async fn wait_drained(gateway: &Gateway, until: Instant) -> bool {
    while gateway.connections.open() > 0 {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
