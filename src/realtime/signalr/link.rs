//! A connection of a SignalR client over its transport. Before the handshake the hub does not know it.

use super::{calls::Calls, input::Input};
use crate::realtime::{
    context::HubContext,
    engine::{
        connection::{ClientLink, Connection},
        hub::{Hub, SessionEnd},
    },
    events::ClientFields,
    hub_user::HubUser,
    protocols::{
        Subprotocol,
        signalr::{Transport, encode},
    },
    user_groups::UserGroups,
};
use crate::telemetry::hubs::HubClose;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Finds links by their tokens.
pub trait LinkOwner: Send + Sync + std::fmt::Debug {
    /// Adds a link; false if its token was used meanwhile.
    fn insert(&self, link: &Arc<Link>) -> bool;

    /// The link has ended; its token is refused for this time.
    fn end(&self, token: &Arc<str>, remembered: Duration);

    /// Another node has the connection of the token.
    fn remove(&self, token: &str);
}

/// A link that is opened.
#[derive(Debug)]
pub struct NewLink {
    pub id: Arc<str>,
    pub token: Arc<str>,
    pub transport: Transport,
    pub is_stateful: bool,
    pub user: Option<Arc<str>>,
    pub client: Arc<ClientFields>,
    pub hub: Arc<Hub>,
    pub context: Arc<HubContext>,
    pub table: Arc<dyn LinkOwner>,
    pub user_groups: Arc<UserGroups>,
    /// The groups of the user in the shared state.
    pub groups: Vec<Arc<str>>,
    /// The worker that runs its timers: the one that opens it.
    pub worker: usize,
    /// How long ago the connection was negotiated.
    pub age: Duration,
}

/// A link.
#[derive(Debug)]
pub struct Link {
    pub id: Arc<str>,
    pub token: Arc<str>,
    pub transport: Transport,
    pub is_stateful: bool,
    pub user: Option<Arc<str>>,
    pub hub: Arc<Hub>,
    pub context: Arc<HubContext>,
    pub user_groups: Arc<UserGroups>,
    /// The groups of the user in the shared state when the link was opened.
    pub(super) groups: Vec<Arc<str>>,
    pub(super) worker: usize,
    pub(super) client: Arc<ClientFields>,
    pub(super) input: Mutex<Input>,
    pub(super) calls: Mutex<Calls>,
    /// Requests that wait: posts for room among the calls, polls for the end of the one before.
    pub(super) progress: Notify,
    /// The number of the last message that was processed.
    pub(super) last_processed: AtomicU64,
    state: Mutex<LinkState>,
    table: Arc<dyn LinkOwner>,
    opened_at: Instant,
    /// When the handshake must be complete.
    pub(super) handshake_ends_at: Instant,
    last_seen_ms: AtomicU64,
}

/// What changes.
#[derive(Debug)]
pub struct LinkState {
    pub phase: Phase,
    /// Wakes the transport before the handshake.
    pub waker: Option<Waker>,
    /// Sockets and event streams that are open.
    pub attached: u32,
    pub polls: Polls,
}

/// Where a link is.
#[derive(Clone, Debug)]
pub enum Phase {
    Handshake,
    /// The handshake failed; this is the response.
    Rejected(Arc<[u8]>),
    /// The hub has the connection; with the epoch of its first socket.
    Open(Arc<Connection>, u32),
    /// The hub does not have it any more; what is queued is still sent.
    Closing(Arc<Connection>),
    /// Another node has it; calls in progress are completed here.
    Moved(Arc<Connection>),
    Ended,
}

/// The polls of a link.
#[derive(Debug)]
pub struct Polls {
    /// The number of the last one.
    pub last: u64,
    /// Whether one waits for messages.
    pub is_waiting: bool,
    /// Whether a response is being sent.
    pub is_responding: bool,
    /// When the last one ended.
    pub ended_at: Instant,
}

impl Link {
    /// A link before its handshake, which is in the table; `None`: its token was used meanwhile.
    pub fn open(new: NewLink) -> Option<Arc<Link>> {
        let now = Instant::now();
        let timeout = new.context.config.signalr.handshake_timeout.saturating_sub(new.age);
        let polls = Polls { last: 0, is_waiting: false, is_responding: false, ended_at: now };
        let state = LinkState { phase: Phase::Handshake, waker: None, attached: 0, polls };
        let link = Arc::new(Link {
            id: new.id,
            token: new.token,
            transport: new.transport,
            is_stateful: new.is_stateful && new.transport == Transport::WebSockets,
            user: new.user,
            hub: new.hub,
            context: new.context,
            user_groups: new.user_groups,
            groups: new.groups,
            worker: new.worker,
            client: new.client,
            input: Mutex::default(),
            calls: Mutex::default(),
            progress: Notify::new(),
            last_processed: AtomicU64::new(0),
            state: Mutex::new(state),
            table: new.table,
            opened_at: now,
            handshake_ends_at: now + timeout,
            last_seen_ms: AtomicU64::new(0),
        });
        if !link.table.insert(&link) {
            return None;
        }
        link.schedule(link.handshake_ends_at);
        Some(link)
    }

