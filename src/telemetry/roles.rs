//! Decisions of traffic rules, and the instances of roles.

use super::registry::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleDecision {
    Allowed,
    Denied,
    /// It would be denied, and the rules are only audited.
    Audited,
}

impl RoleDecision {
    /// All outcomes, in the order they are exported.
    pub const ALL: [RoleDecision; 3] = [RoleDecision::Allowed, RoleDecision::Denied, RoleDecision::Audited];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            RoleDecision::Allowed => "allowed",
            RoleDecision::Denied => "denied",
            RoleDecision::Audited => "audited",
        }
    }
}

/// The decisions about one source and one destination. Connections are few compared to requests.
#[derive(Debug, Default)]
pub struct RoleDecisionCounter([AtomicU64; 3]);

impl RoleDecisionCounter {
    /// Counts one decision.
    pub fn count(&self, outcome: RoleDecision) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn total(&self, outcome: RoleDecision) -> u64 {
        self.0[outcome as usize].load(Relaxed)
    }
}

/// Source and destination of decisions.
type DecisionKey = (Box<str>, Box<str>);

/// The metrics of all roles.
#[derive(Debug, Default)]
pub struct RoleMetrics {
    decisions: Mutex<BTreeMap<DecisionKey, Arc<RoleDecisionCounter>>>,
    /// Ready and busy instances.
    instances: Mutex<Vec<(Arc<str>, [usize; 2])>>,
    ports_short: Mutex<Vec<(String, usize)>>,
}

impl RoleMetrics {
    /// The counter of a source and a destination, both names of the configuration.
    pub fn decisions(&self, from: &str, to: &str) -> Arc<RoleDecisionCounter> {
        lock(&self.decisions).entry((from.into(), to.into())).or_default().clone()
    }

    /// Replaces the number of ready and of busy instances of the roles.
    pub fn set_instances(&self, instances: Vec<(Arc<str>, [usize; 2])>) {
        *lock(&self.instances) = instances;
    }

    /// Replaces the number of instances without a public port, by endpoint.
    pub fn set_ports_short(&self, short: Vec<(String, usize)>) {
        *lock(&self.ports_short) = short;
    }

    pub(super) fn all_decisions(&self) -> Vec<(DecisionKey, Arc<RoleDecisionCounter>)> {
        lock(&self.decisions).iter().map(|(key, counter)| (key.clone(), counter.clone())).collect()
    }

    pub(super) fn instances(&self) -> Vec<(Arc<str>, [usize; 2])> {
        lock(&self.instances).clone()
    }

    pub(super) fn ports_short(&self) -> Vec<(String, usize)> {
        lock(&self.ports_short).clone()
    }
}
