//! A hub: its connections on all workers, registration and the end of sessions. Operations are in `apply.rs`, publishing in
//! `publish.rs`, timers in `timers.rs`.

use super::{
    connection::{Connection, ConnectionOwner, NewConnection},
    inbox::{TimerKind, TimerTarget, lock},
    shard::HubShard,
    shared::{Shared, encode},
};
use crate::net::websocket::{close_code, close_frame};
use crate::realtime::{
    context::HubContext,
    events::Notification,
    message::{ServerMessage, StreamEndError},
    permissions::Permissions,
    protocols::{Subprotocol, signalr},
    session::{EndOptions, RECOVERY_KEY_BYTES, Session, queue, rate::MessageRate, streams::Stream},
};
use crate::telemetry::hubs::{HubClose, HubGauges};
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long a socket may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A hub.
#[derive(Debug)]
pub struct Hub {
    pub shared: Arc<Shared>,
    /// The current settings: of the last plan that has the hub.
    pub context: ArcSwap<HubContext>,
    pub(super) shards: Box<[Mutex<HubShard>]>,
    /// Connections by worker.
    pub(super) counts: Box<[AtomicUsize]>,
    gauges: Arc<HubGauges>,
    connections: AtomicUsize,
    pub detached: AtomicUsize,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    HubLimit,
    ProcessLimit,
    TooManyGroups,
}

/// How a session ends.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    pub reason: HubClose,
    /// The text for the client and for the event `disconnected`.
    pub message: Box<str>,
    /// The status of the close frame; `None`: 1008 for reliable clients, 1000 for others.
    pub code: Option<u16>,
}

impl SessionEnd {
    /// An end by the service.
    pub fn new(reason: HubClose, message: impl Into<Box<str>>) -> SessionEnd {
        SessionEnd { reason, message: message.into(), code: None }
    }

    /// The same end with this status of the close frame.
    #[must_use]
    pub fn with_code(self, code: u16) -> SessionEnd {
        SessionEnd { code: Some(code), ..self }
    }
}

impl Hub {
    /// A hub without connections.
    pub fn new(shared: Arc<Shared>, context: HubContext) -> Hub {
        let workers = shared.inboxes.len();
        let label = context.service.config.hub_label(&context.name);
        let gauges = shared.metrics.hub(&context.service.config.name, label);
        Hub {
            shared,
            context: ArcSwap::from_pointee(context),
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            counts: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            gauges,
            connections: AtomicUsize::new(0),
            detached: AtomicUsize::new(0),
        }
    }

    /// The number of connections, sessions without a socket included.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Calls `f` for the part of every worker.
    pub fn for_each_shard(&self, mut f: impl FnMut(&HubShard)) {
        self.shards.iter().for_each(|shard| f(&lock(shard)));
    }

    /// The connection of this id.
    pub fn find(&self, id: &str) -> Option<Arc<Connection>> {
        self.shards.iter().find_map(|shard| lock(shard).get(id).cloned())
    }

    /// Registers a connection on this worker, with its first groups; its socket is attached later.
    pub fn register(
        self: &Arc<Self>,
        new: NewConnection,
        worker: usize,
        groups: &[Arc<str>],
        permissions: Permissions,
    ) -> Result<(Arc<Connection>, u32), RegistrationError> {
        let context = new.context.clone();
        if groups.len() > context.config.limits.max_groups_per_connection {
            return Err(RegistrationError::TooManyGroups);
        }
        let connection = self.prepare(new, worker)?;
        let home = connection.home;
        let mut shard = lock(&self.shards[home]);
        let mut session = connection.session();
        session.permissions = permissions;
        let epoch = self.attach(&connection, &mut session);
        shard.insert(&connection);
        for group in groups {
            let name = shard.add_member(group, &connection);
            session.add_group(&name);
        }
        drop(session);
        drop(shard);
        self.counts[home].fetch_add(1, Relaxed);
        Ok((connection, epoch))
    }

