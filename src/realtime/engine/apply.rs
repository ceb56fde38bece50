//! Operations on the connections of a hub: on every worker that has some, and their outcomes.

use super::{
    connection::{Connection, queue_limits},
    hub::{Hub, SessionEnd},
    inbox::current_worker,
};
use crate::realtime::{
    events::Notification,
    message::Publication,
    operation::{Operation, Outcome, PermissionAction, Selection},
    permissions::PermissionKind,
    session::Push,
};
use crate::telemetry::hubs::HubClose;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// Most grants of one connection.
const MAX_GRANTS: usize = 1000;

impl Hub {
    /// Runs an operation on all workers that have connections, on this one at once; in order per caller and worker.
    pub fn run(self: &Arc<Self>, operation: &Arc<Operation>) {
        for worker in 0..self.shards.len() {
            if self.counts[worker].load(Relaxed) == 0 {
                continue;
            }
            if current_worker() == Some(worker) {
                self.shared.inboxes[worker].run_jobs();
                self.apply(worker, operation);
            } else {
                let (hub, operation) = (self.clone(), operation.clone());
                self.shared.inboxes[worker].push(Box::new(move || {
                    hub.apply(worker, &operation);
                }));
            }
        }
    }

    /// Runs an operation on all workers, in order per caller and worker; the result is its outcome.
    pub fn start(self: &Arc<Self>, operation: &Arc<Operation>) -> RunningOperation {
        let mut replies = Vec::new();
        let mut outcome = Outcome::default();
        for worker in 0..self.shards.len() {
            if self.counts[worker].load(Relaxed) == 0 {
                continue;
            }
            if current_worker() == Some(worker) {
                self.shared.inboxes[worker].run_jobs();
                outcome.merge(self.apply(worker, operation));
            } else {
                let (hub, operation) = (self.clone(), operation.clone());
                let (sender, receiver) = tokio::sync::oneshot::channel();
                self.shared.inboxes[worker].push(Box::new(move || {
                    let _ = sender.send(hub.apply(worker, &operation));
                }));
                replies.push(receiver);
            }
        }
        RunningOperation { outcome, replies }
    }

    /// Runs an operation on the connections of one worker.
    fn apply(self: &Arc<Self>, worker: usize, operation: &Operation) -> Outcome {
        match operation {
            Operation::Send { to, publication } => self.apply_send(worker, to, publication),
            Operation::Close { whom, reason } => {
                let selected = self.shard(worker).select(whom);
                for connection in &selected {
                    self.end(connection, SessionEnd::new(HubClose::ClosedByAppServer, reason.clone()));
                }
                matched(selected.len())
            }
            Operation::Count(recipients) => matched(self.shard(worker).count(recipients)),
            Operation::Join { whom, groups } => self.apply_join(worker, whom, groups),
            Operation::Leave { whom, groups } => {
                let selected = self.shard(worker).select(whom);
                selected.iter().for_each(|connection| self.leave_groups(connection, groups.as_deref()));
                matched(selected.len())
            }
            Operation::Permission { connection, kind, group, action } => {
                let found = self.shard(worker).get(connection).cloned();
                let has = found.is_some_and(|found| permission(&found, *kind, group.as_ref(), *action));
                matched(usize::from(has))
            }
            Operation::Members { group, after, max_members } => {
                let members = self.shard(worker).members(group, after.as_deref(), *max_members);
                Outcome { matched: members.len() as u64, members, ..Outcome::default() }
            }
        }
    }

    /// Queues a publication at the selected connections. Nothing is written here: the sockets are woken.
    fn apply_send(
        self: &Arc<Self>,
        worker: usize,
        to: &Selection,
        publication: &Arc<Publication>,
    ) -> Outcome {
        let limits = queue_limits(&self.context.load());
        let (mut count, mut slow) = (0, Vec::new());
        self.shard(worker).for_each(to, |connection| {
            count += 1;
            let pushed = connection.session().push_publication(publication, connection.subprotocol, limits);
            if pushed == Push::Overflow {
                slow.push(connection.clone());
            }
        });
        if count > 0 {
            publication.charge(&self.shared.queued_bytes);
        }
        slow.iter().for_each(|connection| self.end_slow(connection));
        self.shared.shed_if_needed();
        matched(count)
    }

    fn apply_join(self: &Arc<Self>, worker: usize, selection: &Selection, groups: &[Arc<str>]) -> Outcome {
        let selected = self.shard(worker).select(selection);
        let mut outcome = matched(selected.len());
        for connection in &selected {
            for group in groups {
                if self.join(connection, group) == JoinResult::TooMany {
                    outcome.refused += 1;
                }
            }
        }
        outcome
    }

    /// Adds a connection to a group.
    pub fn join(self: &Arc<Self>, connection: &Arc<Connection>, group: &str) -> JoinResult {
        let max_groups = self.context.load().config.limits.max_groups_per_connection;
        let mut shard = self.shard(connection.home);
        let mut session = connection.session();
        if session.is_ended || session.is_member(group) {
            return JoinResult::Member;
        }
        if session.groups.len() >= max_groups {
            return JoinResult::TooMany;
        }
        let name = shard.add_member(group, connection);
        session.add_group(&name);
        let state = session.state.clone();
        drop(session);
        drop(shard);
        self.shared.events.notify(&connection.event_source(state), Notification::Joined { group: name });
        JoinResult::Member
    }

    /// Removes a connection from a group.
    pub fn leave(self: &Arc<Self>, connection: &Arc<Connection>, group: &str) {
        let mut shard = self.shard(connection.home);
        let mut session = connection.session();
        if !session.remove_group(group) {
            return;
        }
        shard.remove_member(group, connection);
        let state = session.state.clone();
        drop(session);
        drop(shard);
        let notification = Notification::Left { group: group.into() };
        self.shared.events.notify(&connection.event_source(state), notification);
    }

    fn leave_groups(self: &Arc<Self>, connection: &Arc<Connection>, groups: Option<&[Arc<str>]>) {
        let all: Vec<Arc<str>>;
        let groups = match groups {
            Some(groups) => groups,
            None => {
                all = connection.session().groups.clone();
                &all
            }
        };
        groups.iter().for_each(|group| self.leave(connection, group));
    }
}

/// An operation that workers of this node apply.
#[derive(Debug)]
pub struct RunningOperation {
    outcome: Outcome,
    replies: Vec<tokio::sync::oneshot::Receiver<Outcome>>,
}

impl RunningOperation {
    /// Waits until all workers have applied it.
    pub async fn finish(self) -> Outcome {
        let mut outcome = self.outcome;
        for reply in self.replies {
            outcome.merge(reply.await.unwrap_or_default());
        }
        outcome
    }
}

/// The result of [`Hub::join`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinResult {
    Member,
    /// The connection is in as many groups as it may be in.
    TooMany,
}

fn matched(count: usize) -> Outcome {
    Outcome { matched: count as u64, ..Outcome::default() }
}

fn permission(
    connection: &Arc<Connection>,
    kind: PermissionKind,
    group: Option<&Arc<str>>,
    action: PermissionAction,
) -> bool {
    let permissions = &mut connection.session().permissions;
    match action {
        PermissionAction::Grant if permissions.len() >= MAX_GRANTS && group.is_some() => return false,
        PermissionAction::Grant => permissions.grant(kind, group.cloned()),
        PermissionAction::Revoke => permissions.revoke(kind, group.map(|group| &**group)),
        PermissionAction::Check => return permissions.has_grant(kind, group.map(|group| &**group)),
    }
    true
}
