//! Metrics of the web application firewall.

pub(super) mod export;
pub(super) mod families;

use super::histogram::{HistogramTotals, bucket_index};
use super::registry::Registry;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happened to inspected requests, in the order of the counters.
pub const FIREWALL_ACTIONS: [&str; 9] =
    ["passed", "blocked", "detected", "allowed", "malformed", "oversize", "limited", "bot", "logged"];

/// What the firewall found about a request, in the access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirewallRecord {
    pub policy: String,
    /// One of [`FIREWALL_ACTIONS`].
    pub action: &'static str,
    /// The anomaly score of the request.
    pub score: i64,
    pub matches: Vec<FirewallMatch>,
}

/// A match of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirewallMatch {
    /// The id of a managed rule, or the name of a custom rule.
    pub rule: String,
    /// The part of the request, such as `query id`.
    pub part: String,
}

/// The rules that one policy exports; further ones are not counted.
const MAX_RULES: usize = 2000;

/// The counters of a policy.
#[derive(Debug)]
pub struct FirewallMetrics {
    label: Box<str>,
    actions: [AtomicU64; FIREWALL_ACTIONS.len()],
    inspected_bytes: AtomicU64,
    buckets: [AtomicU64; 16],
    sum_ns: AtomicU64,
    rules: AtomicU64,
    rule_matches: Mutex<BTreeMap<String, u64>>,
}

impl FirewallMetrics {
    pub(super) fn new(label: &str) -> FirewallMetrics {
        FirewallMetrics {
            label: label.into(),
            actions: Default::default(),
            inspected_bytes: AtomicU64::new(0),
            buckets: Default::default(),
            sum_ns: AtomicU64::new(0),
            rules: AtomicU64::new(0),
            rule_matches: Mutex::default(),
        }
    }

    /// The name of the policy.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts a request with what happened to it, the bytes that were inspected, and the time that this took.
    pub fn count(&self, action: &str, inspected_bytes: u64, duration: Duration) {
        if let Some(at) = FIREWALL_ACTIONS.iter().position(|known| *known == action) {
            self.actions[at].fetch_add(1, Relaxed);
        }
        self.inspected_bytes.fetch_add(inspected_bytes, Relaxed);
        self.buckets[bucket_index(duration)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts a match of a rule.
    pub fn count_match(&self, rule: &str) {
        let mut matches = self.rule_matches.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = matches.len() < MAX_RULES;
        match matches.get_mut(rule) {
            Some(count) => *count += 1,
            None if has_room => drop(matches.insert(rule.to_owned(), 1)),
            None => {}
        }
    }

    /// Requests by action.
    pub(super) fn actions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FIREWALL_ACTIONS.into_iter().zip(self.actions.iter().map(|count| count.load(Relaxed)))
    }

    /// The bytes that were inspected.
    pub(super) fn inspected_bytes(&self) -> u64 {
        self.inspected_bytes.load(Relaxed)
    }

    /// The number of rules that run.
    pub fn set_rules(&self, count: usize) {
        self.rules.store(count as u64, Relaxed);
    }

    pub(super) fn rules(&self) -> u64 {
        self.rules.load(Relaxed)
    }

    /// The durations of evaluations.
    pub(super) fn durations(&self) -> HistogramTotals {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Relaxed));
        HistogramTotals { buckets, sum_ns: self.sum_ns.load(Relaxed) }
    }

    /// Matches by rule.
    pub(super) fn rule_matches(&self) -> BTreeMap<String, u64> {
        self.rule_matches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The evaluations that wait for a thread, and the memory of the rules.
#[derive(Debug, Default)]
pub struct FirewallEngine {
    queued: AtomicU64,
    rejected: AtomicU64,
    memory_bytes: AtomicU64,
}

impl FirewallEngine {
    /// Counts an evaluation that waits, until the guard is dropped.
    pub fn enter_queue(self: &Arc<Self>) -> FirewallQueueGuard {
        self.queued.fetch_add(1, Relaxed);
        FirewallQueueGuard(self.clone())
    }

    /// Counts an evaluation that found no thread in time.
    pub fn count_rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    /// The memory of all rules and policies.
    pub fn set_memory_bytes(&self, bytes: usize) {
        self.memory_bytes.store(bytes as u64, Relaxed);
    }

    pub(super) fn queued(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Relaxed)
    }
}

/// An evaluation that waits for a thread.
#[derive(Debug)]
pub struct FirewallQueueGuard(Arc<FirewallEngine>);

impl Drop for FirewallQueueGuard {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}

/// The counters of all policies, and of their engine.
#[derive(Debug, Default)]
pub struct FirewallTable {
    policies: Registry<FirewallMetrics>,
    engine: Arc<FirewallEngine>,
}

impl FirewallTable {
    /// The counters of a policy.
    pub fn policy(&self, name: &str) -> Arc<FirewallMetrics> {
        self.policies.get_or_insert_with(name, || FirewallMetrics::new(name))
    }

    pub(super) fn all(&self) -> Vec<Arc<FirewallMetrics>> {
        self.policies.handles()
    }

    /// The counters of the engine.
    pub fn engine(&self) -> &Arc<FirewallEngine> {
        &self.engine
    }
}
