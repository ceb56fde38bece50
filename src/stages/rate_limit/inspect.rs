//! The counters of a route's limits for an operator: to look at, and to reset.

use super::{
    Limit, RateLimitConfig, RateLimitState, Scope,
    shared::{
        group::{SharedGroup, combine},
        limiter::SharedLimiter,
        reply::Reply,
    },
    store::CounterStore,
};
use crate::{
    stages::partition_key::{Digest, Key, KeyPart},
    state::{SharedState, StateError},
};
use serde::Serialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A limit of a route, and one of its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LimitStatus {
    /// The name that clients receive.
    pub name: String,
    /// `limit/period/wWAIT`.
    pub rule: String,
    /// The parts of the key that distinguish requests, such as `IP`; empty if all requests share one counter.
    pub partition_by: Vec<String>,
    /// `Node`, or `Shared` if all gateways count together.
    pub scope: String,
    /// The counter; absent if `key` does not have one value for each part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterStatus>,
}

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CounterStatus {
    /// Requests that are admitted in a burst.
    pub quota: u64,
    /// Requests that would be admitted now.
    pub remaining: u64,
    /// When the counter is as new; 0 if it is.
    pub resets_in_ms: u64,
    /// When the next request is admitted; 0 if it would be now.
    pub retry_in_ms: u64,
}

impl RateLimitConfig {
    /// The limits, with the counters of a key: the values of the parts of a limit, separated by commas.
    ///
    /// # Errors
    ///
    /// A limit is shared, and Redis does not reply.
    pub async fn inspect(
        &self,
        state: &RateLimitState,
        shared: Option<&Arc<SharedState>>,
        key: &str,
        now: Instant,
    ) -> Result<Vec<LimitStatus>, StateError> {
        let store = &*state.counters;
        let now_ns = store.instant_to_nanos(now);
        let mut all = Vec::with_capacity(self.limits.len());
        for limit in &self.limits {
            let counter = match (limit.scope, shared, limit.digest(store, key)) {
                (Scope::Shared(_), Some(shared), Some(digest)) => {
                    Some(limit.shared_status(&state.limiter(shared), digest).await?)
                }
                _ => limit.key(store, key).map(|key| limit.counter_status(store, key, now_ns)),
            };
            all.push(LimitStatus {
                name: limit.name.clone(),
                rule: limit.rule.clone(),
                partition_by: distinguishing(limit).map(KeyPart::text).collect(),
                scope: if limit.scope == Scope::Node { "Node" } else { "Shared" }.to_owned(),
                counter,
            });
        }
        Ok(all)
    }

    /// Resets the counters of a key; returns how many there were. Other gateways keep a refusal until it ends.
    ///
    /// # Errors
    ///
    /// A limit is shared, and Redis does not reply.
    pub async fn reset(
        &self,
        state: &RateLimitState,
        shared: Option<&Arc<SharedState>>,
        key: &str,
    ) -> Result<usize, StateError> {
        let store = &*state.counters;
        let keys = self.limits.iter().filter_map(|limit| limit.key(store, key));
        let mut count = keys.filter(|key| store.remove(*key)).count();
        let Some(shared) = shared else { return Ok(count) };
        let limiter = state.limiter(shared);
        let shared_limits = || self.limits.iter().filter(|limit| limit.scope != Scope::Node);
        let keys: Vec<Key> = shared_limits().filter_map(|limit| limit.key(store, key)).collect();
        limiter.forget(combine(&keys));
        for digest in shared_limits().filter_map(|limit| limit.digest(store, key)) {
            count += usize::from(limiter.remove(&digest).await?);
        }
        Ok(count)
    }
}

/// The route is a part of the counter's name.
fn distinguishing(limit: &Limit) -> impl Iterator<Item = &KeyPart> {
    limit.parts.iter().filter(|part| **part != KeyPart::Route)
}

impl Limit {
    /// The key of the counter, if there is one value for each part.
    fn key(&self, store: &CounterStore, text: &str) -> Option<Key> {
        store.keys.builder(&self.counter, &self.parts).key_of_values(&self.values(text)?)
    }

    /// The same on the shared state.
    fn digest(&self, store: &CounterStore, text: &str) -> Option<Digest> {
        store.keys.builder(&self.counter, &self.parts).digest_of_values(&self.values(text)?)
    }

    fn values<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let count = distinguishing(self).count();
        let values: Vec<&str> = match count {
            0 => Vec::new(),
            1 => vec![text],
            _ => text.split(',').map(str::trim).collect(),
        };
        let is_complete = values.len() == count && values.iter().all(|value| !value.is_empty());
        is_complete.then_some(values)
    }

    /// What a request would find on the shared state now; nothing is counted.
    async fn shared_status(
        &self,
        limiter: &SharedLimiter,
        digest: Digest,
    ) -> Result<CounterStatus, StateError> {
        let quota = self.algorithm.capacity();
        let Some(group) = SharedGroup::new(std::iter::once((&self.algorithm, self.scope))) else {
            return Err(StateError::Unavailable);
        };
        let Reply { rejecting, retry_in_ns, limits, .. } =
            limiter.read(&group, &[limiter.counter_name(&digest)]).await?;
        let (left, resets_in_ns) =
            limits.first().map_or((0, 0), |limit| (limit.remaining, limit.resets_in_ns));
        let remaining = if rejecting.is_some() { 0 } else { left + 1 };
        let ms = |ns: u64| Duration::from_nanos(ns).as_millis() as u64;
        Ok(CounterStatus {
            quota,
            remaining,
            resets_in_ms: if remaining == quota { 0 } else { ms(resets_in_ns) },
            retry_in_ms: ms(retry_in_ns),
        })
    }

    /// What a request would find now; nothing is counted.
    fn counter_status(&self, store: &CounterStore, key: Key, now_ns: u64) -> CounterStatus {
        let (has_counter, decision) = store.update(key, now_ns, false, |counter| {
            let is_counting = counter.is_some_and(|counter| counter.expires_at_ns > now_ns);
            let (next, (decision, _)) = self.algorithm.try_acquire(counter, now_ns);
            (next, (is_counting, decision))
        });
        let until = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(now_ns)).as_millis() as u64;
        CounterStatus {
            quota: self.algorithm.capacity(),
            remaining: if decision.admitted { decision.remaining + 1 } else { 0 },
            resets_in_ms: if has_counter { until(decision.resets_at_ns) } else { 0 },
            retry_in_ms: if decision.admitted { 0 } else { until(decision.retry_at_ns) },
        }
    }
}
