//! What all policies of the same rule files share: rules, scanners, transformation chains.

use super::language::operator::{Condition, Operator, TextTest};
use super::language::parser::{RuleError, RuleText};
use super::language::rule::{Directive, Rule, RuleSelector, Target};
use super::prefilter::chains::{ChainNode, ChainTree};
use super::prefilter::requirements::{Requirement, requirements};
use super::prefilter::scanner::{Atom, Scanner, ScannerBuilder};
use crate::waf::bytes::ByteSet;

/// What a value must have so that the first link of a rule can match it.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Nothing: the rule is evaluated for every value.
    Always,
    /// All of these atoms.
    Atoms(Vec<Atom>),
    /// A byte outside of the set.
    BytesOutside(ByteSet),
    /// A byte of the set.
    BytesWithin(ByteSet),
}

/// A step of the evaluation, in file order.
#[derive(Clone, Debug)]
pub enum Step {
    /// The rule of this index.
    Rule(usize),
    /// A marker, to which rules skip.
    Marker(String),
}

/// A rule with what the scan needs to know about it.
#[derive(Debug)]
pub struct LibraryRule {
    /// The rule as written.
    pub rule: Rule,
    /// What the first link needs.
    pub filter: Filter,
    /// For each link the nodes whose values its operator reads.
    pub nodes: Vec<Vec<ChainNode>>,
}

/// The rules of a set of files.
pub struct Library {
    /// All rules, in file order.
    pub rules: Vec<LibraryRule>,
    /// Rules and markers, in file order.
    pub steps: Vec<Step>,
    /// The transformation chains of all rules.
    pub chains: ChainTree,
    /// Finds the atoms of the rules of requests (phases 1 and 2).
    pub request_scanner: Scanner,
    /// Finds the atoms of the rules of responses.
    pub response_scanner: Scanner,
    /// Directives without effect.
    pub warnings: Vec<RuleError>,
    /// The names and versions of the rule sets.
    pub signatures: Vec<String>,
}

/// Without a scanner no atom is found: the rules are evaluated for every value.
fn evaluate_always(rules: &mut [LibraryRule]) {
    for rule in rules {
        if matches!(rule.filter, Filter::Atoms(_)) {
            rule.filter = Filter::Always;
        }
    }
}

impl Library {
    /// Prepares the rules of a text.
    pub fn new(text: RuleText) -> Self {
        let mut chains = ChainTree::default();
        let (mut request, mut response) = (ScannerBuilder::default(), ScannerBuilder::default());
        let (rules, steps) = resolve(text.directives);
        let mut rules: Vec<LibraryRule> = rules
            .into_iter()
            .map(|rule| {
                let builder = if rule.phase <= 2 { &mut request } else { &mut response };
                let filter = filter(&rule, builder);
                let nodes = rule.links.iter().map(|link| {
                    let nodes = chains.add(&link.transforms);
                    if link.is_multi_match { nodes } else { nodes[nodes.len() - 1..].to_vec() }
                });
                let nodes = nodes.collect();
                LibraryRule { rule, filter, nodes }
            })
            .collect();
        let (request_scanner, response_scanner) = (request.build(), response.build());
        if !(request_scanner.is_complete() && response_scanner.is_complete()) {
            evaluate_always(&mut rules);
        }
        let (warnings, signatures) = (text.warnings, text.signatures);
        Self { rules, steps, chains, request_scanner, response_scanner, warnings, signatures }
    }

    /// The memory of everything that is compiled so far.
    pub fn memory_bytes(&self) -> usize {
        let patterns = self.rules.iter().flat_map(|rule| &rule.rule.links);
        let patterns = patterns.map(|link| match &link.condition.operator {
            Operator::Pattern(pattern) => pattern.memory_bytes(),
            _ => 0,
        });
        patterns.sum::<usize>() + self.request_scanner.memory_bytes() + self.response_scanner.memory_bytes()
    }

    /// Compiles every expression, which otherwise happens at its first use.
    pub fn compile(&self) {
        for link in self.rules.iter().flat_map(|rule| &rule.rule.links) {
            match &link.condition.operator {
                Operator::Pattern(pattern) => drop(pattern.compile()),
                Operator::Words(words) => drop(words.find(b"")),
                _ => {}
            }
        }
    }
}

