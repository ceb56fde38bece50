//! Revoked tokens: by token (`jti`), by session (`sid`), and by caller (`sub`) with the time before which tokens were issued.
//!
//! The list is held in memory. With a shared state all gateways have the same list: an entry is stored on Redis until its
//! tokens have expired, announced to every gateway, and read by gateways that start or were away.

use crate::{
    pipeline::identity::Identity,
    state::{Cmd, Notice, PerState, Script, SharedState, StateError, Value},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Entries that a gateway holds.
pub const MAX_REVOCATIONS: usize = 100_000;
/// Longest value of a claim.
pub const MAX_VALUE_BYTES: usize = 512;
const AREA: &str = "auth";
const CHANNEL: &str = "revoked";
const QUEUE_CAPACITY: usize = 4096;
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Stores and announces an entry; entries whose tokens have expired are removed.
static REVOKE: Script = Script::new(
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1]) \
     redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) \
     redis.call('EXPIREAT', KEYS[1], math.max(ARGV[1], redis.call('EXPIRETIME', KEYS[1]))) \
     return redis.call('PUBLISH', ARGV[3], ARGV[1] .. ' ' .. ARGV[2])",
);

/// What identifies the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokedClaim {
    /// One token.
    Jti,
    /// The tokens of a session.
    Sid,
    /// The tokens of a caller that were issued before a time.
    Sub,
}

impl RevokedClaim {
    /// All, in the order they are checked.
    pub const ALL: [RevokedClaim; 3] = [RevokedClaim::Jti, RevokedClaim::Sid, RevokedClaim::Sub];

    /// The name of the claim.
    pub fn name(self) -> &'static str {
        match self {
            RevokedClaim::Jti => "jti",
            RevokedClaim::Sid => "sid",
            RevokedClaim::Sub => "sub",
        }
    }
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub claim: RevokedClaim,
    pub value: String,
    /// Tokens issued at this Unix time or later are not revoked; `None`: all are.
    pub issued_before: Option<u64>,
    /// When the last of the tokens has expired, as Unix time.
    pub expires_at: u64,
}

impl Revocation {
    /// `claim issued_before value`, for Redis.
    fn encode(&self) -> String {
        let before = self.issued_before.map_or_else(|| "-".to_owned(), |time| time.to_string());
        format!("1 {} {before} {}", self.claim.name(), self.value)
    }

    fn decode(text: &str, expires_at: u64) -> Option<Revocation> {
        let mut parts = text.splitn(4, ' ');
        if parts.next()? != "1" {
            return None;
        }
        let name = parts.next()?;
        let claim = RevokedClaim::ALL.into_iter().find(|claim| claim.name() == name)?;
        let issued_before = match parts.next()? {
            "-" => None,
            time => Some(time.parse().ok()?),
        };
        Some(Revocation { claim, value: parts.next()?.to_owned(), issued_before, expires_at })
    }
}

/// Time before which tokens are revoked, and when the entry ends.
type Entry = (Option<u64>, u64);

/// The revoked tokens that this gateway knows.
#[derive(Debug, Default)]
pub struct Revocations {
    count: AtomicUsize,
    entries: RwLock<HashMap<(RevokedClaim, String), Entry>>,
    followers: PerState<Follower>,
}

/// Follows the list on a shared state, for as long as a plan holds it.
#[derive(Debug)]
pub struct Follower(Arc<SharedState>);

