//! Which role may reach which internal endpoint: the rules, compiled to one bit for each destination and source.

use std::{collections::HashMap, sync::Arc, time::Duration};

/// The rules of a document.
#[derive(Clone, Debug, Default)]
pub struct TrafficMatrix {
    /// The names of all roles: sources are indexes of this list.
    pub sources: Vec<Arc<str>>,
    /// The names of all internal endpoints, `Role.Endpoint`: destinations are indexes of this list.
    pub destinations: Vec<Arc<str>>,
    /// The role of each destination, as an index of `sources`.
    pub destination_roles: Vec<usize>,
    /// `None`: there is no section `TrafficRules`.
    pub rules: Option<TrafficRules>,
    /// For each destination one bit for each source that a rule allows.
    bits: Vec<Box<[u64]>>,
    /// Destinations that a rule names.
    is_named: Vec<bool>,
    by_name: HashMap<Arc<str>, usize>,
}

/// The section `TrafficRules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficRules {
    pub allows_by_default: bool,
    pub allows_same_role: bool,
    pub allows_unknown_source: bool,
    /// Nothing is denied, only counted and logged.
    pub audits: bool,
    pub revoke_grace: Duration,
    pub rules: Vec<TrafficRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficRule {
    /// Sources; `None`: every role.
    pub from: Option<Vec<usize>>,
    /// Destinations.
    pub to: Vec<usize>,
}

impl TrafficRule {
    fn names(&self, source: usize, destination: usize) -> bool {
        self.to.contains(&destination) && self.from.as_ref().is_none_or(|from| from.contains(&source))
    }
}

/// The reason of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The source is no instance of a role.
    Unknown,
    NoRules,
    Rule,
    SameRole,
    NotNamed,
    Default,
}

impl Because {
    /// The word in explanations.
    pub fn name(self) -> &'static str {
        match self {
            Because::Unknown => "unknown",
            Because::NoRules => "no-rules",
            Because::Rule => "rule",
            Because::SameRole => "same-role",
            Because::NotNamed => "not-named",
            Because::Default => "default",
        }
    }
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub because: Because,
}

impl TrafficMatrix {
    /// Compiles the rules.
    pub fn new(
        sources: Vec<Arc<str>>,
        destinations: Vec<(Arc<str>, usize)>,
        rules: Option<TrafficRules>,
    ) -> TrafficMatrix {
        let words = sources.len().div_ceil(64);
        let mut bits = vec![vec![0; words].into_boxed_slice(); destinations.len()];
        let mut is_named = vec![false; destinations.len()];
        for rule in rules.iter().flat_map(|rules| &rules.rules) {
            for destination in rule.to.iter().copied() {
                is_named[destination] = true;
                let all = (0..sources.len()).filter(|source| rule.names(*source, destination));
                all.for_each(|source| bits[destination][source / 64] |= 1 << (source % 64));
            }
        }
        let by_name = destinations.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let (destinations, destination_roles) = destinations.into_iter().unzip();
        TrafficMatrix { sources, destinations, destination_roles, rules, bits, is_named, by_name }
    }

    /// The index of an internal endpoint.
    pub fn destination(&self, full_name: &str) -> Option<usize> {
        self.by_name.get(full_name).copied()
    }

    /// The index of a role.
    pub fn source(&self, role: &str) -> Option<usize> {
        self.sources.iter().position(|name| **name == *role)
    }

    /// Whether the source may reach the destination; `None`: the source is no instance of a role.
    pub fn decide(&self, source: Option<usize>, destination: usize) -> Decision {
        let decision = |allowed, because| Decision { allowed, because };
        let Some(source) = source else {
            let allowed = self.rules.as_ref().is_some_and(|rules| rules.allows_unknown_source);
            return decision(allowed, Because::Unknown);
        };
        let Some(rules) = &self.rules else { return decision(true, Because::NoRules) };
        let is_allowed =
            self.bits[destination].get(source / 64).is_some_and(|word| word >> (source % 64) & 1 == 1);
        if is_allowed {
            return decision(true, Because::Rule);
        }
        if rules.allows_same_role && self.destination_roles[destination] == source {
            return decision(true, Because::SameRole);
        }
        if self.is_named[destination] {
            return decision(false, Because::NotNamed);
        }
        decision(rules.allows_by_default, Because::Default)
    }

    /// The place of the first rule that names both.
    pub fn rule_place(&self, source: usize, destination: usize) -> Option<usize> {
        self.rules.as_ref()?.rules.iter().position(|rule| rule.names(source, destination))
    }

    /// Whether denied connections are let through.
    pub fn audits(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.audits)
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