    /// A connection within the limits, which is not among the others yet.
    pub(super) fn prepare(
        self: &Arc<Self>,
        new: NewConnection,
        worker: usize,
    ) -> Result<Arc<Connection>, RegistrationError> {
        let context = new.context.clone();
        self.acquire(&context)?;
        let home = worker.min(self.shards.len() - 1);
        self.shared.inboxes[home].start(home);
        let protocol = new.subprotocol.name().unwrap_or("simple");
        let gauge = self.gauges.connections(protocol);
        let owner: Arc<dyn ConnectionOwner> = self.clone();
        let connection = Arc::new(Connection::new(new, home, owner, gauge));
        let max_rate = context.config.limits.max_messages_per_second;
        connection.session().rate = max_rate.map(|rate| Box::new(MessageRate::new(rate, Instant::now())));
        Ok(connection)
    }

    /// The connection is not among the others any more.
    pub(super) fn release(&self, connection: &Connection) {
        self.counts[connection.home].fetch_sub(1, Relaxed);
        self.connections.fetch_sub(1, Relaxed);
        self.shared.connections.fetch_sub(1, Relaxed);
        connection.details.gauge.fetch_sub(1, Relaxed);
    }

    /// Attaches a new socket to a session; its first message is `connected`. Returns the epoch of the socket.
    pub(super) fn attach(&self, connection: &Connection, session: &mut Session) -> u32 {
        if let (Subprotocol::SignalR(kind), true) = (connection.subprotocol, session.epoch > 0) {
            let first = signalr::encode::sequence(kind.protocol, session.queue.first_unacknowledged());
            return session.attach_with(&first, connection.subprotocol);
        }
        let token = connection.subprotocol.is_reliable().then(|| {
            let key = self.shared.random_bytes::<RECOVERY_KEY_BYTES>();
            session.rotate_key(key);
            encode(&key).into()
        });
        let connected = ServerMessage::Connected {
            connection_id: connection.id.clone(),
            user_id: connection.user.clone(),
            reconnection_token: token,
        };
        session.attach(Some(&connected), connection.subprotocol)
    }

    /// Attaches a new socket to the session of this id and this token; `None`: there is no such session.
    pub fn recover(
        &self,
        id: &str,
        key: &[u8; RECOVERY_KEY_BYTES],
        subprotocol: Subprotocol,
    ) -> Option<(Arc<Connection>, u32)> {
        let connection = self.find(id)?;
        let mut session = connection.session();
        let is_accepted = session.accepts_key(key)
            && !session.is_ended
            && connection.subprotocol == subprotocol
            && subprotocol.is_reliable();
        if !is_accepted {
            return None;
        }
        if session.socket.is_none() {
            self.add_detached(-1);
        }
        let epoch = self.attach(&connection, &mut session);
        drop(session);
        Some((connection, epoch))
    }

    /// Attaches a new socket to a SignalR connection, whose token was checked; `None`: it has ended.
    pub fn reattach(&self, connection: &Connection) -> Option<u32> {
        let mut session = connection.session();
        if session.is_ended || !connection.subprotocol.is_reliable() {
            return None;
        }
        if session.socket.is_none() {
            self.add_detached(-1);
        }
        Some(self.attach(connection, &mut session))
    }

    fn acquire(&self, context: &HubContext) -> Result<(), RegistrationError> {
        let below = |limit: Option<usize>| move |count: usize| limit.is_none_or(|limit| count < limit);
        let acquire = |count: &AtomicUsize, limit| {
            let next = |count: usize| below(limit)(count).then_some(count + 1);
            count.fetch_update(Relaxed, Relaxed, next).is_ok()
        };
        if !acquire(&self.shared.connections, self.shared.limits.load().max_connections) {
            return Err(RegistrationError::ProcessLimit);
        }
        if !acquire(&self.connections, context.config.limits.max_connections) {
            self.shared.connections.fetch_sub(1, Relaxed);
            return Err(RegistrationError::HubLimit);
        }
        Ok(())
    }

    /// Starts timers and jobs of this worker; must be called on its thread.
    pub fn enter(&self, worker: usize) {
        let worker = worker.min(self.shards.len() - 1);
        self.shared.inboxes[worker].start(worker);
    }

