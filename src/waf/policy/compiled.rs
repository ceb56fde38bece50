//! A compiled policy.

use super::classes::ClassTable;
use super::exclusion::Exclusion;
pub use super::rule_bits::{PolicyRule, RuleBits, RuleMode, empty_bits, has_bit, set_bit};
use crate::waf::language::rule::Rule;
use crate::waf::library::{Library, LibraryRule};
use crate::waf::prefilter::scanner::Atom;
use crate::waf::transaction::variables::InitialVariables;
use std::sync::Arc;

/// What happens with a rule.
type RuleModes = Box<dyn Fn(&Rule) -> RuleMode>;

/// The settings of a policy.
#[derive(Default)]
pub struct PolicySettings {
    /// `TX` variables that the rules find set.
    pub variables: Vec<(String, String)>,
    /// What happens with a rule.
    pub mode: Option<RuleModes>,
    /// Parts that rules do not inspect.
    pub exclusions: Vec<ExclusionRule>,
    /// Whether phases 3 and 4 run.
    pub is_response_inspected: bool,
    /// Whether phase 5 runs.
    pub is_log_phase_evaluated: bool,
}

/// An exclusion and the rules it applies to.
pub struct ExclusionRule {
    /// What is not inspected.
    pub exclusion: Exclusion,
    /// By which rules.
    pub is_selected: Box<dyn Fn(&Rule) -> bool>,
}

/// The rules of one phase.
#[derive(Debug, Default)]
pub struct PhaseRules {
    /// Indexes of rules in file order.
    pub rules: Vec<usize>,
    /// Markers with the position of the rule behind them.
    pub markers: Vec<(String, usize)>,
}

/// The rules of a policy, ready to run.
pub struct Policy {
    /// What it shares with other policies.
    pub library: Arc<Library>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
    /// Phases 1 to 5.
    pub phases: [PhaseRules; 5],
    /// The variables that are set before the first rule.
    pub variables: InitialVariables,
    /// What the scan does with each class of values.
    pub classes: ClassTable,
    /// For each atom of requests the rules that need it first.
    pub request_atoms: Vec<RuleBits>,
    /// The same for responses.
    pub response_atoms: Vec<RuleBits>,
    /// What is not inspected, and by which rules.
    pub exclusions: Vec<(Exclusion, RuleBits)>,
}

impl Policy {
    /// The words of a set of its rules.
    pub fn words(&self) -> usize {
        self.rules.len().div_ceil(64)
    }

    /// The library rule of an index.
    pub fn library_rule(&self, index: usize) -> &LibraryRule {
        &self.library.rules[self.rules[index].library_index]
    }

    /// The rule of an index, as written.
    pub fn rule(&self, index: usize) -> &Rule {
        &self.library_rule(index).rule
    }

    /// The memory of the policy without its library.
    pub fn memory_bytes(&self) -> usize {
        let sets = self.request_atoms.len() + self.response_atoms.len() + self.exclusions.len();
        sets * self.words() * 8 + self.classes.memory_bytes() + self.rules.len() * size_of::<PolicyRule>()
    }
}

/// The atoms of a rule behind the first one.
pub fn further_atoms(atoms: &[Atom]) -> &[Atom] {
    atoms.get(1..).unwrap_or_default()
}