/// Applies removals and updates to the rules in front of them.
fn resolve(directives: Vec<Directive>) -> (Vec<Rule>, Vec<Step>) {
    let mut rules: Vec<Option<Rule>> = Vec::new();
    let mut steps = Vec::new();
    for directive in directives {
        match directive {
            Directive::Rule(rule) => {
                steps.push(Step::Rule(rules.len()));
                rules.push(Some(*rule));
            }
            Directive::Marker(name) => steps.push(Step::Marker(name)),
            Directive::RemoveRules(selector) => {
                rules
                    .iter_mut()
                    .filter(|rule| rule.as_ref().is_some_and(|rule| is_selected(&selector, rule)))
                    .for_each(|rule| *rule = None);
            }
            Directive::UpdateTargets(selector, targets) => {
                let selected = rules.iter_mut().flatten().filter(|rule| is_selected(&selector, rule));
                selected.for_each(|rule| add_targets(rule, &targets));
            }
        }
    }
    compact(rules, steps)
}

/// Leaves out the removed rules.
fn compact(rules: Vec<Option<Rule>>, steps: Vec<Step>) -> (Vec<Rule>, Vec<Step>) {
    let mut positions = Vec::with_capacity(rules.len());
    let mut kept = Vec::with_capacity(rules.len());
    for rule in rules {
        positions.push(rule.is_some().then_some(kept.len()));
        kept.extend(rule);
    }
    let steps = steps.into_iter().filter_map(|step| match step {
        Step::Rule(at) => positions[at].map(Step::Rule),
        marker => Some(marker),
    });
    let steps = steps.collect();
    (kept, steps)
}

/// Whether a selector names a rule.
pub fn is_selected(selector: &RuleSelector, rule: &Rule) -> bool {
    match selector {
        RuleSelector::Ids(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&rule.id)),
        RuleSelector::Tag(pattern) => rule.tags.iter().any(|tag| pattern.is_match(tag.as_bytes())),
        RuleSelector::Message(pattern) => {
            rule.message.constant().is_some_and(|m| pattern.is_match(m.as_bytes()))
        }
    }
}

fn add_targets(rule: &mut Rule, targets: &[Target]) {
    if let Some(first) = rule.links.first_mut() {
        first.targets.extend(targets.iter().cloned());
    }
}

fn filter(rule: &Rule, builder: &mut ScannerBuilder) -> Filter {
    let Some(first) = rule.links.first() else { return Filter::Always };
    if first.targets.iter().any(|target| target.collection.is_internal()) {
        return Filter::Always;
    }
    condition_filter(&first.condition, builder)
}

fn condition_filter(condition: &Condition, builder: &mut ScannerBuilder) -> Filter {
    if condition.is_negated {
        return Filter::Always;
    }
    let required = match &condition.operator {
        Operator::Pattern(pattern) => requirements(pattern.hir()),
        Operator::Words(words) => {
            Requirement::from_texts(words.words().iter().cloned()).into_iter().collect()
        }
        Operator::Text(test, text) if *test != TextTest::Within => {
            let texts = text.constant().map(|text| text.as_bytes().to_vec());
            Requirement::from_texts(texts).filter(|_| text.constant().is_some()).into_iter().collect()
        }
        Operator::ByteRange(allowed) => return Filter::BytesOutside(*allowed),
        Operator::Utf8 => return Filter::BytesWithin(ByteSet::range(0x80, 0xff)),
        Operator::UrlEncoding => return Filter::BytesWithin(ByteSet::of(b"%")),
        Operator::SqlInjection => return Filter::BytesWithin(word_bytes().inverse()),
        // An element begins with `<`, and an attribute has a value.
        Operator::Script => return Filter::BytesWithin(ByteSet::of(b"<=")),
        _ => Vec::new(),
    };
    let atoms: Option<Vec<Atom>> = required.into_iter().map(|requirement| builder.add(requirement)).collect();
    match atoms {
        Some(atoms) if !atoms.is_empty() => Filter::Atoms(atoms),
        _ => Filter::Always,
    }
}

/// Letters, digits and underscores: a value of nothing else is one word, which is no injection.
fn word_bytes() -> ByteSet {
    ByteSet::range(b'a', b'z').union(ByteSet::range(b'A', b'Z')).union(ByteSet::range(b'0', b'9')).with(b'_')
}
