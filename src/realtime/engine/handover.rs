//! Sessions that move to another node: given away by the old one, adopted by the new one.

use super::{
    connection::{ClientLink, Connection, NewConnection, SimpleMode, queue_limits},
    hub::Hub,
    inbox::{Job, TimerKind},
};
use crate::realtime::{
    backplane::{
        contract::{LateOperations, NodeFuture, TakenSession},
        publication, publication_to_wire,
        wire::{Take, WireMessage, WireSession, WireSignalR, WireStream},
    },
    context::HubContext,
    message::Publication,
    operation::{Operation, PermissionAction, Recipients, Selection},
    permissions::Permissions,
    protocols::{
        Subprotocol,
        signalr::{HubProtocol, SignalRKind, Transport},
    },
    session::{
        Push, RECOVERY_KEY_BYTES, Session,
        acks::AckLog,
        streams::{Stream, Streams},
    },
};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What a node requests instead of a subprotocol.
pub const SIGNALR: &str = "SignalR";
/// How long messages that may arrive twice are recognized.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

impl Hub {
    /// Gives a session to another node, after everything that was sent to this one before.
    pub fn give(self: &Arc<Self>, take: Take) -> NodeFuture<Option<WireSession>> {
        let Some(connection) = self.find(&take.connection_id) else { return Box::pin(async { None }) };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (hub, home) = (self.clone(), connection.home);
        let job: Job = Box::new(move || {
            let _ = sender.send(hub.give_now(&connection, &take));
        });
        self.shared.inboxes[home].push(job);
        Box::pin(async move { receiver.await.ok().flatten() })
    }

    fn give_now(&self, connection: &Arc<Connection>, take: &Take) -> Option<WireSession> {
        let key: [u8; RECOVERY_KEY_BYTES] = take.key.as_slice().try_into().ok()?;
        let mut shard = self.shard(connection.home);
        let mut session = connection.session();
        let is_accepted = !session.is_ended
            && connection.subprotocol.is_reliable()
            && is_requested(connection.subprotocol, &take.subprotocol)
            && session.accepts_key(&key);
        if !is_accepted {
            return None;
        }
        let wire = to_wire(connection, &session);
        let groups = std::mem::take(&mut session.groups);
        shard.remove(connection, &groups);
        let (was_detached, epoch) = (session.socket.is_none(), session.epoch);
        (session.is_ended, session.calls) = (true, None);
        session.abort_socket(epoch);
        drop(session);
        drop(shard);
        self.release(connection);
        if was_detached {
            self.add_detached(-1);
        }
        if let Some(link) = &connection.details.link {
            link.moved();
        }
        Some(wire)
    }

    /// Adopts a session of another node, with the operations that it has not received, and attaches a socket.
    pub fn adopt(
        self: &Arc<Self>,
        context: Arc<HubContext>,
        taken: TakenSession,
        (worker, link): (usize, Option<Arc<dyn ClientLink>>),
    ) -> Option<(Arc<Connection>, u32)> {
        let TakenSession { session: wire, late } = taken;
        let subprotocol = match (&wire.signalr, &link) {
            (Some(signalr), Some(_)) => Subprotocol::SignalR(SignalRKind {
                transport: Transport::WebSockets,
                protocol: if signalr.is_message_pack { HubProtocol::MessagePack } else { HubProtocol::Json },
                is_stateful: true,
            }),
            (None, None) => Subprotocol::from_name(&wire.subprotocol)?,
            _ => return None,
        };
        let new = NewConnection {
            id: wire.connection_id.as_str().into(),
            context,
            user: wire.user_id.as_deref().map(Arc::from),
            subprotocol,
            subprotocol_name: Some(wire.subprotocol.as_str().into()),
            mode: SimpleMode::default(),
            state: wire.state.as_deref().map(Arc::from),
            link,
        };
        let connection = self.prepare(new, worker).ok()?;
        // What arrived before the request came back is in the session.
        self.shared.inboxes[connection.home].run_jobs();
        connection.details.is_announced.store(true, Relaxed);
        let (epoch, is_kept) = self.insert_adopted(&connection, &wire, late);
        self.schedule_adopted(&connection);
        if !is_kept {
            self.end_slow(&connection);
        }
        Some((connection, epoch))
    }

