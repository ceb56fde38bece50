//! From the rules of a library and the settings of a policy to a policy.

use super::classes::{ClassTable, is_response};
use super::compiled::{
    ExclusionRule, PhaseRules, Policy, PolicyRule, PolicySettings, RuleBits, RuleMode, empty_bits, set_bit,
};
use super::constants::{Constants, Decision};
use super::exclusion::Exclusion;
use super::kinds::kinds;
use crate::waf::language::macros::MacroText;
use crate::waf::language::operator::Operator;
use crate::waf::language::rule::{
    Collection, Control, Link, Rule, RuleSelector, Selector, Skip, TargetUse, VarChange,
};
use crate::waf::library::{Filter, Library, Step, is_selected};
use std::sync::Arc;

impl Policy {
    /// Compiles a policy.
    pub fn new(library: Arc<Library>, settings: PolicySettings) -> Self {
        let mut compiler = PolicyCompiler {
            library: &library,
            settings: &settings,
            constants: Constants::new(&settings.variables),
            rules: Vec::new(),
        };
        let phases = [1, 2, 3, 4, 5].map(|phase| compiler.compile_phase(phase));
        let (mut rules, variables) = (compiler.rules, compiler.constants.into_initial());
        select_rules(&library, &mut rules);
        let classes = ClassTable::new(&library, &rules);
        let request_atoms = atom_rules(&library, &rules, true);
        let response_atoms = atom_rules(&library, &rules, false);
        let exclusions =
            settings.exclusions.iter().map(|rule| exclusion_bits(&library, &rules, rule)).collect();
        Self { library, rules, phases, variables, classes, request_atoms, response_atoms, exclusions }
    }
}

/// Evaluates the selectors of `ctl` actions, which name the same rules for every request.
fn select_rules(library: &Library, rules: &mut [PolicyRule]) {
    let words = rules.len().div_ceil(64);
    let indexes: Vec<usize> = rules.iter().map(|rule| rule.library_index).collect();
    let bits = |selector: &RuleSelector| {
        let mut bits = empty_bits(words);
        let selected = indexes.iter().enumerate();
        selected
            .filter(|(_, index)| is_selected(selector, &library.rules[**index].rule))
            .for_each(|(at, _)| set_bit(&mut bits, at));
        Arc::from(bits)
    };
    for (rule, index) in rules.iter_mut().zip(&indexes) {
        let links = &library.rules[*index].rule.links;
        let selectors = links.iter().flat_map(|link| &link.controls).filter_map(Control::selector);
        rule.selections = selectors.map(bits).collect();
    }
}

struct PolicyCompiler<'c> {
    library: &'c Library,
    settings: &'c PolicySettings,
    constants: Constants,
    rules: Vec<PolicyRule>,
}

/// Where the compiler is in the rules of a phase.
#[derive(Default)]
struct PhasePosition<'s> {
    phase: PhaseRules,
    /// The marker up to which rules never run.
    skipped_to: Option<&'s str>,
    /// The number of rules that never run.
    skipped_rules: u32,
    /// Markers to which rules may skip during a request.
    conditional_to: Vec<&'s str>,
}

impl<'c> PolicyCompiler<'c> {
    fn compile_phase(&mut self, number: u8) -> PhaseRules {
        let is_evaluated = match number {
            1 | 2 => true,
            3 | 4 => self.settings.is_response_inspected,
            _ => self.settings.is_log_phase_evaluated,
        };
        let mut position = PhasePosition::default();
        if !is_evaluated {
            return position.phase;
        }
        let library = self.library;
        for step in &library.steps {
            match step {
                Step::Marker(name) => position.pass_marker(name),
                Step::Rule(index) if library.rules[*index].rule.phase == number => {
                    self.compile_rule(*index, &mut position);
                }
                Step::Rule(_) => {}
            }
        }
        position.phase
    }