    /// The state; never held while a hub is called.
    pub fn state(&self) -> MutexGuard<'_, LinkState> {
        lock(&self.state)
    }

    /// The user, if the token has one.
    pub(super) fn hub_user(&self) -> Option<HubUser> {
        let (service, hub) = (self.context.service.config.name.clone(), self.context.name.clone());
        self.user.clone().map(|user| HubUser { service, hub, user })
    }

    /// The connection, while the hub has it.
    pub fn connection(&self) -> Option<Arc<Connection>> {
        match &self.state().phase {
            Phase::Open(connection, _) => Some(connection.clone()),
            _ => None,
        }
    }

    /// The client sent something, or asked for messages.
    pub fn touch(&self) {
        self.last_seen_ms.store(self.opened_at.elapsed().as_millis() as u64, Relaxed);
    }

    /// How long the client has been silent.
    pub(super) fn silence(&self) -> Duration {
        self.opened_at.elapsed().saturating_sub(Duration::from_millis(self.last_seen_ms.load(Relaxed)))
    }

    /// Ends the connection; before the handshake the link.
    pub fn close(&self, end: SessionEnd) {
        match self.connection() {
            Some(connection) => self.hub.end(&connection, end),
            None => self.finish(),
        }
    }

    /// Ends the connection because the client closed it.
    pub fn close_normally(&self) {
        self.close(SessionEnd::new(HubClose::Normal, ""));
    }

    /// The handshake failed: its response is sent, then the link ends.
    pub(super) fn reject(&self, error: &str) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Handshake) {
            state.phase = Phase::Rejected(encode::handshake_error(error).into());
        }
        state.wake();
    }

    /// A socket or an event stream opens; false if another one is open.
    pub fn attach(&self) -> bool {
        let mut state = self.state();
        if state.attached > 0 && !self.is_stateful {
            return false;
        }
        state.attached += 1;
        true
    }

    /// Counts a post of the client; when the next one may be processed, if the client sends too fast.
    pub fn take_rate(&self) -> Option<Instant> {
        let connection = self.connection()?;
        let mut session = connection.session();
        let (rate, now) = (session.rate.as_mut()?, Instant::now());
        rate.take(now);
        rate.resumes_at(now)
    }

    /// A socket or an event stream is gone. Before the handshake, and after the end of the connection, nothing remains.
    pub fn detach(&self) {
        let mut state = self.state();
        state.attached = state.attached.saturating_sub(1);
        let is_last = state.attached == 0 && !matches!(state.phase, Phase::Open(..));
        drop(state);
        if is_last {
            self.finish();
        }
    }

    /// The connection of another node continues here, with its new socket.
    pub fn adopt(&self, connection: &Arc<Connection>, epoch: u32, last_processed: u64) {
        if let Subprotocol::SignalR(kind) = connection.subprotocol {
            *lock(&self.input) = Input::resumed(kind.protocol);
        }
        self.last_processed.store(last_processed, Relaxed);
        self.state().phase = Phase::Open(connection.clone(), epoch);
    }

    /// The connection whose calls are made here.
    pub(super) fn caller(&self) -> Option<(Arc<Connection>, bool)> {
        match &self.state().phase {
            Phase::Open(connection, _) => Some((connection.clone(), true)),
            Phase::Moved(connection) => Some((connection.clone(), false)),
            _ => None,
        }
    }

    /// Nothing more is sent: the link is forgotten.
    pub fn finish(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Moved(_)) {
            return;
        }
        state.phase = Phase::Ended;
        state.wake();
        drop(state);
        lock(&self.calls).clear();
        self.progress.notify_waiters();
        self.table.end(&self.token, self.handshake_ends_at.saturating_duration_since(Instant::now()));
    }
}

impl LinkState {
    /// Wakes the transport.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ClientLink for Link {
    fn client(&self) -> Arc<ClientFields> {
        self.client.clone()
    }

    fn moved(&self) {
        let mut state = self.state();
        if let Phase::Open(connection, _) = &state.phase {
            state.phase = match lock(&self.calls).is_idle() {
                true => Phase::Ended,
                false => Phase::Moved(connection.clone()),
            };
        }
        state.wake();
        drop(state);
        self.table.remove(&self.token);
    }

    fn last_processed(&self) -> u64 {
        self.last_processed.load(Relaxed)
    }

    fn ended(&self) {
        let mut state = self.state();
        if let Phase::Open(connection, _) = &state.phase {
            state.phase = Phase::Closing(connection.clone());
        }
        let is_over = state.attached == 0 && self.transport != Transport::LongPolling;
        state.wake();
        drop(state);
        lock(&self.calls).clear();
        self.progress.notify_waiters();
        if is_over {
            self.finish();
        }
    }
}

/// A mutex whose data stays valid if a thread panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
