//! The listening sockets in use, and every worker's share in accepting from them.

use super::{
    door::Guest,
    gateway::{Gateway, TooMany},
    serve::serve,
    worker::Worker,
};
use crate::{
    pipeline::{answer::rescue, body::Body, cause::Cause, exchange::Peer},
    plan::ListenerPlan,
    wire::{
        h1::client::ClientConn,
        listen::{Accepted, Acceptor, bind},
        side::ClientSide,
    },
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// A bound listening socket.
#[derive(Debug)]
pub struct Bound {
    pub socket: TcpListener,
    plan: ArcSwap<ListenerPlan>,
}

impl Bound {
    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.plan.load().address)
    }

    /// What it serves now.
    pub fn plan(&self) -> Arc<ListenerPlan> {
        self.plan.load_full()
    }
}

/// All listening sockets now.
pub type Listeners = Arc<[Arc<Bound>]>;

/// Binds what is new and keeps what stays; nothing changes if one cannot be bound.
pub fn rebind(old: &[Arc<Bound>], wanted: &[ListenerPlan]) -> Result<Listeners, (ListenerPlan, io::Error)> {
    let one = |plan: &ListenerPlan| match old.iter().find(|bound| bound.plan.load().address == plan.address) {
        Some(bound) => Ok(bound.clone()),
        None => bind(plan.address)
            .map(|socket| Arc::new(Bound { plan: ArcSwap::from_pointee(plan.clone()), socket }))
            .map_err(|error| (plan.clone(), error)),
    };
    let bound: Listeners = wanted.iter().map(one).collect::<Result<_, _>>()?;
    for (bound, plan) in bound.iter().zip(wanted) {
        bound.plan.store(Arc::new(plan.clone()));
    }
    Ok(bound)
}

/// A worker's accepting: follows the set of listeners until the gateway drains.
pub async fn accept_all(w: Arc<Worker>, mut listeners: watch::Receiver<Listeners>) {
    let mut tasks: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
    loop {
        let wanted = listeners.borrow_and_update().clone();
        tasks.retain(|address, task| {
            let stays = wanted.iter().any(|bound| bound.address() == *address);
            if !stays {
                task.abort();
            }
            stays
        });
        for bound in wanted.iter() {
            tasks.entry(bound.address()).or_insert_with(|| tokio::spawn(accept(bound.clone(), w.clone())));
        }
        if listeners.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts from one socket until told not to.
async fn accept(bound: Arc<Bound>, w: Arc<Worker>) {
    let acceptor = match Acceptor::new(&bound.socket) {
        Ok(acceptor) => acceptor,
        Err(error) => return log::error!("worker {} cannot accept on {}: {error}", w.index, bound.address()),
    };
    loop {
        match acceptor.accept().await {
            Ok(accepted) => welcome(accepted, bound.plan(), &w),
            // Out of descriptors, most likely: others must close first.
            Err(error) => {
                log::warn!("a connection on {} was not accepted: {error}", bound.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Counts the connection in and serves it, or says that there are too many.
fn welcome(accepted: Accepted, door: Arc<ListenerPlan>, w: &Arc<Worker>) {
    let Accepted { io, peer, local } = accepted;
    let peer = Peer::new(peer, local, door.tls.is_some());
    let limits = w.plan().limits;
    let seat = w.gateway.connections.enter(peer.ip(), limits.connections, limits.connections_per_client);
    let w = w.clone();
    match seat {
        Ok(seat) => drop(tokio::spawn(async move {
            w.gateway.metrics().accepted(w.index);
            if let Some((io, guest)) = Guest::welcome(io, peer, door).await {
                serve(io, guest, w.clone()).await;
            }
            w.gateway.metrics().closed(w.index);
            drop(seat);
        })),
        // There is no time for a handshake only to say no.
        Err(too_many) if door.tls.is_some() => w.gateway.metrics().refused(too_many.why().name()),
        Err(too_many) => drop(tokio::spawn(turn_away(ClientConn::new(io, peer), w, too_many))),
    }
}

/// Answers 503 before a request was read; briefly, for this is when there is no room.
async fn turn_away(mut conn: ClientConn, w: Arc<Worker>, too_many: TooMany) {
    let why = too_many.why();
    w.gateway.metrics().refused(why.name());
    let mut answer = rescue(&Cause::new(why, "try again later"), b"", b"", w.plan().ocelot);
    conn.begin(&answer.head, super::relay::framing(&answer, false, conn.version()), false);
    let sent = super::relay::relay(&mut conn, &mut answer.body, Duration::from_secs(1)).await;
    answer.body = Body::Empty;
    if sent.is_ok() {
        conn.close_lingering(16 * 1024, Instant::now() + Duration::from_millis(500)).await;
    }
}

/// The addresses that a gateway listens on.
pub fn addresses(listeners: &Listeners) -> Vec<SocketAddr> {
    listeners.iter().map(|bound| bound.address()).collect()
}

/// Waits until every connection ended, or until then.
pub async fn drained(gateway: &Gateway, until: Instant) -> bool {
    while gateway.connections.open() > 0 {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}
