//! The responses on Redis: keys, scripts and announcements.

use super::{
    super::{purge::Purge, shared_key::SharedKey},
    codec,
    local_memory::LocalMemory,
    purges::{self, PurgeLog},
};
use crate::{
    base::hex,
    state::{Cmd, Script, SharedState, StateError, Value},
    telemetry::SharedCacheEvent,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

static LOAD: Script = Script::new(include_str!("load.lua"));
pub(super) static FINISH: Script = Script::new(include_str!("finish.lua"));
static PURGE: Script = Script::new(include_str!("purge.lua"));

/// The area of keys and channels.
const AREA: &str = "cache";
/// When the lock of a gateway that has ended expires.
pub(super) const LOCK_TTL: Duration = Duration::from_secs(3);
/// How often a waiting gateway looks without an announcement.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Responses of one key.
pub(super) const MAX_VARIANTS: usize = 16;
/// How long an invalidation of a URL is kept: longer than responses are fetched.
const INVALIDATION_TTL: Duration = Duration::from_secs(24 * 3600);

/// The shared cache on one shared state.
#[derive(Debug)]
pub struct SharedCache {
    pub(super) state: Arc<SharedState>,
    pub(super) memory: Weak<dyn LocalMemory>,
    purges: Mutex<PurgeLog>,
    /// The requests that wait for other gateways.
    pub(super) waiting: Mutex<HashMap<SharedKey, Arc<Notify>>>,
    /// The difference between the clocks: Unix microseconds of Redis at `epoch`; 0: not known yet.
    epoch: Instant,
    epoch_us: AtomicU64,
}

/// The reply of the load script.
pub(super) struct Loaded {
    pub now_us: u64,
    pub invalidated_us: u64,
    pub outcome: Vec<u8>,
    pub values: Vec<Vec<u8>>,
}

impl SharedCache {
    /// The cache of a shared state, and the memory of this gateway in front of it.
    pub(super) fn new(state: &Arc<SharedState>, memory: Weak<dyn LocalMemory>) -> SharedCache {
        SharedCache {
            state: state.clone(),
            memory,
            purges: Mutex::default(),
            waiting: Mutex::default(),
            epoch: Instant::now(),
            epoch_us: AtomicU64::new(0),
        }
    }

    pub(super) async fn load_pieces(
        &self,
        key: SharedKey,
        count: u32,
        generation: u64,
        length: u64,
        max_bytes: u64,
    ) -> Option<Vec<u8>> {
        let is_plausible = length <= max_bytes && u64::from(count) <= length / codec::PIECE_BYTES as u64 + 2;
        let mut bytes = Vec::new();
        for piece in (0..count).filter(|_| is_plausible) {
            let mut command = Cmd::new();
            // One byte more than a piece has: another program may have written a value of any size.
            command
                .arg("GETRANGE")
                .arg(self.piece_key(key, generation, piece))
                .arg(0)
                .arg(codec::PIECE_BYTES);
            match self.state.command(&command, self.state.timeout().max(Duration::from_millis(250))).await {
                Ok(Value::BulkString(part)) if !part.is_empty() => bytes.extend_from_slice(&part),
                _ => return None,
            }
        }
        is_plausible.then_some(bytes)
    }

    pub(super) async fn load(
        &self,
        key: SharedKey,
        token: &str,
        is_lock_only: bool,
    ) -> Result<Loaded, StateError> {
        let base = self.key(key, "");
        let part = |name: &[u8]| [&base[..], name].concat();
        let keys = vec![part(b"r"), part(b"l"), part(b"w"), self.invalidation_key(key.resource)];
        let arguments = vec![
            token.as_bytes().to_vec(),
            LOCK_TTL.as_millis().to_string().into_bytes(),
            if is_lock_only { b"1".to_vec() } else { b"0".to_vec() },
            codec::MAX_VALUE.to_string().into_bytes(),
        ];
        let reply = self.state.script_in_batch(&LOAD, keys, arguments).await?;
        let loaded = Loaded::parse(reply).inspect_err(|error| self.state.record_failure(error))?;
        let since = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(0);
        self.epoch_us.store(loaded.now_us.saturating_sub(since), Relaxed);
        Ok(loaded)
    }

    /// The present time of Redis in Unix microseconds, as of the last reply.
    pub(super) fn now_us(&self) -> u64 {
        let since = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(0);
        self.epoch_us.load(Relaxed).saturating_add(since)
    }

    /// Invalidates the responses of a URL on all gateways: an unsafe request succeeded.
    pub fn invalidate(self: &Arc<Self>, resource: [u8; 16]) {
        let cache = self.clone();
        self.state.spawn(async move {
            static INVALIDATE: Script = Script::new(
                "local time = redis.call('TIME') \
                 redis.call('SET', KEYS[1], string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2])), 'PX', ARGV[1]) \
                 return redis.call('PUBLISH', ARGV[2], ARGV[3])",
            );
            let arguments = [
                INVALIDATION_TTL.as_millis().to_string().into_bytes(),
                cache.channel("invalidate").into_bytes(),
                resource.to_vec(),
            ];
            let keys = [cache.invalidation_key(resource)];
            // Without Redis the responses of other gateways live until they expire.
            let _ = cache.state.script(&INVALIDATE, &keys, &arguments, cache.state.timeout()).await;
        });
    }

    /// Purges on all gateways.
    ///
    /// # Errors
    ///
    /// Redis does not reply: only this gateway has purged.
    pub async fn purge(&self, purge: &Purge) -> Result<(), StateError> {
        let keys = [self.state.key(AREA, b"{purges}:number"), self.purges_key()];
        let arguments = [
            purges::encode(purge),
            self.channel("purge").into_bytes(),
            purges::MAX_PURGES.to_string().into_bytes(),
        ];
        let timeout = self.state.timeout().max(Duration::from_secs(1));
        self.state.script(&PURGE, &keys, &arguments, timeout).await.map(drop)
    }

    pub(super) fn lock_purges(&self) -> MutexGuard<'_, PurgeLog> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, event: SharedCacheEvent) {
        self.state.metrics().count_cache_event(event);
    }

    /// The keys of one response are in the same slot of a cluster.
    pub(super) fn key(&self, key: SharedKey, part: &str) -> Vec<u8> {
        let name = format!("{{{}}}:{}:{part}", hex::encode(&key.resource), hex::encode(&key.key));
        self.state.key(AREA, name.as_bytes())
    }

    pub(super) fn piece_key(&self, key: SharedKey, generation: u64, piece: u32) -> Vec<u8> {
        self.key(key, &format!("{generation:016x}:{piece}"))
    }

    fn invalidation_key(&self, resource: [u8; 16]) -> Vec<u8> {
        self.state.key(AREA, format!("{{{}}}:i", hex::encode(&resource)).as_bytes())
    }

    pub(super) fn purges_key(&self) -> Vec<u8> {
        self.state.key(AREA, b"{purges}:last")
    }

    pub(super) fn channel(&self, name: &str) -> String {
        self.state.channel(AREA, name)
    }
}

impl Loaded {
    fn parse(reply: Value) -> Result<Loaded, StateError> {
        let Value::Array(items) = reply else { return Err(StateError::unexpected(&reply)) };
        let mut items = items.into_iter();
        let head = (items.next(), items.next(), items.next());
        let (Some(Value::Int(now)), Some(Value::Int(invalidated)), Some(Value::BulkString(outcome))) = head
        else {
            return Err(StateError::Reply("unexpected reply of the cache script".to_owned()));
        };
        let values = items.filter_map(|item| match item {
            Value::BulkString(value) => Some(value),
            _ => None,
        });
        let [now_us, invalidated_us] = [now, invalidated].map(|time| u64::try_from(time).unwrap_or(0));
        Ok(Loaded { now_us, invalidated_us, outcome, values: values.collect() })
    }
}
