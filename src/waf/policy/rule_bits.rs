//! The rules of a policy, and sets of them.

use std::sync::Arc;

/// What a policy does with a managed rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleMode {
    /// As the rule defines.
    #[default]
    Score,
    /// The rule is reported and adds no score.
    Log,
    /// The rule blocks on its own.
    Block,
    /// The rule is left out.
    Off,
}

/// A set of the rules of a policy, one bit each.
pub type RuleBits = Box<[u64]>;

/// A rule of a policy.
#[derive(Debug)]
pub struct PolicyRule {
    /// Its index in the library.
    pub library_index: usize,
    /// What the policy does with it.
    pub mode: RuleMode,
    /// Whether the settings decide its conditions, which hold.
    pub is_unconditional: bool,
    /// Whether the scan finds the values that it can match.
    pub is_prefiltered: bool,
    /// Whether a later link or an action reads groups of the match.
    pub needs_groups: bool,
    /// For each `ctl` action that selects rules, in order, the rules of the policy that it selects.
    pub selections: Box<[Arc<[u64]>]>,
}

/// A set without rules.
pub fn empty_bits(words: usize) -> RuleBits {
    vec![0; words].into_boxed_slice()
}

/// Adds a rule to a set.
pub fn set_bit(bits: &mut [u64], index: usize) {
    bits[index >> 6] |= 1 << (index & 63);
}

/// Whether a set has a rule.
pub fn has_bit(bits: &[u64], index: usize) -> bool {
    bits[index >> 6] & (1 << (index & 63)) != 0
}
