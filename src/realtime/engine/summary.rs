//! What operators see of a hub: its numbers, its connections, its groups.

use super::{connection::Connection, hub::Hub};
use crate::realtime::operation::{Recipients, Selection};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

/// The numbers of one hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubSummary {
    pub name: Box<str>,
    pub connections: usize,
    /// Sessions without a socket.
    pub sessions: usize,
    pub groups: usize,
    pub users: usize,
    pub queued_bytes: usize,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSummary {
    pub id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub protocol: &'static str,
    pub opened_at: SystemTime,
    pub queued_bytes: usize,
    pub groups: Vec<Arc<str>>,
}

/// Connections in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionPage {
    pub connections: Vec<ConnectionSummary>,
    pub has_more: bool,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    pub name: Arc<str>,
    pub connections: usize,
}

impl Hub {
    /// The numbers of the hub.
    pub fn summary(&self) -> HubSummary {
        let (mut groups, mut users) = (HashSet::new(), HashSet::new());
        self.for_each_shard(|shard| {
            groups.extend(shard.groups().map(|(name, _)| name.clone()));
            users.extend(shard.users().cloned());
        });
        HubSummary {
            name: (*self.context.load().name).into(),
            connections: self.connections(),
            sessions: self.detached.load(Relaxed),
            groups: groups.len(),
            users: users.len(),
            queued_bytes: self.queued_bytes(),
        }
    }

    /// Connections behind this id, at most this many.
    pub fn connections_page(
        &self,
        recipients: &Recipients,
        after: Option<&str>,
        max_connections: usize,
    ) -> ConnectionPage {
        let mut found: Vec<Arc<Connection>> = Vec::new();
        let selection = Selection::of(recipients.clone());
        self.for_each_shard(|shard| found.extend(shard.select(&selection)));
        found.retain(|connection| after.is_none_or(|after| &*connection.id > after));
        found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let has_more = found.len() > max_connections;
        found.truncate(max_connections);
        ConnectionPage { connections: found.iter().map(summary).collect(), has_more }
    }

    /// The groups, the largest first, at most this many.
    pub fn group_summaries(&self, max_groups: usize) -> Vec<GroupSummary> {
        let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
        self.for_each_shard(|shard| {
            for (name, members) in shard.groups() {
                *counts.entry(name.clone()).or_default() += members;
            }
        });
        let mut groups: Vec<_> =
            counts.into_iter().map(|(name, connections)| GroupSummary { name, connections }).collect();
        groups.sort_unstable_by(|one, other| {
            other.connections.cmp(&one.connections).then_with(|| one.name.cmp(&other.name))
        });
        groups.truncate(max_groups);
        groups
    }
}

fn summary(connection: &Arc<Connection>) -> ConnectionSummary {
    let session = connection.session();
    ConnectionSummary {
        id: connection.id.clone(),
        user: connection.user.clone(),
        protocol: connection.subprotocol.name().unwrap_or("simple"),
        opened_at: connection.opened_at,
        queued_bytes: session.queue.bytes(),
        groups: session.groups.clone(),
    }
}
