//! The engine: hubs by service and name, their connections by worker, and operations on them.
//!
//! A connection belongs to the worker that accepted it; an operation crosses to every worker once. Locks are taken in the
//! order hubs, part of a hub, session; none is held while a socket is written.

mod apply;
mod calls;
mod client;
pub mod connection;
#[cfg(test)]
pub(in crate::realtime) mod scenario;
pub mod hub;
mod handover;
mod inbox;
mod publish;
mod remote;
pub mod shared;
mod shard;
pub mod socket;
#[cfg(test)]
mod tests;
mod summary;
mod timers;

pub use apply::JoinResult;
pub use inbox::{TimerKind, TimerTarget, current_worker};
pub use summary::{ConnectionPage, ConnectionSummary, GroupSummary, HubSummary};

use super::{
    backplane::{
        Node,
        contract::{Backplane, LocalNode},
        wire::Take,
    },
    config::RealtimeConfig,
    context::{HubContext, HubService},
    events::EventSink,
    operation::{BackplaneUnavailable, Operation, OperationFuture, Operations},
    rest::DataPlane,
    session::RECOVERY_KEY_BYTES,
    shared_groups::{self, SharedGroups},
    user_groups::MAX_MEMBERSHIPS,
};
use crate::net::websocket::close_code;
use crate::state::SharedState;
use crate::telemetry::hubs::{HubClose, HubMetrics};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hub::{Hub, SessionEnd};
use inbox::lock;
use shared::{QueueShedder, Shared};
use socket::HubSocket;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How often is checked whether all sessions were handed over.
const HANDOVER_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A new hub without an entry is created after unused ones were removed, if there are this many.
const MIN_HUBS_FOR_CLEANUP: usize = 256;

/// A session of another node: its hub, the connection, the epoch of its socket and the number of its last message.
pub type AdoptedSession = (Arc<Hub>, Arc<connection::Connection>, u32, u64);

/// Service and hub, both as in the configuration and in lower case.
type HubKey = (Arc<str>, Arc<str>);

/// All hubs of the process.
#[derive(Debug)]
pub struct Engine {
    pub shared: Arc<Shared>,
    pub data_plane: Arc<DataPlane>,
    hubs: Mutex<Hubs>,
    /// What connects the nodes.
    shared_state: Mutex<Option<Arc<SharedState>>>,
    is_shedding: AtomicBool,
}

#[derive(Debug)]
struct Hubs {
    by_key: BTreeMap<HubKey, Arc<Hub>>,
    cleanup_at: usize,
}

impl Engine {
    /// An engine without hubs.
    pub fn new(
        workers: usize,
        events: Arc<dyn EventSink>,
        metrics: Arc<HubMetrics>,
        limits: RealtimeConfig,
    ) -> Arc<Engine> {
        metrics.set_backplane_up(true);
        let engine = Arc::new(Engine {
            shared: Arc::new(Shared::new(workers, events, metrics, limits)),
            hubs: Mutex::new(Hubs { by_key: BTreeMap::new(), cleanup_at: MIN_HUBS_FOR_CLEANUP }),
            data_plane: Arc::default(),
            shared_state: Mutex::default(),
            is_shedding: AtomicBool::new(false),
        });
        let shedder: Weak<dyn QueueShedder> = Arc::downgrade(&engine) as Weak<dyn QueueShedder>;
        let _ = engine.shared.shedder.set(shedder);
        engine
    }

    /// The hub of this context; created with its first connection.
    pub fn hub(&self, context: &HubContext) -> Arc<Hub> {
        let key = (context.service.config.name.clone(), context.name.clone());
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.by_key.get(&key) {
            return hub.clone();
        }
        if hubs.by_key.len() >= hubs.cleanup_at {
            hubs.by_key.retain(|_, hub| hub.connections() > 0 || Arc::strong_count(hub) > 1);
            hubs.cleanup_at = MIN_HUBS_FOR_CLEANUP.max(2 * hubs.by_key.len());
        }
        let hub = Arc::new(Hub::new(self.shared.clone(), context.clone()));
        hubs.by_key.insert(key, hub.clone());
        hub
    }

    /// The hub of this name in lower case, if it has had connections.
    pub fn find(&self, service: &str, hub: &str) -> Option<Arc<Hub>> {
        lock(&self.hubs).by_key.get(&(service.into(), hub.into())).cloned()
    }

    /// All hubs with connections, in the order of their names.
    pub fn hubs(&self) -> Vec<Arc<Hub>> {
        lock(&self.hubs).by_key.values().filter(|hub| hub.connections() > 0).cloned().collect()
    }

