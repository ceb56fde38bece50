//! What a match changes: variables, later rules, the fate of the request.

use super::evaluation::{Evaluation, scalar};
use super::matches::Denial;
use crate::waf::bytes::leading_integer;
use crate::waf::language::macros::MacroText;
use crate::waf::language::rule::{Collection, Control, Disruption, Link, SetVar, VarChange};
use crate::waf::policy::compiled::RuleMode;
use crate::waf::policy::kinds::kinds;
use crate::waf::request::parts::Request;

impl Evaluation<'_> {
    /// Changes the variables of a link; returns what the anomaly score grew by.
    pub fn set_variables(&mut self, link: &Link, mode: RuleMode) -> i64 {
        let mut score = 0;
        for set_var in &link.set_vars {
            let name = self.expand_name(set_var);
            let is_level_score = is_level_score(&name);
            if mode == RuleMode::Log && (is_level_score || name.ends_with("_score")) {
                continue;
            }
            let before = if is_level_score { self.number(&name) } else { 0 };
            let value = self.changed_value(&name, &set_var.change);
            self.state.variables.set(&name, value);
            if is_level_score {
                score += self.number(&name) - before;
            }
        }
        score
    }

    fn expand_name(&self, set_var: &SetVar) -> String {
        match set_var.name.constant() {
            Some(name) => name.to_owned(),
            None => String::from_utf8_lossy(&self.expand(&set_var.name)).into_owned(),
        }
    }

    fn changed_value(&self, name: &str, change: &VarChange) -> Option<Vec<u8>> {
        let change_by = |text: &MacroText| leading_integer(&self.expand(text));
        match change {
            VarChange::Assign(text) => Some(self.expand(text)),
            VarChange::Unset => None,
            VarChange::Add(text) => {
                Some(self.number(name).saturating_add(change_by(text)).to_string().into_bytes())
            }
            VarChange::Subtract(text) => {
                Some(self.number(name).saturating_sub(change_by(text)).to_string().into_bytes())
            }
        }
    }

    fn number(&self, name: &str) -> i64 {
        self.state.variables.get(&self.policy.variables, name).map_or(0, leading_integer)
    }

    /// A text with the values of its variables.
    pub fn expand(&self, text: &MacroText) -> Vec<u8> {
        text.expand(|collection, member, expanded| self.push_variable(collection, member, expanded))
    }

    fn push_variable(&self, collection: Collection, member: Option<&str>, expanded: &mut Vec<u8>) {
        let last = self.state.matched.last();
        match (collection, member) {
            (Collection::Tx, Some(name)) => {
                expanded.extend_from_slice(
                    self.state.variables.get(&self.policy.variables, name).unwrap_or_default(),
                );
            }
            (Collection::MatchedVar, _) => expanded.extend(last.iter().flat_map(|matched| &matched.value)),
            (Collection::MatchedVarName, _) => expanded.extend(last.iter().flat_map(|matched| &matched.name)),
            (collection, _) if kinds(collection).is_empty() => {
                expanded.extend(scalar(self.request, collection));
            }
            (collection, member) => expanded.extend_from_slice(first_value(self.request, collection, member)),
        }
    }

    /// Executes the `ctl` actions of a rule.
    pub fn control(&mut self, index: usize) {
        let policy = self.policy;
        let mut selections = policy.rules[index].selections.iter();
        for control in policy.rule(index).links.iter().flat_map(|link| &link.controls) {
            let rules = control.selector().and_then(|_| selections.next());
            match control {
                Control::RemoveRules(_) => {
                    let words = rules.into_iter().flat_map(|rules| rules.iter());
                    self.state.removed.iter_mut().zip(words).for_each(|(word, rules)| *word |= rules);
                }
                Control::RemoveTarget(_, target) => {
                    self.state.removed_targets.extend(rules.map(|rules| (rules.clone(), target.clone())));
                }
                Control::BodyProcessor(name) => self.state.processor = Some(name.clone()),
                Control::ForceBodyVariable => self.state.is_body_forced = true,
                Control::Engine(is_on) => self.state.is_allowed |= !is_on,
                Control::Ignored => {}
            }
        }
    }

    /// Blocks or allows the request.
    pub fn disrupt(&mut self, index: usize) {
        let rule = self.policy.rule(index);
        let is_denied = match self.policy.rules[index].mode {
            RuleMode::Log => false,
            RuleMode::Block => true,
            _ => rule.disruption == Disruption::Deny,
        };
        if is_denied {
            self.state.denial.get_or_insert(Denial { rule: rule.id, status: rule.status });
        } else if rule.disruption == Disruption::Allow {
            self.state.is_allowed = true;
        }
    }
}

/// Whether a variable is the anomaly score of a paranoia level.
fn is_level_score(name: &str) -> bool {
    let name = name.as_bytes();
    name.len() > 17 && name[..name.len() - 1].to_ascii_lowercase().ends_with(b"anomaly_score_pl")
}

fn first_value<'r>(request: &'r Request, collection: Collection, member: Option<&str>) -> &'r [u8] {
    let mut positions = kinds(collection).iter().flat_map(|kind| request.positions(*kind));
    let found = positions.find(|at| {
        let name = request.bytes(request.values()[*at].name);
        member.is_none_or(|member| name.eq_ignore_ascii_case(member.as_bytes()))
    });
    found.map_or(&[], |at| request.bytes(request.values()[at].value))
}