    /// Restores the session and makes it a member of its groups; returns the epoch of its socket, and whether it continues.
    fn insert_adopted(
        &self,
        connection: &Arc<Connection>,
        wire: &WireSession,
        late: Box<dyn LateOperations>,
    ) -> (u32, bool) {
        let mut shard = self.shard(connection.home);
        let mut session = connection.session();
        restore(&mut session, wire, connection.subprotocol);
        shard.insert(connection);
        // From here on operations wait for this worker: what arrives is either among the late ones or applied after this.
        self.counts[connection.home].fetch_add(1, Relaxed);
        let late = late.end();
        let mut groups: HashSet<Arc<str>> = wire.groups.iter().map(|name| name.as_str().into()).collect();
        let limits = queue_limits(&self.context.load());
        let mut is_kept = late.is_some();
        for operation in late.iter().flatten() {
            is_kept &= replay(connection, &mut session, &mut groups, operation, limits);
        }
        for group in &groups {
            let name = shard.add_member(group, connection);
            session.add_group(&name);
        }
        (self.attach(connection, &mut session), is_kept)
    }

    fn schedule_adopted(&self, connection: &Arc<Connection>) {
        let now = Instant::now();
        self.set_timer(connection, now + SETTLE_TIMEOUT, TimerKind::Settled, 0);
        if connection.details.link.is_none() {
            self.schedule_keep_alive(connection, now);
        }
        let next_stream = connection.session().streams.as_deref().and_then(Streams::next_expiry);
        if let Some(expires_at) = next_stream {
            self.schedule_streams(connection, expires_at, now);
        }
    }
}

/// A session for another node.
fn to_wire(connection: &Connection, session: &Session) -> WireSession {
    let message = |(sequence, publication): &(u64, Arc<Publication>)| WireMessage {
        sequence: *sequence,
        publication: Some(publication_to_wire(publication)),
    };
    let stream = |stream: &Stream| WireStream {
        id: stream.id.to_string(),
        group: stream.group.to_string(),
        no_echo: stream.no_echo,
        expected: stream.expected,
        idle_timeout_ms: stream.idle_timeout.as_millis() as u64,
    };
    WireSession {
        connection_id: connection.id.to_string(),
        user_id: connection.user.as_ref().map(ToString::to_string),
        subprotocol: connection.subprotocol.name().unwrap_or_default().to_owned(),
        groups: session.groups.iter().map(ToString::to_string).collect(),
        roles: session.permissions.to_roles(),
        ack_ranges: session.acks.to_ranges().into_iter().flat_map(|(first, last)| [first, last]).collect(),
        streams: session.streams.iter().flat_map(|streams| streams.iter()).map(stream).collect(),
        state: session.state.as_ref().map(ToString::to_string),
        last_sequence: session.queue.last_sequence(),
        messages: session.queue.unacknowledged().map(message).collect(),
        recovery_keys: session.recovery_keys.iter().flatten().map(|key| key.to_vec()).collect(),
        signalr: signalr_to_wire(connection),
    }
}

fn signalr_to_wire(connection: &Connection) -> Option<WireSignalR> {
    let (Subprotocol::SignalR(kind), Some(link)) = (connection.subprotocol, &connection.details.link) else {
        return None;
    };
    let is_message_pack = kind.protocol == HubProtocol::MessagePack;
    Some(WireSignalR { is_message_pack, last_processed: link.last_processed() })
}

/// Whether the connection is of the requested kind; a SignalR client does not repeat its hub protocol.
fn is_requested(subprotocol: Subprotocol, requested: &str) -> bool {
    match subprotocol {
        Subprotocol::SignalR(_) => requested == SIGNALR,
        _ => subprotocol.name() == Some(requested),
    }
}

