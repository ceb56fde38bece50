//! A connection of a hub: what never changes, and its session.

use super::inbox::{TimerKind, TimerTarget, lock};
use crate::realtime::{
    config::ServiceType,
    context::HubContext,
    events::{ClientFields, EventSource},
    protocols::Subprotocol,
    session::{QueueLimits, RECOVERY_KEY_BYTES, Session},
};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};
use subtle::ConstantTimeEq;

/// What messages of a simple client are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SimpleMode {
    /// The user event `message`.
    #[default]
    SendEvent,
    /// Published to this group.
    SendToGroup(Arc<str>),
}

/// A new connection.
#[derive(Debug)]
pub struct NewConnection {
    pub id: Arc<str>,
    pub context: Arc<HubContext>,
    pub user: Option<Arc<str>>,
    pub subprotocol: Subprotocol,
    /// The negotiated name, also of a subprotocol that is unknown here.
    pub subprotocol_name: Option<Arc<str>>,
    pub mode: SimpleMode,
    /// `ce-connectionState` of the `connect` handler.
    pub state: Option<Arc<str>>,
    /// Of SignalR: the transport of the client.
    pub link: Option<Arc<dyn ClientLink>>,
}

/// The transport of a SignalR client, which may be several requests.
pub trait ClientLink: Send + Sync + std::fmt::Debug {
    /// What event handlers receive about the client.
    fn client(&self) -> Arc<ClientFields>;

    /// The hub does not have the connection any more.
    fn ended(&self);
}

/// Receives the messages of a socket instead of the hub.
pub trait MessageInput: Send + std::fmt::Debug {
    /// Processes the body of a message.
    fn receive(&self, body: Bytes);

    /// Whether nothing more is read for now; the session is woken when that changes.
    fn is_paused(&self) -> bool;

    /// The client sent something.
    fn touch(&self);
}

/// What owns connections: the hub.
pub trait ConnectionOwner: Send + Sync + std::fmt::Debug {
    /// A timer of the connection fired.
    fn fire(self: Arc<Self>, connection: &Arc<Connection>, kind: TimerKind, epoch: u32, now: Instant);
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    pub id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub subprotocol: Subprotocol,
    /// The worker whose part of the hub has the connection.
    pub home: usize,
    pub opened_at: SystemTime,
    /// Boxed: only events and simple clients need it.
    pub details: Box<ConnectionDetails>,
    pub owner: Arc<dyn ConnectionOwner>,
    session: Mutex<Session>,
}

/// What is rarely needed.
#[derive(Debug)]
pub struct ConnectionDetails {
    /// The settings at the handshake.
    pub context: Arc<HubContext>,
    pub subprotocol_name: Option<Arc<str>>,
    pub mode: SimpleMode,
    pub link: Option<Arc<dyn ClientLink>>,
    /// Counts the connection in the metrics.
    pub gauge: Arc<AtomicI64>,
    /// The events `connected` and `joined` were sent.
    pub is_announced: AtomicBool,
}

impl Connection {
    /// A connection whose session is empty.
    pub fn new(
        new: NewConnection,
        home: usize,
        owner: Arc<dyn ConnectionOwner>,
        gauge: Arc<AtomicI64>,
    ) -> Self {
        let NewConnection { id, context, user, subprotocol, subprotocol_name, mode, state, link } = new;
        let is_announced = AtomicBool::new(false);
        gauge.fetch_add(1, Relaxed);
        Connection {
            id,
            user,
            subprotocol,
            home,
            opened_at: SystemTime::now(),
            details: Box::new(ConnectionDetails {
                context,
                subprotocol_name,
                mode,
                link,
                gauge,
                is_announced,
            }),
            owner,
            session: Mutex::new(Session { state, ..Session::default() }),
        }
    }

    /// The session. Taken after the part of the hub, never before.
    pub fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// What event handlers receive about the connection.
    pub fn event_source(&self, state: Option<Arc<str>>) -> EventSource {
        EventSource {
            hub: self.details.context.clone(),
            connection_id: self.id.clone(),
            user_id: self.user.clone(),
            subprotocol: self.details.subprotocol_name.clone(),
            state,
            client: self.details.link.as_ref().map(|link| link.client()),
        }
    }
}

impl TimerTarget for Connection {
    fn fire(self: Arc<Self>, kind: TimerKind, epoch: u32, now: Instant) {
        self.owner.clone().fire(&self, kind, epoch, now);
    }
}

impl Session {
    /// Whether the token is one of the last two of this session; in constant time.
    pub fn accepts_key(&self, key: &[u8; RECOVERY_KEY_BYTES]) -> bool {
        let matches = |own: &Option<[u8; RECOVERY_KEY_BYTES]>| own.is_some_and(|own| own.ct_eq(key).into());
        self.recovery_keys.iter().fold(false, |found, own| found | matches(own))
    }

    /// Replaces the older of the two keys.
    pub fn rotate_key(&mut self, key: [u8; RECOVERY_KEY_BYTES]) {
        self.recovery_keys = [Some(key), self.recovery_keys[0]];
    }
}

/// The limits of queues in the settings.
pub fn queue_limits(context: &HubContext) -> QueueLimits {
    let limits = &context.config.limits;
    QueueLimits {
        max_messages: limits.max_queued_messages,
        max_bytes: limits.max_queued_bytes,
        max_detached_bytes: match context.service.config.service_type {
            ServiceType::WebPubSub => usize::MAX,
            ServiceType::SignalR => context.config.signalr.reconnect_buffer_bytes,
        },
    }
}
