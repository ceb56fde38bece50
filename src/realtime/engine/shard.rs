//! The connections of a hub on one worker, by id, user and group.

use super::connection::Connection;
use crate::realtime::{
    filter::FilterSubject,
    operation::{Member, Recipients, Selection},
};
use smallvec::SmallVec;
use std::{collections::HashMap, sync::Arc};

/// Connections by their address.
type Members = HashMap<usize, Arc<Connection>>;

/// The connections of a hub on one worker.
#[derive(Debug, Default)]
pub struct HubShard {
    connections: HashMap<Arc<str>, Arc<Connection>>,
    users: HashMap<Arc<str>, SmallVec<[Arc<Connection>; 1]>>,
    groups: HashMap<Arc<str>, Members>,
}

fn address(connection: &Arc<Connection>) -> usize {
    Arc::as_ptr(connection).addr()
}

impl HubShard {
    /// Adds a connection without groups.
    pub fn insert(&mut self, connection: &Arc<Connection>) {
        self.connections.insert(connection.id.clone(), connection.clone());
        if let Some(user) = &connection.user {
            self.users.entry(user.clone()).or_default().push(connection.clone());
        }
    }

    /// Removes a connection and its memberships; false if it is not here.
    pub fn remove(&mut self, connection: &Arc<Connection>, groups: &[Arc<str>]) -> bool {
        if self.connections.remove(&connection.id).is_none() {
            return false;
        }
        if let Some(user) = &connection.user
            && let Some(of_user) = self.users.get_mut(user)
        {
            of_user.retain(|other| !Arc::ptr_eq(other, connection));
            if of_user.is_empty() {
                self.users.remove(user);
            }
        }
        groups.iter().for_each(|group| self.remove_member(group, connection));
        if self.connections.is_empty() {
            *self = HubShard::default();
        }
        true
    }

    /// Adds a member; the name is shared with the other members.
    pub fn add_member(&mut self, group: &str, connection: &Arc<Connection>) -> Arc<str> {
        if let Some((name, _)) = self.groups.get_key_value(group) {
            let name = name.clone();
            self.groups.entry(name.clone()).or_default().insert(address(connection), connection.clone());
            return name;
        }
        let name: Arc<str> = group.into();
        self.groups.insert(name.clone(), [(address(connection), connection.clone())].into());
        name
    }

    /// Removes a member.
    pub fn remove_member(&mut self, group: &str, connection: &Arc<Connection>) {
        if let Some(members) = self.groups.get_mut(group) {
            members.remove(&address(connection));
            if members.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    /// The connection of this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Connection>> {
        self.connections.get(id)
    }

    /// All connections.
    pub fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// All groups with the number of their members.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.groups.iter().map(|(name, members)| (name, members.len()))
    }

    /// All users.
    pub fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }

    /// How many connections the recipients are.
    pub fn count(&self, recipients: &Recipients) -> usize {
        match recipients {
            Recipients::All => self.connections.len(),
            Recipients::Group(group) => self.groups.get(group).map_or(0, HashMap::len),
            Recipients::User(user) => self.users.get(user).map_or(0, SmallVec::len),
            Recipients::Connection(id) => usize::from(self.connections.contains_key(id)),
        }
    }

    /// Calls `f` for every selected connection.
    pub fn for_each(&self, selection: &Selection, mut f: impl FnMut(&Arc<Connection>)) {
        let mut scratch = String::new();
        let mut selected = |connection: &Arc<Connection>| {
            if is_selected(connection, selection, &mut scratch) {
                f(connection);
            }
        };
        match &selection.recipients {
            Recipients::All => self.connections.values().for_each(selected),
            Recipients::Group(group) => {
                self.groups.get(group).into_iter().flat_map(HashMap::values).for_each(selected);
            }
            Recipients::User(user) => {
                self.users.get(user).into_iter().flatten().for_each(selected);
            }
            Recipients::Connection(id) => {
                if let Some(connection) = self.connections.get(id) {
                    selected(connection);
                }
            }
        }
    }

    /// The selected connections.
    pub fn select(&self, selection: &Selection) -> Vec<Arc<Connection>> {
        let mut all = Vec::new();
        self.for_each(selection, |connection| all.push(connection.clone()));
        all
    }

    /// Members of a group behind this id, in the order of their ids.
    pub fn members(&self, group: &str, after: Option<&str>, max_members: usize) -> Vec<Member> {
        let members = self.groups.get(group).into_iter().flat_map(HashMap::values);
        let mut behind: Vec<_> =
            members.filter(|member| after.is_none_or(|after| &*member.id > after)).collect();
        behind.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        behind.truncate(max_members);
        let member = |connection: &Arc<Connection>| Member {
            connection_id: connection.id.clone(),
            user_id: connection.user.clone(),
        };
        behind.into_iter().map(member).collect()
    }
}

fn is_selected(connection: &Arc<Connection>, selection: &Selection, scratch: &mut String) -> bool {
    if selection.excluded.iter().any(|id| **id == *connection.id) {
        return false;
    }
    let Some(filter) = &selection.filter else { return true };
    let session = connection.session();
    let subject = FilterSubject {
        connection_id: &connection.id,
        user_id: connection.user.as_deref(),
        groups: &session.groups,
    };
    filter.matches(&subject, scratch)
}
