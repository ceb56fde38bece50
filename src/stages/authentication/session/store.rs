//! Sessions on the shared state: sealed, found by their ID, expired by Redis.

use super::{
    data::{Session, SessionData},
    seal::Sealer,
    settings::SessionSettings,
};
use crate::{
    stages::authentication::shared_calls::SharedCalls,
    state::{Cmd, Notice, Script, SharedState, StateError, Value},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

const PURPOSE: &str = "stored session";
/// How long a session is used without another look at the shared state; changes are announced.
const LOCAL_TTL: Duration = Duration::from_secs(10);
/// Memory for sessions of one scheme.
const CACHE_BYTES: u64 = 64 << 20;
const QUEUE_CAPACITY: usize = 1024;
/// Longest time for which one gateway refreshes a session.
const LOCK_TTL: Duration = Duration::from_secs(15);

/// Stores a session and announces it; beyond the limit of the user the oldest ones end.
static STORE: Script = Script::new(
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
     redis.call('PUBLISH', ARGV[3], ARGV[4]) return 1",
);
/// Adds a session to those of its user; returns the ones that exceed the limit.
static LIMIT: Script = Script::new(
    "local now = redis.call('TIME') \
     redis.call('ZADD', KEYS[1], now[1] .. '.' .. now[2], ARGV[1]) \
     redis.call('PEXPIRE', KEYS[1], ARGV[2]) \
     local excess = redis.call('ZRANGE', KEYS[1], 0, -1 - tonumber(ARGV[3])) \
     for _, id in ipairs(excess) do redis.call('ZREM', KEYS[1], id) end \
     return excess",
);
static UNLOCK: Script =
    Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1");

/// What was loaded: `None` if there is no session.
pub type LoadResult = Result<Option<Arc<Session>>, StateError>;

/// The sessions of one scheme on a shared state.
#[derive(Debug)]
pub struct SessionStore {
    scheme: Arc<str>,
    state: Arc<SharedState>,
    area: String,
    idle_timeout: Duration,
    absolute_timeout: Duration,
    max_per_user: Option<u64>,
    local: Cache<String, (Arc<Session>, Instant)>,
    /// Sessions that requests wait for.
    pub loads: SharedCalls<String, LoadResult>,
}

impl SessionStore {
    /// A store that follows the announcements of the other gateways.
    pub fn new(scheme: &Arc<str>, settings: &SessionSettings, state: &Arc<SharedState>) -> Arc<SessionStore> {
        let local = Cache::<String, (Arc<Session>, Instant)>::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_, (session, _)| session.weight())
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let store = Arc::new(SessionStore {
            scheme: scheme.clone(),
            state: state.clone(),
            area: format!("session:{scheme}"),
            idle_timeout: settings.idle_timeout,
            absolute_timeout: settings.absolute_timeout,
            max_per_user: settings.max_sessions_per_user,
            local,
            loads: SharedCalls::default(),
        });
        let subscription = state.subscribe(&state.channel(&store.area, "changed"), QUEUE_CAPACITY);
        state.spawn(follow(Arc::downgrade(&store), subscription));
        store
    }

    /// A session that this gateway knows: a recent copy, or with `is_stale_allowed` any.
    pub fn known(&self, id: &str, now: Instant, is_stale_allowed: bool) -> Option<Arc<Session>> {
        let (session, loaded_at) = self.local.get(id)?;
        let is_recent = now.saturating_duration_since(loaded_at) < LOCAL_TTL;
        (is_recent || is_stale_allowed).then_some(session)
    }

    /// Loads a session and begins its idle timeout again; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The shared state does not reply.
    pub async fn load(&self, sealer: &Sealer, id: &str) -> LoadResult {
        let mut command = Cmd::new();
        command.arg("GETEX").arg(self.key(id)).arg("PX").arg(millis(self.idle_timeout));
        let bytes = match self.state.command(&command, self.state.timeout()).await? {
            Value::Nil => {
                self.local.invalidate(id);
                return Ok(None);
            }
            Value::BulkString(bytes) => bytes,
            other => return Err(StateError::unexpected(&other)),
        };
        let opened = sealer.open(PURPOSE, &bytes);
        let data = opened.and_then(|opened| SessionData::from_bytes(&opened.content));
        let Some(data) = data.filter(|data| data.id == id) else { return Ok(None) };
        let session = Arc::new(Session::new(&self.scheme, data));
        self.local.insert(id.to_owned(), (session.clone(), Instant::now()));
        Ok(Some(session))
    }

    /// Stores a session and announces the change.
    ///
    /// # Errors
    ///
    /// The shared state does not reply.
    pub async fn store(&self, sealer: &Sealer, session: &Arc<Session>) -> Result<(), StateError> {
        let id = &session.data.id;
        let sealed = sealer.seal(PURPOSE, &session.data.to_bytes()).unwrap_or_default();
        let ttl = millis(self.idle_timeout.min(self.absolute_timeout));
        let channel = self.state.channel(&self.area, "changed");
        let arguments =
            [sealed.into_bytes(), ttl.to_string().into(), channel.into(), id.clone().into_bytes()];
        self.state.script(&STORE, &[self.key(id)], &arguments, self.state.timeout()).await?;
        self.local.insert(id.clone(), (session.clone(), Instant::now()));
        Ok(())
    }

    /// Applies the limit of sessions of a user to a session that begins.
    ///
    /// # Errors
    ///
    /// The shared state does not reply.
    pub async fn limit_user(&self, session: &Session) -> Result<(), StateError> {
        let Some(max) = self.max_per_user else { return Ok(()) };
        let user = Sha256::digest(session.data.claim("sub").unwrap_or_default().as_bytes());
        let key = self.state.key(&format!("{}:user", self.area), &user);
        let ttl = millis(self.absolute_timeout).to_string().into_bytes();
        let arguments = [session.data.id.clone().into_bytes(), ttl, max.to_string().into_bytes()];
        let excess = self.state.script(&LIMIT, &[key], &arguments, self.state.timeout()).await?;
        if let Value::Array(ids) = excess {
            for id in ids {
                if let Value::BulkString(id) = id {
                    self.delete(&String::from_utf8_lossy(&id)).await?;
                }
            }
        }
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// The shared state does not reply.
    pub async fn delete(&self, id: &str) -> Result<(), StateError> {
        self.local.invalidate(id);
        let mut command = Cmd::new();
        command.arg("DEL").arg(self.key(id));
        self.state.command(&command, self.state.timeout()).await?;
        let channel = self.state.channel(&self.area, "changed");
        self.state.publish(&channel, id.as_bytes(), self.state.timeout()).await.map(drop)
    }

    /// Takes the right to refresh a session; `None` if another gateway has it.
    ///
    /// # Errors
    ///
    /// The shared state does not reply.
    pub async fn try_lock(&self, id: &str, owner: &str) -> Result<bool, StateError> {
        let mut command = Cmd::new();
        command.arg("SET").arg(self.lock_key(id)).arg(owner).arg("NX").arg("PX").arg(millis(LOCK_TTL));
        let reply = self.state.command(&command, self.state.timeout()).await?;
        Ok(matches!(reply, Value::Okay))
    }

    /// Gives the right back.
    pub async fn unlock(&self, id: &str, owner: &str) {
        let arguments = [owner.as_bytes().to_vec()];
        let _ = self.state.script(&UNLOCK, &[self.lock_key(id)], &arguments, self.state.timeout()).await;
    }

    /// The shared state.
    pub fn state(&self) -> &Arc<SharedState> {
        &self.state
    }

    fn key(&self, id: &str) -> Vec<u8> {
        self.state.key(&self.area, id.as_bytes())
    }

    fn lock_key(&self, id: &str) -> Vec<u8> {
        self.state.key(&format!("{}:lock", self.area), id.as_bytes())
    }
}

/// Forgets the sessions that other gateways change, and all of them after a gap.
async fn follow(store: Weak<SessionStore>, mut subscription: crate::state::Subscription) {
    while let Some(notice) = subscription.recv().await {
        let Some(store) = store.upgrade() else { return };
        match notice {
            Notice::Subscribed => store.local.invalidate_all(),
            Notice::Message { payload, .. } => {
                store.local.invalidate(&*String::from_utf8_lossy(&payload));
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
