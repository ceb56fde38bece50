//! Metrics of the web application firewall.

use super::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What happened to inspected requests, in the order of the counters.
pub const FIREWALL_ACTIONS: [&str; 9] =
    ["passed", "blocked", "detected", "allowed", "malformed", "oversize", "limited", "bot", "logged"];

/// The rules that one policy exports; further ones are not counted.
const MAX_RULES: usize = 2000;

/// The counters of a policy.
#[derive(Debug)]
pub struct FirewallMetrics {
    label: Box<str>,
    actions: [AtomicU64; FIREWALL_ACTIONS.len()],
    inspected_bytes: AtomicU64,
    rule_matches: Mutex<BTreeMap<String, u64>>,
}

impl FirewallMetrics {
    pub(super) fn new(label: &str) -> FirewallMetrics {
        FirewallMetrics {
            label: label.into(),
            actions: Default::default(),
            inspected_bytes: AtomicU64::new(0),
            rule_matches: Mutex::default(),
        }
    }

    /// The name of the policy.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts a request with what happened to it, and the bytes that were inspected.
    pub fn count(&self, action: &str, inspected_bytes: u64) {
        if let Some(at) = FIREWALL_ACTIONS.iter().position(|known| *known == action) {
            self.actions[at].fetch_add(1, Relaxed);
        }
        self.inspected_bytes.fetch_add(inspected_bytes, Relaxed);
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

    /// Matches by rule.
    pub(super) fn rule_matches(&self) -> BTreeMap<String, u64> {
        self.rule_matches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The counters of all policies.
#[derive(Debug, Default)]
pub struct FirewallTable(Registry<FirewallMetrics>);

impl FirewallTable {
    /// The counters of a policy.
    pub fn policy(&self, name: &str) -> Arc<FirewallMetrics> {
        self.0.get_or_insert_with(name, || FirewallMetrics::new(name))
    }

    pub(super) fn all(&self) -> Vec<Arc<FirewallMetrics>> {
        self.0.handles()
    }
}