    /// The numbers of all hubs with connections, with the name of their service.
    pub fn summaries(&self) -> Vec<(String, HubSummary)> {
        let summary = |hub: Arc<Hub>| {
            let service = hub.context.load().service.config.name.to_string();
            (service, hub.summary())
        };
        self.hubs().into_iter().map(summary).collect()
    }

    /// Applies the limits and services of a new plan: the connections of hubs that are gone are closed.
    pub fn configure(&self, limits: &RealtimeConfig, services: &[Arc<HubService>]) {
        if **self.shared.limits.load() != *limits {
            self.shared.limits.store(Arc::new(limits.clone()));
        }
        let mut removed = Vec::new();
        lock(&self.hubs).by_key.retain(|(service, name), hub| {
            let service = services.iter().find(|known| known.config.name == *service);
            match service.and_then(|service| HubContext::new(service, name)) {
                Some(context) => hub.context.store(Arc::new(context)),
                None => {
                    removed.push(hub.clone());
                    return false;
                }
            }
            true
        });
        for hub in removed {
            let end =
                SessionEnd::new(HubClose::ServiceReload, "ServiceReload").with_code(close_code::GOING_AWAY);
            for connection in all_connections(&hub) {
                hub.end(&connection, end.clone());
            }
        }
    }

    /// Connects this node with the others, or disconnects it.
    pub fn connect_nodes(self: &Arc<Self>, state: Option<&Arc<SharedState>>) {
        let mut current = lock(&self.shared_state);
        if current.as_ref().map(Arc::as_ptr) == state.map(Arc::as_ptr) {
            return;
        }
        *current = state.cloned();
        self.share_groups(state);
        let local: Weak<dyn LocalNode> = Arc::downgrade(self) as Weak<dyn LocalNode>;
        let node = state.map(|state| Node::start(&self.shared.node, state, local));
        self.shared.metrics.set_backplane_up(node.is_none());
        self.shared.set_backplane(node.map(|node| Arc::new(node) as Arc<dyn Backplane>));
    }

    /// Keeps the groups of users in the shared state; `None`: in this process.
    fn share_groups(self: &Arc<Self>, state: Option<&Arc<SharedState>>) {
        let groups = state.map(|state| Arc::new(SharedGroups::new(state.clone(), MAX_MEMBERSHIPS)));
        if let (Some(state), Some(groups)) = (state, &groups) {
            let operations: Weak<dyn Operations> = Arc::downgrade(self) as Weak<dyn Operations>;
            state.spawn(shared_groups::end_expired(Arc::downgrade(groups), operations));
        }
        self.data_plane.user_groups.share(groups);
    }

    /// Waits until other nodes have taken the sessions over, or the clients are gone; then the node leaves the others.
    pub async fn hand_over(&self, until: Instant) {
        let Some(backplane) = self.shared.backplane() else { return };
        while self.shared.connections.load(Relaxed) > 0 && Instant::now() < until {
            tokio::time::sleep(HANDOVER_CHECK_INTERVAL).await;
        }
        backplane.leave().await;
    }

    /// Takes a session over from another node and attaches a socket; `None`: there is no such session.
    pub async fn take_over(
        self: &Arc<Self>,
        context: Arc<HubContext>,
        take: Take,
        worker: usize,
    ) -> Result<Option<HubSocket>, BackplaneUnavailable> {
        let open = |(hub, connection, epoch, _): AdoptedSession| HubSocket::new(hub, connection, epoch);
        self.take_over_with(context, take, (worker, None), open).await
    }