/// Fills a new session with that of another node, except its groups.
fn restore(session: &mut Session, wire: &WireSession, subprotocol: Subprotocol) {
    session.permissions = Permissions::from_roles(wire.roles.iter().map(String::as_str));
    let ranges: Vec<(u64, u64)> = wire.ack_ranges.chunks_exact(2).map(|range| (range[0], range[1])).collect();
    *session.acks = AckLog::from_ranges(&ranges);
    let mut keys = wire.recovery_keys.iter().filter_map(|key| key.as_slice().try_into().ok());
    session.recovery_keys = [keys.next(), keys.next()];
    let messages: Vec<(u64, Arc<Publication>)> = wire
        .messages
        .iter()
        .filter_map(|message| {
            let publication = publication(message.publication.clone()?)?;
            Some((message.sequence, Arc::new(publication)))
        })
        .collect();
    let seen = messages.iter().filter_map(|(_, publication)| publication.id).collect();
    session.seen = Some(Box::new(seen));
    session.queue.restore(wire.last_sequence, messages, subprotocol);
    // The next socket resumes a SignalR connection.
    session.epoch = u32::from(wire.signalr.is_some());
    for stream in &wire.streams {
        let idle_timeout = Duration::from_millis(stream.idle_timeout_ms);
        session.streams.get_or_insert_default().restore(Stream {
            id: stream.id.as_str().into(),
            group: stream.group.as_str().into(),
            no_echo: stream.no_echo,
            expected: stream.expected,
            idle_timeout,
            expires_at: Instant::now() + idle_timeout,
        });
    }
}

/// Applies an operation to a session that is not a member of its hub yet; false: the session must end.
fn replay(
    connection: &Connection,
    session: &mut Session,
    groups: &mut HashSet<Arc<str>>,
    operation: &Operation,
    limits: crate::realtime::session::QueueLimits,
) -> bool {
    match operation {
        Operation::Send { to, publication } if is_selected(connection, groups, to) => {
            session.push_publication(publication, connection.subprotocol, limits) != Push::Overflow
        }
        Operation::Close { whom, .. } => !is_selected(connection, groups, whom),
        Operation::Join { whom, groups: added } if is_selected(connection, groups, whom) => {
            groups.extend(added.iter().cloned());
            true
        }
        Operation::Leave { whom, groups: removed } if is_selected(connection, groups, whom) => {
            match removed {
                Some(removed) => removed.iter().for_each(|group| {
                    groups.remove(group);
                }),
                None => groups.clear(),
            }
            true
        }
        Operation::Permission { connection: id, kind, group, action } if **id == *connection.id => {
            match action {
                PermissionAction::Grant => session.permissions.grant(*kind, group.clone()),
                PermissionAction::Revoke => session.permissions.revoke(*kind, group.as_deref()),
                PermissionAction::Check => {}
            }
            true
        }
        _ => true,
    }
}

fn is_selected(connection: &Connection, groups: &HashSet<Arc<str>>, selection: &Selection) -> bool {
    let is_recipient = match &selection.recipients {
        Recipients::All => true,
        Recipients::Group(group) => groups.contains(group),
        Recipients::User(user) => connection.user.as_ref() == Some(user),
        Recipients::Connection(id) => **id == *connection.id,
    };
    if !is_recipient || selection.excluded.iter().any(|id| **id == *connection.id) {
        return false;
    }
    let Some(filter) = &selection.filter else { return true };
    let mut sorted: Vec<Arc<str>> = groups.iter().cloned().collect();
    sorted.sort_unstable();
    let subject = crate::realtime::filter::FilterSubject {
        connection_id: &connection.id,
        user_id: connection.user.as_deref(),
        groups: &sorted,
    };
    filter.matches(&subject, &mut String::new())
}
