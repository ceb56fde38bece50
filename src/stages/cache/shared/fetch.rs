//! The right of a gateway to fetch a response for all.

use super::{
    super::{
        entry::{Entry, EntryMetadata},
        shared_key::SharedKey,
    },
    codec::{self, BodyBytes, MAX_INLINE_BODY, PIECE_BYTES, StoredBody},
    store::{FINISH, LOCK_TTL, MAX_VARIANTS, SharedCache},
};
use crate::{
    state::{Cmd, Script, StateError},
    telemetry::SharedCacheEvent,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

static RENEW: Script = Script::new(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0",
);
/// How long a response with a validator is kept after it became stale.
const VALIDATOR_TTL: Duration = Duration::from_secs(3600);
/// Pieces outlive the value that refers to them.
const PIECE_TTL_MARGIN: Duration = Duration::from_secs(60);
/// A piece is large: it may take longer than a request waits.
const MIN_PIECE_TIMEOUT: Duration = Duration::from_secs(1);

/// A lock, renewed while this exists. Dropped without a response, it is released for another gateway.
#[derive(Debug)]
pub struct SharedFetch(Option<Arc<Lock>>);

#[derive(Debug)]
struct Lock {
    cache: Arc<SharedCache>,
    key: SharedKey,
    token: String,
    purge_number: u64,
    requested_us: u64,
}

impl SharedFetch {
    /// Renews the lock from now on.
    pub(super) fn new(
        cache: &Arc<SharedCache>,
        key: SharedKey,
        token: String,
        purge_number: u64,
        requested_us: u64,
    ) -> SharedFetch {
        let lock = Arc::new(Lock { cache: cache.clone(), key, token, purge_number, requested_us });
        cache.state.spawn(renew(Arc::downgrade(&lock)));
        SharedFetch(Some(lock))
    }

    /// Stores the response for all gateways, then releases the lock.
    pub fn store(mut self, entry: Arc<Entry>) {
        if let Some(lock) = self.0.take() {
            let cache = lock.cache.clone();
            cache.state.spawn(async move {
                if let Err(error @ StateError::Reply(_)) = store(&lock, &entry).await {
                    lock.cache.state.record_failure(&error);
                }
            });
        }
    }
}

impl Drop for SharedFetch {
    fn drop(&mut self) {
        if let Some(lock) = self.0.take() {
            let cache = lock.cache.clone();
            cache.state.spawn(async move { drop(finish(&lock, None).await) });
        }
    }
}

async fn renew(lock: Weak<Lock>) {
    loop {
        tokio::time::sleep(LOCK_TTL / 3).await;
        let Some(lock) = lock.upgrade() else { return };
        let keys = [lock.cache.key(lock.key, "l")];
        let arguments = [lock.token.clone().into_bytes(), LOCK_TTL.as_millis().to_string().into_bytes()];
        let _ = lock.cache.state.script(&RENEW, &keys, &arguments, lock.cache.state.timeout()).await;
    }
}

/// Stores the pieces of the body, then the value that refers to them.
async fn store(lock: &Lock, entry: &Arc<Entry>) -> Result<(), StateError> {
    let metadata = entry.metadata.clone();
    let (head, pieces) = (metadata.head.clone(), entry.body.clone());
    let work = move || codec::compress(pieces.concat(), &head);
    let compressed = match entry.length > MAX_INLINE_BODY as u64 {
        // Other tasks of the thread do not wait for a large body.
        true => {
            tokio::task::spawn_blocking(work).await.map_err(|error| StateError::Reply(error.to_string()))?
        }
        false => work(),
    };
    let (bytes, is_compressed) = compressed;
    let ttl = time_to_live(&metadata);
    let checksum = codec::checksum(&bytes);
    let bytes = match bytes.len() <= MAX_INLINE_BODY {
        true => BodyBytes::Inline(bytes),
        false => store_pieces(lock, &bytes, ttl).await?,
    };
    let body = StoredBody { length: entry.length, is_compressed, checksum, bytes };
    let now = (Instant::now(), lock.cache.now_us());
    let value = codec::encode(&metadata, &body, (lock.purge_number, lock.requested_us), now);
    if value.len() > codec::MAX_VALUE || ttl.is_zero() {
        return finish(lock, None).await;
    }
    lock.cache.count(SharedCacheEvent::Stored);
    finish(lock, Some((variant(&metadata), value, ttl))).await
}

async fn store_pieces(lock: &Lock, bytes: &[u8], ttl: Duration) -> Result<BodyBytes, StateError> {
    let (generation, mut count) = (fastrand::u64(..), 0);
    let timeout = lock.cache.state.timeout().max(MIN_PIECE_TIMEOUT);
    let expires = (ttl + PIECE_TTL_MARGIN).as_millis() as u64;
    for piece in bytes.chunks(PIECE_BYTES) {
        let mut command = Cmd::new();
        command
            .arg("SET")
            .arg(lock.cache.piece_key(lock.key, generation, count))
            .arg(piece)
            .arg("PX")
            .arg(expires);
        lock.cache.state.command(&command, timeout).await?;
        count += 1;
    }
    Ok(BodyBytes::Pieces { count, generation })
}

/// Releases the lock, with a response or without.
async fn finish(lock: &Lock, response: Option<(u64, Vec<u8>, Duration)>) -> Result<(), StateError> {
    let cache = &lock.cache;
    let keys = ["r", "l", "w"].map(|part| cache.key(lock.key, part));
    let message = [lock.key.resource, lock.key.key].concat();
    let mut arguments = vec![lock.token.clone().into_bytes(), cache.channel("done").into_bytes(), message];
    if let Some((variant, value, ttl)) = response {
        let (ttl, variants) = (ttl.as_millis().to_string(), MAX_VARIANTS.to_string());
        arguments.extend([
            format!("{variant:016x}").into_bytes(),
            value,
            ttl.into_bytes(),
            variants.into_bytes(),
        ]);
    }
    cache
        .state
        .script(&FINISH, &keys, &arguments, cache.state.timeout().max(MIN_PIECE_TIMEOUT))
        .await
        .map(drop)
}

/// How long the response can be used.
fn time_to_live(metadata: &EntryMetadata) -> Duration {
    let freshness = &metadata.freshness;
    let fresh = freshness.lifetime.saturating_sub(freshness.age(Instant::now()));
    let stale = freshness.stale_while_revalidate.max(freshness.stale_if_error);
    let validator = if metadata.validates() { VALIDATOR_TTL } else { Duration::ZERO };
    fresh.saturating_add(stale.max(validator)).min(Duration::from_secs(366 * 24 * 3600))
}

/// Identifies the requests that a response matches. All gateways compute the same number.
fn variant(metadata: &EntryMetadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    metadata.vary_key.request_fields().for_each(|field| field.hash(&mut hasher));
    hasher.finish()
}