    /// Takes a SignalR connection over from another node, for this link.
    pub async fn take_over_signalr<T: Send + 'static>(
        self: &Arc<Self>,
        context: Arc<HubContext>,
        (connection_id, key): (&str, &[u8]),
        client: (usize, Arc<dyn connection::ClientLink>),
        open: impl FnOnce(AdoptedSession) -> T + Send + 'static,
    ) -> Result<Option<T>, BackplaneUnavailable> {
        let take = Take {
            connection_id: connection_id.to_owned(),
            key: key.to_vec(),
            subprotocol: handover::SIGNALR.to_owned(),
        };
        self.take_over_with(context, take, (client.0, Some(client.1)), open).await
    }

    /// `open` attaches what owns the socket of the session.
    async fn take_over_with<T: Send + 'static>(
        self: &Arc<Self>,
        context: Arc<HubContext>,
        take: Take,
        client: (usize, Option<Arc<dyn connection::ClientLink>>),
        open: impl FnOnce(AdoptedSession) -> T + Send + 'static,
    ) -> Result<Option<T>, BackplaneUnavailable> {
        let Some(backplane) = self.shared.backplane() else { return Ok(None) };
        let (service, name) = (&context.service.config.name, &context.name);
        let taking = backplane.take(service, name, take);
        let engine = self.clone();
        let adopting = async move {
            let Some(taken) = taking.await? else { return Ok(None) };
            let hub = engine.hub(&context);
            let last_processed = taken.session.signalr.map_or(0, |signalr| signalr.last_processed);
            let adopted = hub.adopt(context, taken, client);
            Ok(adopted.map(|(connection, epoch)| open((hub, connection, epoch, last_processed))))
        };
        // A task: the session would be lost with a client that leaves in the meantime.
        tokio::spawn(adopting).await.unwrap_or(Ok(None))
    }

    /// Closes all connections with 1001, spread over this time; new ones are not accepted.
    pub fn begin_drain(&self, window: Duration) {
        self.shared.is_draining.store(true, Relaxed);
        let connections: Vec<_> = self
            .hubs()
            .into_iter()
            .flat_map(|hub| {
                all_connections(&hub).into_iter().map(move |connection| (hub.clone(), connection))
            })
            .collect();
        let (now, total) = (Instant::now(), connections.len().max(1) as f64);
        for (at, (hub, connection)) in connections.into_iter().enumerate() {
            let delay = window.mul_f64(at as f64 / total);
            hub.set_timer(&connection, now + delay, TimerKind::Drain, 0);
        }
    }

    /// The secret in a recovery token; `None`: the token is malformed.
    pub fn recovery_key(token: &str) -> Option<[u8; RECOVERY_KEY_BYTES]> {
        URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()
    }
}

fn all_connections(hub: &Hub) -> Vec<Arc<connection::Connection>> {
    let mut all = Vec::with_capacity(hub.connections());
    hub.for_each_shard(|shard| all.extend(shard.connections().cloned()));
    all
}

impl Operations for Engine {
    fn execute(&self, service: &str, hub: &str, operation: Operation) -> OperationFuture {
        let backplane = self.shared.backplane();
        let operation = Arc::new(match (operation, &backplane) {
            (Operation::Send { to, publication }, Some(backplane)) => {
                let publication = publication.with_id(backplane.next_id());
                Operation::Send { to, publication: Arc::new(publication) }
            }
            (operation, _) => operation,
        });
        if let Some(backplane) = &backplane {
            backplane.apply(service, hub, &operation);
        }
        let here = self.execute_here(service, hub, &operation);
        let Some(backplane) = backplane else { return here };
        let is_sent = matches!(*operation, Operation::Send { .. });
        if is_sent {
            let accepted = backplane.publish(service, hub, &operation);
            return Box::pin(async move {
                let outcome = here.await?;
                match accepted.await {
                    true => Ok(outcome),
                    false => Err(BackplaneUnavailable { nodes: Vec::new() }),
                }
            });
        }
        let (service, hub) = (service.to_owned(), hub.to_owned());
        // Sent now, in the order of the calls; a query that this node can answer needs no other one.
        let elsewhere = backplane.request(&service, &hub, &operation);
        Box::pin(async move {
            let mut outcome = here.await?;
            if matches!(*operation, Operation::Count(_)) && outcome.matched > 0 {
                return Ok(outcome);
            }
            outcome.merge(elsewhere.await?);
            Ok(outcome)
        })
    }
}

impl QueueShedder for Engine {
    fn shed_queues(&self) {
        if self.is_shedding.swap(true, Relaxed) {
            return;
        }
        let mut queued: Vec<_> = self
            .hubs()
            .into_iter()
            .flat_map(|hub| {
                all_connections(&hub).into_iter().map(move |connection| (hub.clone(), connection))
            })
            .map(|(hub, connection)| {
                let bytes = connection.session().queue.bytes();
                (bytes, hub, connection)
            })
            .filter(|(bytes, ..)| *bytes > 0)
            .collect();
        queued.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
        // By the bytes of the queues: a payload that is being sent stays counted until all workers have it.
        let mut excess = self.shared.excess_bytes();
        for (bytes, hub, connection) in queued {
            if excess == 0 {
                break;
            }
            hub.end_slow(&connection);
            excess = excess.saturating_sub(bytes);
        }
        self.is_shedding.store(false, Relaxed);
    }
}
