//! The counters of a route's limits for an operator: to look at, and to reset.

use super::{Limit, RateLimitConfig, store::CounterStore};
use crate::stages::partition_key::{Key, KeyPart};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A limit of a route, and one of its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LimitStatus {
    /// The name that clients receive.
    pub name: String,
    /// `limit/period/wWAIT`.
    pub rule: String,
    /// The parts of the key that distinguish requests, such as `IP`; empty if all requests share one counter.
    pub partition_by: Vec<String>,
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
    pub fn inspect(&self, store: &CounterStore, key: &str, now: Instant) -> Vec<LimitStatus> {
        let now_ns = store.instant_to_nanos(now);
        let status = |limit: &Limit| LimitStatus {
            name: limit.name.clone(),
            rule: limit.rule.clone(),
            partition_by: distinguishing(limit).map(KeyPart::text).collect(),
            counter: limit.key(store, key).map(|key| limit.counter_status(store, key, now_ns)),
        };
        self.limits.iter().map(status).collect()
    }

    /// Resets the counters of a key; returns how many there were.
    pub fn reset(&self, store: &CounterStore, key: &str) -> usize {
        let keys = self.limits.iter().filter_map(|limit| limit.key(store, key));
        keys.filter(|key| store.remove(*key)).count()
    }
}

/// The route is a part of the counter's name.
fn distinguishing(limit: &Limit) -> impl Iterator<Item = &KeyPart> {
    limit.parts.iter().filter(|part| **part != KeyPart::Route)
}

impl Limit {
    /// The key of the counter, if there is one value for each part.
    fn key(&self, store: &CounterStore, text: &str) -> Option<Key> {
        let count = distinguishing(self).count();
        let values: Vec<&str> = match count {
            0 => Vec::new(),
            1 => vec![text],
            _ => text.split(',').map(str::trim).collect(),
        };
        let is_complete = values.len() == count && values.iter().all(|value| !value.is_empty());
        is_complete.then(|| store.keys.builder(&self.counter, &self.parts).key_of_values(&values))?
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