    fn compile_rule(&mut self, index: usize, position: &mut PhasePosition<'c>) {
        let rule = &self.library.rules[index].rule;
        if position.is_skipping() {
            return;
        }
        let mode = self.settings.mode.as_ref().map_or(RuleMode::Score, |mode| mode(rule));
        if mode == RuleMode::Off {
            return;
        }
        let decision = self.constants.decide(rule);
        if decision == Decision::Never {
            return;
        }
        let is_unconditional = decision == Decision::Always;
        if is_unconditional && position.conditional_to.is_empty() && self.constants.fold(rule) {
            match &rule.skip {
                Some(Skip::After(name)) => position.skipped_to = Some(name),
                Some(Skip::Rules(count)) => position.skipped_rules = *count,
                None => {}
            }
            return;
        }
        self.constants.keep(rule);
        position.conditional_to.extend(rule.skip.as_ref().map(|skip| match skip {
            Skip::After(name) => name.as_str(),
            // Rules behind it run or do not run: nothing further is decided in this phase.
            Skip::Rules(_) => "",
        }));
        position.phase.rules.push(self.rules.len());
        let is_prefiltered = !is_unconditional && is_prefiltered(&self.library.rules[index].filter, rule);
        let needs_groups = needs_groups(rule);
        self.rules.push(PolicyRule {
            library_index: index,
            mode,
            is_unconditional,
            is_prefiltered,
            needs_groups,
            selections: Box::default(),
        });
    }
}

impl PhasePosition<'_> {
    /// Whether the next rule never runs.
    fn is_skipping(&mut self) -> bool {
        let is_counted = self.skipped_to.is_none() && self.skipped_rules > 0;
        self.skipped_rules -= u32::from(is_counted);
        self.skipped_to.is_some() || is_counted
    }

    fn pass_marker(&mut self, name: &str) {
        if self.skipped_to == Some(name) {
            self.skipped_to = None;
        }
        self.conditional_to.retain(|marker| *marker != name);
        self.phase.markers.push((name.to_owned(), self.phase.rules.len()));
    }
}

/// Whether the scan finds every value that the first link can match.
fn is_prefiltered(filter: &Filter, rule: &Rule) -> bool {
    let Some(first) = rule.links.first() else { return false };
    let is_found =
        |collection: Collection| !kinds(collection).is_empty() && is_response(collection) == (rule.phase > 2);
    !matches!(filter, Filter::Always)
        && first.targets.iter().all(|target| match target.usage {
            TargetUse::Include => is_found(target.collection),
            TargetUse::Exclude => true,
            TargetUse::Count => false,
        })
}

/// Whether a rule reads `TX:1` to `TX:9` of an earlier link.
fn needs_groups(rule: &Rule) -> bool {
    rule.links.iter().any(|link| {
        let is_group = |name: &str| matches!(name.as_bytes(), [b'1'..=b'9']);
        let reads = |text: &MacroText| {
            let mut variables = text.variables();
            variables.any(|(collection, member)| collection == Collection::Tx && member.is_some_and(is_group))
        };
        let is_target = link.targets.iter().any(|target| {
            target.collection == Collection::Tx
                && matches!(&target.selector, Selector::Name(name) if is_group(name))
        });
        is_target || texts(link).into_iter().any(reads)
    })
}

fn texts(link: &Link) -> Vec<&MacroText> {
    let mut texts: Vec<&MacroText> = Vec::new();
    for set_var in &link.set_vars {
        texts.push(&set_var.name);
        match &set_var.change {
            VarChange::Assign(text) | VarChange::Add(text) | VarChange::Subtract(text) => texts.push(text),
            VarChange::Unset => {}
        }
    }
    match &link.condition.operator {
        Operator::Text(_, text) | Operator::Number(_, text) | Operator::PatternText(text) => texts.push(text),
        _ => {}
    }
    texts
}

/// For each atom the rules whose first requirement it is.
fn atom_rules(library: &Library, rules: &[PolicyRule], is_request: bool) -> Vec<RuleBits> {
    let scanner = if is_request { &library.request_scanner } else { &library.response_scanner };
    let mut atoms = vec![empty_bits(rules.len().div_ceil(64)); scanner.words() * 64];
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.is_prefiltered) {
        let known = &library.rules[rule.library_index];
        if let (true, Filter::Atoms(needed)) = ((known.rule.phase <= 2) == is_request, &known.filter)
            && let Some(first) = needed.first()
        {
            set_bit(&mut atoms[usize::from(*first)], at);
        }
    }
    atoms
}

fn exclusion_bits(
    library: &Library,
    rules: &[PolicyRule],
    exclusion: &ExclusionRule,
) -> (Exclusion, RuleBits) {
    let mut bits = empty_bits(rules.len().div_ceil(64));
    for (at, rule) in rules.iter().enumerate() {
        if (exclusion.is_selected)(&library.rules[rule.library_index].rule) {
            set_bit(&mut bits, at);
        }
    }
    (exclusion.exclusion.clone(), bits)
}
