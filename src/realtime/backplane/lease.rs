//! The live nodes: a sorted set in Redis with the end of each lease, by the clock of Redis.

use crate::state::{Cmd, Script, SharedState, StateError, Value};
use std::{collections::BTreeMap, time::Duration};

/// How long a node is live without a renewal.
const LEASE_TIMEOUT: Duration = Duration::from_secs(6);
/// How often a lease is renewed.
pub const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// How long a renewal may take.
const RENEWAL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Renews the lease of a node; the reply is the list of live nodes.
static RENEW: Script = Script::new(
    "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 4)
return redis.call('ZRANGE', KEYS[1], 0, -1)",
);

/// Renews the lease of this node; returns the live nodes: name and instance.
pub async fn renew(
    state: &SharedState,
    name: &str,
    instance: u64,
) -> Result<BTreeMap<Box<str>, u64>, StateError> {
    let (key, member) = (key(state), member(name, instance));
    let timeout = LEASE_TIMEOUT.as_millis().to_string().into_bytes();
    let reply = state.script(&RENEW, &[key], &[member, timeout], RENEWAL_TIMEOUT).await?;
    let Value::Array(members) = reply else { return Err(StateError::unexpected(&reply)) };
    Ok(members.iter().filter_map(read_member).collect())
}

/// Removes the lease of this node.
pub async fn release(state: &SharedState, name: &str, instance: u64) -> Result<(), StateError> {
    let mut command = Cmd::new();
    command.arg("ZREM").arg(key(state)).arg(member(name, instance));
    state.command(&command, RENEWAL_TIMEOUT).await.map(drop)
}

fn key(state: &SharedState) -> Vec<u8> {
    state.key("hub", b"{nodes}")
}

fn member(name: &str, instance: u64) -> Vec<u8> {
    format!("{name}:{instance}").into_bytes()
}

fn read_member(member: &Value) -> Option<(Box<str>, u64)> {
    let Value::BulkString(bytes) = member else { return None };
    let (name, instance) = std::str::from_utf8(bytes).ok()?.rsplit_once(':')?;
    Some((name.into(), instance.parse().ok()?))
}

/// The other nodes, as leases and messages report them.
#[derive(Debug, Default)]
pub struct Peers {
    /// Name → instance, and renewals since it was listed.
    live: BTreeMap<Box<str>, (u64, u32)>,
}

/// Renewals in which a node may be missing: the list is incomplete after a restart of Redis.
const MAX_MISSED_RENEWALS: u32 = 2;

impl Peers {
    /// A node that sent a message.
    pub fn add(&mut self, name: &str, instance: u64) {
        self.live.insert(name.into(), (instance, 0));
    }

    /// A node that leaves.
    pub fn remove(&mut self, name: &str) {
        self.live.remove(name);
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.live.keys().map(|name| &**name)
    }

    /// Applies the list of a renewal; returns the nodes that are gone.
    pub fn update(&mut self, own: &str, listed: &BTreeMap<Box<str>, u64>) -> Vec<Box<str>> {
        for (name, (_, missed)) in &mut self.live {
            *missed = if listed.contains_key(name) { 0 } else { *missed + 1 };
        }
        for (name, instance) in listed.iter().filter(|(name, _)| ***name != *own) {
            self.live.insert(name.clone(), (*instance, 0));
        }
        let gone: Vec<Box<str>> = self
            .live
            .iter()
            .filter(|(_, (_, missed))| *missed > MAX_MISSED_RENEWALS)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().for_each(|name| {
            self.live.remove(name);
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_gone_after_three_renewals_without_it() {
        let mut peers = Peers::default();
        let listed = |names: &[&str]| names.iter().map(|name| ((*name).into(), 1)).collect();
        peers.add("b", 1);
        assert!(peers.update("a", &listed(&["a", "c"])).is_empty());
        assert_eq!(peers.names().collect::<Vec<_>>(), ["b", "c"]);
        assert!(peers.update("a", &listed(&["a", "c"])).is_empty());
        assert_eq!(peers.update("a", &listed(&["a", "c"])), [Box::from("b")]);
        assert_eq!(peers.names().collect::<Vec<_>>(), ["c"]);
        peers.remove("c");
        assert_eq!(peers.names().count(), 0);
    }

    #[test]
    fn members_of_the_set_are_names_and_instances() {
        let read = |text: &str| read_member(&Value::BulkString(text.as_bytes().to_vec()));
        assert_eq!(read("node_1:17"), Some(("node_1".into(), 17)));
        assert_eq!((read("x"), read("x:y"), read_member(&Value::Nil)), (None, None, None));
    }
}