    /// Sets a timer of something that is no connection, on a worker.
    pub fn set_timer_of(&self, worker: usize, at: Instant, kind: TimerKind, target: Weak<dyn TimerTarget>) {
        let worker = worker.min(self.shards.len() - 1);
        self.shared.inboxes[worker].set_timer(at, kind, 0, target);
    }

    /// Sets a timer of a connection, on its worker.
    pub fn set_timer(&self, connection: &Arc<Connection>, at: Instant, kind: TimerKind, epoch: u32) {
        let target: Weak<dyn TimerTarget> = Arc::downgrade(connection) as Weak<dyn TimerTarget>;
        self.shared.inboxes[connection.home].set_timer(at, kind, epoch, target);
    }

    /// The part of a worker.
    pub(super) fn shard(&self, worker: usize) -> std::sync::MutexGuard<'_, HubShard> {
        lock(&self.shards[worker])
    }

    /// Ends a session: its memberships, its streams and its socket.
    pub fn end(self: &Arc<Self>, connection: &Arc<Connection>, end: SessionEnd) {
        let Some((state, streams, was_detached, epoch)) = self.remove(connection, &end) else { return };
        self.release(connection);
        self.shared.metrics.count_close(end.reason);
        if let Some(link) = &connection.details.link {
            link.ended();
        }
        if was_detached {
            self.add_detached(-1);
        } else {
            self.set_timer(connection, Instant::now() + CLOSE_TIMEOUT, TimerKind::Abort, epoch);
        }
        let error = || StreamEndError {
            name: "ConnectionClosed".into(),
            message: "The connection of the publisher was closed".into(),
            user_error_code: None,
        };
        streams.iter().for_each(|stream| self.end_stream(connection, stream, Some(error())));
        let notification = Notification::Disconnected { reason: end.message };
        self.shared.events.notify(&connection.event_source(state), notification);
    }

    /// Removes the connection from the hub and ends its session; `None` if it had ended.
    #[expect(
        clippy::type_complexity,
        reason = "the parts of the session that end after the locks are released"
    )]
    fn remove(
        &self,
        connection: &Arc<Connection>,
        end: &SessionEnd,
    ) -> Option<(Option<Arc<str>>, Vec<Stream>, bool, u32)> {
        let mut shard = self.shard(connection.home);
        let mut session = connection.session();
        let groups = std::mem::take(&mut session.groups);
        if !shard.remove(connection, &groups) {
            return None;
        }
        drop(shard);
        let subprotocol = connection.subprotocol;
        let default_code =
            if subprotocol.is_reliable() { close_code::POLICY_VIOLATION } else { close_code::NORMAL };
        let code = end.code.unwrap_or(default_code);
        let allows_reconnect = end.reason != HubClose::Protocol;
        let farewell = ServerMessage::Disconnected { message: end.message.clone(), allows_reconnect };
        // A socket whose client sends the close frame needs no farewell.
        let farewell = (end.reason != HubClose::Normal).then_some(&farewell);
        let was_detached = session.socket.is_none();
        let options = EndOptions { subprotocol, discards_queue: end.reason == HubClose::SlowClient };
        session.end(farewell, close_frame(code, &end.message), options);
        let streams = session.streams.take().map(|streams| streams.iter().cloned().collect());
        Some((session.state.clone(), streams.unwrap_or_default(), was_detached, session.epoch))
    }

    /// Changes the number of sessions without a socket.
    pub fn add_detached(&self, change: isize) {
        self.detached.fetch_add(change.cast_unsigned(), Relaxed);
        self.shared.metrics.add_detached(change as i64);
    }

    /// The bytes of all queues, those of entries included.
    pub fn queued_bytes(&self) -> usize {
        let mut bytes = 0;
        self.for_each_shard(|shard| {
            for connection in shard.connections() {
                let session = connection.session();
                bytes += session.queue.bytes() + session.queue.len() * queue::ENTRY_BYTES;
            }
        });
        bytes
    }
}
