//! What this gateway knows about shared counters: leased tokens, and refusals that last.

use super::{
    group::{CounterNames, SharedGroup},
    reply::Reply,
};
use crate::stages::partition_key::Key;
use smallvec::SmallVec;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a gateway may hold tokens that it does not use.
pub const LEASE_TTL: Duration = Duration::from_millis(500);
/// A lease that was used up within this time grows.
const GROWTH_INTERVAL: Duration = Duration::from_millis(20);
/// Shards, against lock contention.
const SHARDS: usize = 64;
/// Maximum entries of a shard: 260,000 in total.
const MAX_ENTRIES_PER_SHARD: usize = 4096;

/// The state of one limit that the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    pub remaining: u64,
    pub resets_at_ns: u64,
}

/// The states of all limits of a group.
pub type LimitStates = SmallVec<[LimitState; 2]>;

/// What is known without a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted(LimitStates),
    /// The index of the rejecting limit, and when the next request may pass.
    Rejected {
        limit: usize,
        retry_at_ns: u64,
    },
}

/// One key.
#[derive(Debug)]
struct Entry {
    tokens: u32,
    /// The size of the next lease.
    size: u32,
    granted_at_ns: u64,
    expires_at_ns: u64,
    rejected: Option<(usize, u64)>,
    states: LimitStates,
    /// What the unused tokens are returned to.
    source: Option<(Arc<SharedGroup>, CounterNames, Vec<Vec<u8>>)>,
}

impl Entry {
    /// The tokens that are left.
    fn take_unused(&mut self) -> Option<ReturnedTokens> {
        let (group, names, ids) = self.source.take().filter(|_| self.tokens > 0)?;
        Some(ReturnedTokens { group, names, ids, tokens: std::mem::take(&mut self.tokens) })
    }

    fn into_unused(mut self) -> Option<ReturnedTokens> {
        self.take_unused()
    }
}

/// Tokens that were not used.
#[derive(Debug)]
pub struct ReturnedTokens {
    pub group: Arc<SharedGroup>,
    pub names: CounterNames,
    pub ids: Vec<Vec<u8>>,
    pub tokens: u32,
}

/// All entries.
#[derive(Debug)]
pub struct Leases {
    shards: Box<[Mutex<HashMap<Key, Entry>>]>,
    /// Tokens of leases that were replaced.
    unused: Mutex<Vec<ReturnedTokens>>,
}

impl Default for Leases {
    fn default() -> Self {
        Leases { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), unused: Mutex::default() }
    }
}

impl Leases {
    /// Takes a token, or repeats a refusal; `None`: Redis must be asked.
    pub fn take(&self, key: Key, now_ns: u64) -> Option<Verdict> {
        let mut shard = self.shard(key);
        let entry = shard.get_mut(&key)?;
        if let Some((limit, retry_at_ns)) = entry.rejected {
            return (now_ns < retry_at_ns).then_some(Verdict::Rejected { limit, retry_at_ns });
        }
        if entry.tokens == 0 || now_ns >= entry.expires_at_ns {
            return None;
        }
        entry.tokens -= 1;
        let tokens = u64::from(entry.tokens);
        let state = |state: &LimitState| LimitState { remaining: state.remaining + tokens, ..*state };
        Some(Verdict::Admitted(entry.states.iter().map(state).collect()))
    }

    /// The size of the lease to request with the next call.
    pub fn next_size(&self, key: Key, group: &SharedGroup) -> u32 {
        if !group.is_adaptive {
            return group.max_lease;
        }
        self.shard(key).get(&key).map_or(0, |entry| entry.size.min(group.max_lease))
    }

    /// Stores the result of a call that was sent at `sent_at_ns`.
    pub fn store(
        &self,
        key: Key,
        (group, names): (&Arc<SharedGroup>, &CounterNames),
        reply: &Reply,
        requests: usize,
        sent_at_ns: u64,
    ) {
        let mut shard = self.shard(key);
        let previous = shard.get(&key).map(|entry| (entry.size, entry.granted_at_ns, entry.tokens));
        if shard.len() >= MAX_ENTRIES_PER_SHARD && previous.is_none() {
            evict(&mut shard, sent_at_ns);
        }
        let states: LimitStates = states(reply, sent_at_ns);
        let window_ends = states.iter().zip(&group.has_window).filter(|(_, has_window)| **has_window);
        let window_end = window_ends.map(|(state, _)| state.resets_at_ns).min().unwrap_or(u64::MAX);
        let ids = || reply.limits.iter().map(|limit| limit.window_id.clone()).collect();
        let entry = Entry {
            tokens: reply.leased,
            size: next_size(previous, requests, group, sent_at_ns),
            granted_at_ns: sent_at_ns,
            expires_at_ns: (sent_at_ns + LEASE_TTL.as_nanos() as u64).min(window_end),
            rejected: reply.rejecting.map(|limit| (limit, sent_at_ns.saturating_add(reply.retry_in_ns))),
            states,
            source: (reply.leased > 0).then(|| (group.clone(), names.clone(), ids())),
        };
        if let Some(unused) = shard.insert(key, entry).and_then(Entry::into_unused) {
            drop(shard);
            self.unused.lock().unwrap_or_else(PoisonError::into_inner).push(unused);
        }
    }

    /// Removes an entry: its counters were reset.
    pub fn remove(&self, key: Key) {
        self.shard(key).remove(&key);
    }

    /// Removes what has expired; the tokens that were not used are to be returned.
    pub fn sweep(&self, now_ns: u64) -> Vec<ReturnedTokens> {
        let mut returned = std::mem::take(&mut *self.unused.lock().unwrap_or_else(PoisonError::into_inner));
        for shard in &self.shards {
            lock(shard).retain(|_, entry| {
                let until = entry.rejected.map_or(entry.expires_at_ns, |(_, retry_at_ns)| retry_at_ns);
                if until > now_ns {
                    return true;
                }
                returned.extend(entry.take_unused());
                false
            });
        }
        returned
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Entry>> {
        lock(&self.shards[key.0[0] as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<HashMap<Key, Entry>>) -> MutexGuard<'_, HashMap<Key, Entry>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn states(reply: &Reply, sent_at_ns: u64) -> LimitStates {
    let state = |limit: &super::reply::LimitReply| LimitState {
        remaining: limit.remaining,
        resets_at_ns: sent_at_ns.saturating_add(limit.resets_in_ns),
    };
    reply.limits.iter().map(state).collect()
}

/// Doubles a lease that was used up at once, halves one of which tokens are left.
fn next_size(previous: Option<(u32, u64, u32)>, requests: usize, group: &SharedGroup, now_ns: u64) -> u32 {
    if !group.is_adaptive {
        return group.max_lease;
    }
    let Some((size, granted_at_ns, tokens)) = previous else { return 0 };
    let is_fast = now_ns.saturating_sub(granted_at_ns) < GROWTH_INTERVAL.as_nanos() as u64;
    let requests = u32::try_from(requests).unwrap_or(u32::MAX);
    match (is_fast, tokens) {
        (true, 0) => size.saturating_mul(2).max(requests).clamp(1, group.max_lease.max(1)),
        (true, _) => size,
        (false, _) => size / 2,
    }
}

/// Removes an entry that has expired among a few candidates, or any.
fn evict(shard: &mut HashMap<Key, Entry>, now_ns: u64) {
    let mut candidates = shard.iter().take(16);
    let expired = candidates.clone().find(|(_, entry)| entry.expires_at_ns <= now_ns);
    if let Some(key) = expired.or_else(|| candidates.next()).map(|(key, _)| *key) {
        shard.remove(&key);
    }
}
