//! Takes a response from Redis, waits for another gateway, or gets the right to fetch one.

use super::{
    super::{entry::tags, freshness::Freshness, shared_key::SharedKey},
    codec::{self, BodyBytes, StoredValue},
    fetch::SharedFetch,
    store::{Loaded, POLL_INTERVAL, SharedCache},
};
use crate::{pipeline::head::Head, state::StateError, telemetry::SharedCacheEvent};
use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

/// A response on Redis.
#[derive(Debug)]
pub struct LoadedResponse {
    pub value: StoredValue,
    pub body: Vec<u8>,
}

/// What the leader of a gateway does.
#[derive(Debug)]
pub enum Obtained {
    /// Serves this response.
    Fresh(LoadedResponse),
    /// Fetches a response and stores it for all; with a stale one, which may be revalidated.
    Fetch(SharedFetch, Option<LoadedResponse>),
    /// Fetches a response for itself: Redis does not reply, or the gateway has waited long enough.
    Alone(Option<LoadedResponse>),
}

/// A request that is looked up.
#[derive(Debug)]
pub struct SharedQuery<'q> {
    pub key: SharedKey,
    pub request: &'q Head,
    pub region: &'q str,
    /// The largest body.
    pub max_bytes: u64,
    /// How long the request waits for another gateway.
    pub deadline: Instant,
}

impl SharedCache {
    /// A usable response, or the right to fetch one.
    pub async fn obtain(
        self: &Arc<Self>,
        query: &SharedQuery<'_>,
        is_fresh: impl Fn(&Freshness) -> bool,
    ) -> Obtained {
        loop {
            let token = format!("{:016x}", fastrand::u64(..));
            let purge_number = self.lock_purges().latest();
            let Ok(loaded) = self.load(query.key, &token, false).await else { return Obtained::Alone(None) };
            match &*loaded.outcome {
                b"found" => {
                    let found = self.select(loaded, query).await;
                    let found = match found {
                        Some(found) if is_fresh(&found.value.freshness) => {
                            self.count(SharedCacheEvent::Hit);
                            return Obtained::Fresh(found);
                        }
                        found => found,
                    };
                    match self.lock(query.key, purge_number, query.deadline).await {
                        Some(Some(fetch)) => return Obtained::Fetch(fetch, found),
                        Some(None) => {}
                        None => return Obtained::Alone(found),
                    }
                }
                b"fetch" => {
                    self.count(SharedCacheEvent::Miss);
                    let fetch = SharedFetch::new(self, query.key, token, purge_number, loaded.now_us);
                    return Obtained::Fetch(fetch, None);
                }
                _ if self.wait(query.key, query.deadline).await => {}
                _ => return Obtained::Alone(None),
            }
        }
    }

    /// Locks a key whose responses cannot be used: the fetch, or `Some(None)` after another gateway has ended one; `None`
    /// without Redis or at the deadline.
    async fn lock(
        self: &Arc<Self>,
        key: SharedKey,
        purge_number: u64,
        deadline: Instant,
    ) -> Option<Option<SharedFetch>> {
        let token = format!("{:016x}", fastrand::u64(..));
        let loaded = self.load(key, &token, true).await.ok()?;
        if loaded.outcome == b"fetch" {
            self.count(SharedCacheEvent::Miss);
            return Some(Some(SharedFetch::new(self, key, token, purge_number, loaded.now_us)));
        }
        self.wait(key, deadline).await.then_some(None)
    }

    /// The right to fetch a response, unless another gateway has it.
    pub async fn try_fetch(self: &Arc<Self>, key: SharedKey) -> Option<SharedFetch> {
        let token = format!("{:016x}", fastrand::u64(..));
        let purge_number = self.lock_purges().latest();
        let loaded = self.load(key, &token, true).await.ok()?;
        (loaded.outcome == b"fetch").then(|| SharedFetch::new(self, key, token, purge_number, loaded.now_us))
    }

    /// Waits until another gateway has ended its fetch, or for a while; false at the deadline.
    async fn wait(&self, key: SharedKey, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        self.count(SharedCacheEvent::LockWait);
        let notify = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(key).or_default().clone()
        };
        let _ = tokio::time::timeout(POLL_INTERVAL.min(deadline - now), notify.notified()).await;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, notify| Arc::strong_count(notify) > 1);
        true
    }

    /// The first response that matches the request and was not purged, with its body.
    async fn select(&self, loaded: Loaded, query: &SharedQuery<'_>) -> Option<LoadedResponse> {
        let SharedQuery { key, request, region, max_bytes, .. } = *query;
        let now = (Instant::now(), loaded.now_us);
        for value in &loaded.values {
            let value = match codec::decode(value, now) {
                Ok(value) => value,
                Err(text) => {
                    self.state.record_failure(&StateError::Reply(text.to_owned()));
                    continue;
                }
            };
            let tags = tags(&value.head).collect::<Vec<_>>();
            let is_valid = value.requested_us > loaded.invalidated_us
                && self.lock_purges().is_valid(value.purge_number, &value.url, region.as_bytes(), &tags);
            if !is_valid || !value.vary_key.matches(request) {
                continue;
            }
            let bytes = match &value.body.bytes {
                BodyBytes::Inline(bytes) => bytes.clone(),
                BodyBytes::Pieces { count, generation } => {
                    self.load_pieces(key, *count, *generation, value.body.length, max_bytes).await?
                }
            };
            return codec::decompress(bytes, &value.body, max_bytes)
                .map(|body| LoadedResponse { value, body });
        }
        None
    }
}
