//! Sticky sessions that several gateways share: each assignment is stored on Redis until the session expires, announced to
//! every gateway, and read by gateways that start or were away.

use crate::{
    backend::balance::{SessionDirectories, SessionDirectory},
    base::hex,
    state::{Cmd, Notice, Script, SharedState, StateError, Value},
};
use moka::sync::Cache;
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Sessions of one cluster; the least recently used one is forgotten.
const MAX_SESSIONS: u64 = 100_000;
const AREA: &str = "sticky";
const QUEUE_CAPACITY: usize = 4096;
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Stores and announces a session; expired ones are removed.
static RECORD: Script = Script::new(
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1]) \
     redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) \
     redis.call('EXPIREAT', KEYS[1], math.max(ARGV[1], redis.call('EXPIRETIME', KEYS[1]))) \
     return redis.call('PUBLISH', ARGV[3], ARGV[2])",
);

/// The sessions of all clusters on a shared state.
#[derive(Debug)]
pub(super) struct SharedSessions(pub Arc<SharedState>);

impl SessionDirectories for SharedSessions {
    fn id(&self) -> String {
        format!("{}|{}", self.0.config().servers_text(), self.0.config().prefix)
    }

    fn open(&self, cluster: &str, expiry: Duration) -> Arc<dyn SessionDirectory> {
        ClusterSessions::open(&self.0, cluster, expiry)
    }
}

/// An endpoint, and when this gateway announced it.
type Session = (Arc<str>, Option<Instant>);

/// The sessions of one cluster, by the digest of the cookie: cookies are secrets.
struct ClusterSessions {
    state: Arc<SharedState>,
    name: String,
    expiry: Duration,
    sessions: Cache<[u8; 16], Session>,
    /// Itself, for the tasks that announce sessions.
    this: Weak<ClusterSessions>,
}

impl std::fmt::Debug for ClusterSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "ClusterSessions({})", self.sessions.entry_count())
    }
}

impl ClusterSessions {
    fn open(state: &Arc<SharedState>, cluster: &str, expiry: Duration) -> Arc<ClusterSessions> {
        let directory = Arc::new_cyclic(|this| ClusterSessions {
            state: state.clone(),
            name: hex::encode(&digest(cluster.as_bytes())),
            expiry,
            sessions: Cache::builder().max_capacity(MAX_SESSIONS).time_to_idle(expiry).build(),
            this: this.clone(),
        });
        let weak = Arc::downgrade(&directory);
        let mut subscription = state.subscribe(&state.channel(AREA, &directory.name), QUEUE_CAPACITY);
        state.spawn(async move {
            while let Some(notice) = subscription.recv().await {
                let Some(directory) = weak.upgrade() else { return };
                match notice {
                    Notice::Subscribed => directory.read().await,
                    Notice::Message { payload, .. } => directory.add(&payload),
                }
            }
        });
        directory
    }

    fn key(&self) -> Vec<u8> {
        self.state.key(AREA, self.name.as_bytes())
    }

    /// Adds what another gateway has announced: the digest and the endpoint.
    fn add(&self, text: &[u8]) {
        let Some((digest, label)) = text.split_first_chunk::<16>() else { return };
        let Ok(label) = std::str::from_utf8(label) else { return };
        let announced_at = self.sessions.get(digest).and_then(|(known, at)| at.filter(|_| *known == *label));
        self.sessions.insert(*digest, (label.into(), announced_at));
    }

    async fn read(&self) {
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(self.key()).arg(unix_now()).arg("+inf").arg("BYSCORE");
        let Ok(Value::Array(items)) = self.state.command(&command, READ_TIMEOUT).await else { return };
        for item in &items {
            if let Value::BulkString(text) = item {
                self.add(text);
            }
        }
    }

    /// A session has one member for each endpoint that it had; the last announcement counts.
    async fn announce(&self, digest: [u8; 16], endpoint: &str) -> Result<(), StateError> {
        let arguments = [
            (unix_now() + self.expiry.as_secs().max(1)).to_string().into_bytes(),
            [&digest[..], endpoint.as_bytes()].concat(),
            self.state.channel(AREA, &self.name).into_bytes(),
        ];
        self.state.script(&RECORD, &[self.key()], &arguments, self.state.timeout()).await.map(drop)
    }
}

impl SessionDirectory for ClusterSessions {
    fn endpoint(&self, cookie: &[u8]) -> Option<Arc<str>> {
        self.sessions.get(&digest(cookie)).map(|(endpoint, _)| endpoint)
    }

    fn record(&self, cookie: &[u8], endpoint: &Arc<str>) {
        let digest = digest(cookie);
        let known = self.sessions.get(&digest).filter(|(known, _)| known == endpoint);
        let is_recent = known.is_some_and(|(_, at)| at.is_some_and(|at| at.elapsed() < self.expiry / 4));
        let Some(directory) = self.this.upgrade().filter(|_| !is_recent) else { return };
        self.sessions.insert(digest, (endpoint.clone(), Some(Instant::now())));
        let endpoint = endpoint.clone();
        // Without Redis the session is that of this gateway.
        self.state.spawn(async move { drop(directory.announce(digest, &endpoint).await) });
    }
}

fn digest(bytes: &[u8]) -> [u8; 16] {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.as_ref()[..16]);
    digest
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{
        SharedStateConfig,
        testing::{RedisServer, connect, wait_until},
    };

    #[test]
    fn gateways_know_the_sessions_of_each_other() {
        let server = RedisServer::start();
        let gateway = || {
            let (states, state) = connect(&SharedStateConfig::local(server.port));
            let directory = SharedSessions(state).open("cluster", Duration::from_secs(60));
            (directory, states)
        };
        let (one, two) = (gateway(), gateway());
        let endpoint: Arc<str> = "10.0.0.1:80".into();
        assert_eq!(one.0.endpoint(b"cookie"), None);
        std::thread::sleep(Duration::from_millis(50));
        one.0.record(b"cookie", &endpoint);
        wait_until(|| two.0.endpoint(b"cookie") == Some(endpoint.clone()));
        let three = gateway();
        wait_until(|| three.0.endpoint(b"cookie") == Some(endpoint.clone()));
        assert_eq!(three.0.endpoint(b"other"), None);
    }
}
