//! What changes while the rules of a transaction run.

use super::matches::{Denial, RuleMatch};
use super::variables::Variables;
use crate::waf::language::rule::Target;
use crate::waf::policy::compiled::{Policy, RuleBits, empty_bits};
use std::sync::Arc;

/// A value that the current chain matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedVariable {
    /// Such as `ARGS:id`.
    pub name: Vec<u8>,
    /// The text that the operator read.
    pub value: Vec<u8>,
}

/// The state of a transaction.
#[derive(Debug)]
pub struct State {
    /// The `TX` variables.
    pub variables: Variables,
    /// Rules that `ctl` has removed.
    pub removed: RuleBits,
    /// Variables that `ctl` has removed from rules.
    pub removed_targets: Vec<(Arc<[u64]>, Target)>,
    /// The values that the current chain matched.
    pub matched: Vec<MatchedVariable>,
    /// What the rules found.
    pub matches: Vec<RuleMatch>,
    /// Why the request is blocked.
    pub denial: Option<Denial>,
    /// Whether a rule allowed the request.
    pub is_allowed: bool,
    /// Whether the raw body is a value, although no form is in it.
    pub is_body_forced: bool,
    /// The body processor that a rule set.
    pub processor: Option<String>,
}

impl State {
    /// The state before the first rule.
    pub fn new(policy: &Policy) -> Self {
        Self {
            variables: Variables::default(),
            removed: empty_bits(policy.words()),
            removed_targets: Vec::new(),
            matched: Vec::new(),
            matches: Vec::new(),
            denial: None,
            is_allowed: false,
            is_body_forced: false,
            processor: None,
        }
    }
}