impl Revocations {
    /// The claim by which a caller's token is revoked.
    pub fn revoked_by(&self, identity: &Identity) -> Option<RevokedClaim> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        let now = unix_now();
        let entries = self.entries.read().ok()?;
        RevokedClaim::ALL.into_iter().find(|claim| {
            let value = identity.claim_value(claim.name());
            let entry = value.and_then(|value| entries.get(&(*claim, value.to_owned())));
            entry.is_some_and(|(before, expires_at)| {
                let issued_at = || identity.claim_value("iat").and_then(|time| time.parse::<f64>().ok());
                *expires_at > now
                    && before.is_none_or(|before| issued_at().is_none_or(|at| at < before as f64))
            })
        })
    }

    /// Adds an entry; false if the list is full.
    pub fn add(&self, revocation: Revocation) -> bool {
        let Ok(mut entries) = self.entries.write() else { return false };
        if entries.len() >= MAX_REVOCATIONS {
            let now = unix_now();
            entries.retain(|_, (_, expires_at)| *expires_at > now);
        }
        let key = (revocation.claim, revocation.value);
        if entries.len() >= MAX_REVOCATIONS && !entries.contains_key(&key) {
            return false;
        }
        let new = (revocation.issued_before, revocation.expires_at);
        let entry = entries.entry(key).or_insert(new);
        // The wider of two revocations holds.
        let issued_before = match (entry.0, new.0) {
            (Some(one), Some(other)) => Some(one.max(other)),
            _ => None,
        };
        *entry = (issued_before, entry.1.max(new.1));
        self.count.store(entries.len(), Relaxed);
        true
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows the list of a shared state.
    pub fn follow(self: &Arc<Self>, state: &Arc<SharedState>) -> Arc<Follower> {
        self.followers.get_or_insert_with(state, || {
            let follower = Arc::new(Follower(state.clone()));
            let (list, weak) = (Arc::downgrade(self), Arc::downgrade(&follower));
            let mut subscription = state.subscribe(&state.channel(AREA, CHANNEL), QUEUE_CAPACITY);
            state.spawn(async move {
                while let Some(notice) = subscription.recv().await {
                    let (Some(list), Some(follower)) = (list.upgrade(), weak.upgrade()) else { return };
                    match notice {
                        Notice::Subscribed => list.read(&follower.0).await,
                        Notice::Message { payload, .. } => list.add_message(&payload),
                    }
                }
            });
            follower
        })
    }

    /// Adds an entry on all gateways that share the state.
    ///
    /// # Errors
    ///
    /// Redis does not reply: only this gateway has the entry.
    pub async fn announce(&self, revocation: &Revocation) -> Result<(), StateError> {
        for follower in self.followers.values() {
            let state = &follower.0;
            let arguments = [
                revocation.expires_at.to_string().into_bytes(),
                revocation.encode().into_bytes(),
                state.channel(AREA, CHANNEL).into_bytes(),
            ];
            state.script(&REVOKE, &[key(state)], &arguments, READ_TIMEOUT).await?;
        }
        Ok(())
    }

    fn add_message(&self, payload: &[u8]) {
        let text = std::str::from_utf8(payload).ok().and_then(|text| text.split_once(' '));
        let revocation = text.and_then(|(time, text)| Revocation::decode(text, time.parse().ok()?));
        if let Some(revocation) = revocation
            && !self.add(revocation)
        {
            log::error!("the list of revoked tokens is full: {MAX_REVOCATIONS} entries");
        }
    }

    /// Reads the whole list: entries may have been added while this gateway was away.
    async fn read(&self, state: &SharedState) {
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(key(state)).arg(unix_now()).arg("+inf").arg("BYSCORE").arg("WITHSCORES");
        let Ok(Value::Array(items)) = state.command(&command, READ_TIMEOUT).await else { return };
        for pair in items.chunks_exact(2) {
            let [Value::BulkString(text), Value::BulkString(score)] = pair else { continue };
            let (text, score) = (std::str::from_utf8(text), std::str::from_utf8(score));
            let expires_at = score.ok().and_then(|score| score.parse::<f64>().ok()).unwrap_or(0.0) as u64;
            let revocation = text.ok().and_then(|text| Revocation::decode(text, expires_at));
            if let Some(revocation) = revocation {
                self.add(revocation);
            }
        }
    }
}

fn key(state: &SharedState) -> Vec<u8> {
    state.key(AREA, b"revocations")
}

/// The present Unix time in seconds.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{
        SharedStateConfig,
        testing::{RedisServer, connect, wait_until},
    };

    fn identity(claims: &[(&str, &str)]) -> Identity {
        let mut identity = Identity::new("jwt".into());
        claims.iter().for_each(|(name, value)| identity.add(name, value));
        identity
    }

    fn revocation(claim: RevokedClaim, value: &str, issued_before: Option<u64>) -> Revocation {
        Revocation { claim, value: value.to_owned(), issued_before, expires_at: unix_now() + 60 }
    }

    #[test]
    fn a_token_is_revoked_by_its_id_its_session_or_its_subject() {
        let list = Revocations::default();
        assert_eq!(list.revoked_by(&identity(&[("jti", "a")])), None);
        assert!(list.add(revocation(RevokedClaim::Jti, "a", None)));
        assert!(list.add(revocation(RevokedClaim::Sid, "s", None)));
        assert!(list.add(revocation(RevokedClaim::Sub, "ann", Some(1000))));
        let by = |claims: &[(&str, &str)]| list.revoked_by(&identity(claims));
        assert_eq!(by(&[("jti", "a")]), Some(RevokedClaim::Jti));
        assert_eq!(by(&[("jti", "b"), ("sid", "s")]), Some(RevokedClaim::Sid));
        assert_eq!(by(&[("sub", "ann"), ("iat", "999")]), Some(RevokedClaim::Sub));
        assert_eq!(by(&[("sub", "ann")]), Some(RevokedClaim::Sub), "without a time of issue");
        assert_eq!(by(&[("sub", "ann"), ("iat", "1000")]), None);
        assert_eq!(by(&[("sub", "bob"), ("iat", "1")]), None);
        let ended = Revocation { expires_at: 1, ..revocation(RevokedClaim::Jti, "old", None) };
        assert!(list.add(ended) && by(&[("jti", "old")]).is_none());
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        for entry in
            [revocation(RevokedClaim::Sub, "a b c", Some(7)), revocation(RevokedClaim::Jti, "x", None)]
        {
            assert_eq!(Revocation::decode(&entry.encode(), entry.expires_at), Some(entry));
        }
        assert_eq!([Revocation::decode("2 jti - a", 1), Revocation::decode("1 exp - a", 1)], [None, None]);
    }

    #[tokio::test]
    async fn gateways_share_the_list_and_one_that_starts_later_reads_it() {
        let server = RedisServer::start();
        let gateway = || {
            let (states, state) = connect(&SharedStateConfig::local(server.port));
            let list = Arc::<Revocations>::default();
            let follower = list.follow(&state);
            (list, follower, states)
        };
        let (one, two) = (gateway(), gateway());
        let entry = revocation(RevokedClaim::Jti, "a", None);
        one.0.announce(&entry).await.expect("announced");
        wait_until(|| two.0.len() == 1 && one.0.len() == 1);
        let three = gateway();
        wait_until(|| three.0.revoked_by(&identity(&[("jti", "a")])).is_some());
    }
}
