//! The rules of a phase, in file order.

use super::matches::{RuleMatch, snippet};
use super::operators::{Detail, OperatorMatch, find};
use super::scan::Scan;
use super::state::{MatchedVariable, State};
use crate::waf::language::rule::{Collection, Link, Selector, Skip, Target, TargetUse};
use crate::waf::policy::compiled::{Policy, RuleMode, has_bit};
use crate::waf::policy::kinds::{is_target, kinds};
use crate::waf::prefilter::chains::ChainNode;
use crate::waf::request::parts::Request;
use std::borrow::Cow;
use std::sync::Arc;

/// Rules at work on a request.
pub struct Evaluation<'t> {
    /// The policy.
    pub policy: &'t Policy,
    /// What is inspected.
    pub request: &'t Request,
    /// Which rules can match which values.
    pub scan: &'t Scan,
    /// What the rules change.
    pub state: &'t mut State,
    /// Whether a denial does not end the evaluation.
    pub is_detection: bool,
    /// What the current rule matched.
    pub found: Vec<RuleMatch>,
}

/// A link of a rule of the policy.
#[derive(Clone, Copy)]
pub struct LinkPosition<'p> {
    /// The rule.
    pub rule: usize,
    /// The position of the link in its chain.
    pub at: usize,
    /// The link.
    pub link: &'p Link,
    /// The nodes whose results its operator reads.
    pub nodes: &'p [ChainNode],
}

/// A value that a link tests.
#[derive(Clone, Copy)]
pub struct TestedValue<'v> {
    /// The variable.
    pub collection: Collection,
    /// The name of the member; empty for none.
    pub member: &'v [u8],
    /// The position in the request.
    pub position: Option<usize>,
}

/// A value after transformations.
enum ValueBuffer<'v> {
    Text(Cow<'v, [u8]>),
    Kept(Arc<[u8]>),
}

impl std::ops::Deref for ValueBuffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Kept(kept) => kept,
        }
    }
}

impl<'t> Evaluation<'t> {
    /// Runs the rules of a phase, 1 to 5.
    pub fn run_phase(&mut self, number: usize) {
        let policy = self.policy;
        let phase = &policy.phases[number - 1];
        let mut at = 0;
        while at < phase.rules.len() {
            let rule = phase.rules[at];
            at += 1;
            if !self.run_rule(rule) {
                continue;
            }
            if self.state.is_allowed || (self.state.denial.is_some() && !self.is_detection) {
                return;
            }
            match &policy.rule(rule).skip {
                None => {}
                Some(Skip::Rules(count)) => at += *count as usize,
                Some(Skip::After(name)) => {
                    let marker =
                        phase.markers.iter().find(|(known, position)| known == name && *position >= at);
                    at = marker.map_or(phase.rules.len(), |(_, position)| *position);
                }
            }
        }
    }

    /// Runs a rule; returns whether it matched.
    fn run_rule(&mut self, index: usize) -> bool {
        let rule = &self.policy.rules[index];
        let is_possible = !rule.is_prefiltered || self.scan.has_candidate(index);
        if !is_possible || has_bit(&self.state.removed, index) {
            return false;
        }
        self.found.clear();
        self.state.matched.clear();
        let known = self.policy.library_rule(index);
        for (at, link) in known.rule.links.iter().enumerate() {
            let position = LinkPosition { rule: index, at, link, nodes: &known.nodes[at] };
            if rule.is_unconditional || link.targets.is_empty() {
                self.set_variables(link, rule.mode);
            } else if !self.run_link(position) {
                return false;
            }
        }
        self.finish_rule(index);
        true
    }

    fn run_link(&mut self, position: LinkPosition<'t>) -> bool {
        if position.at == 0 && self.policy.rules[position.rule].is_prefiltered {
            return self.run_candidates(position);
        }
        let mut is_matching = false;
        for (at, target) in position.link.targets.iter().enumerate() {
            is_matching |= match target.usage {
                TargetUse::Exclude => false,
                TargetUse::Count => self.test_count(position, target),
                TargetUse::Include => self.test_target(position, at, target),
            };
        }
        is_matching
    }

    /// Tests the values that the scan found.
    fn run_candidates(&mut self, position: LinkPosition<'t>) -> bool {
        let (request, scan) = (self.request, self.scan);
        let mut is_matching = false;
        for at in scan.values_of(position.rule) {
            let value = &request.values()[at];
            let name = request.bytes(value.name);
            if !is_target(&position.link.targets, value.kind, name)
                || self.is_removed(position.rule, value.kind, name)
            {
                continue;
            }
            let collection = collection_of(&position.link.targets, value.kind);
            let tested = TestedValue { collection, member: name, position: Some(at) };
            is_matching |= self.test_value(position, tested, request.bytes(value.value));
        }
        is_matching
    }

    fn test_target(&mut self, position: LinkPosition<'t>, at: usize, target: &'t Target) -> bool {
        if target.collection.is_internal() {
            return self.test_internal(position, target);
        }
        let (request, targets) = (self.request, &position.link.targets);
        let mut is_matching = false;
        for kind in kinds(target.collection) {
            for value_at in request.positions(*kind) {
                let value = &request.values()[value_at];
                let name = request.bytes(value.name);
                let is_selected = target.selector.is_selecting(name)
                    && is_target(targets, *kind, name)
                    && !is_target(&targets[..at], *kind, name);
                let is_left_out = self.is_removed(position.rule, *kind, name)
                    || self.scan.is_excluded(value_at, position.rule);
                if is_selected && !is_left_out {
                    let tested =
                        TestedValue { collection: target.collection, member: name, position: Some(value_at) };
                    is_matching |= self.test_value(position, tested, request.bytes(value.value));
                }
            }
        }
        if kinds(target.collection).is_empty() {
            let number = scalar(request, target.collection);
            let tested = TestedValue { collection: target.collection, member: &[], position: None };
            is_matching |= self.test_value(position, tested, &number);
        }
        is_matching
    }

    /// Tests `TX` and `MATCHED_*`.
    fn test_internal(&mut self, position: LinkPosition<'t>, target: &'t Target) -> bool {
        let values: Vec<(Vec<u8>, Vec<u8>)> = self.internal_values(target);
        let mut is_matching = false;
        for (member, value) in values {
            let tested = TestedValue { collection: target.collection, member: &member, position: None };
            is_matching |= self.test_value(position, tested, &value);
        }
        is_matching
    }

    fn internal_values(&self, target: &Target) -> Vec<(Vec<u8>, Vec<u8>)> {
        let matched = self.state.matched.iter();
        match (target.collection, &target.selector) {
            (Collection::Tx, Selector::Name(name)) => {
                let value = self.state.variables.get(&self.policy.variables, name);
                value.map(|value| (name.as_bytes().to_vec(), value.to_vec())).into_iter().collect()
            }
            (Collection::Tx, selector) => {
                let all = self.state.variables.all(&self.policy.variables).into_iter();
                let selected = all.filter(|(name, _)| selector.is_selecting(name.as_bytes()));
                selected.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect()
            }
            (Collection::MatchedVar, _) => {
                matched.last().map(|m| (m.name.clone(), m.value.clone())).into_iter().collect()
            }
            (Collection::MatchedVarName, _) => {
                matched.last().map(|m| (m.name.clone(), m.name.clone())).into_iter().collect()
            }
            (Collection::MatchedVarsNames, _) => matched.map(|m| (m.name.clone(), m.name.clone())).collect(),
            _ => matched.map(|m| (m.name.clone(), m.value.clone())).collect(),
        }
    }

    fn test_count(&mut self, position: LinkPosition<'t>, target: &Target) -> bool {
        let request = self.request;
        let count = if target.collection.is_internal() {
            self.internal_values(target).len()
        } else {
            let counted = kinds(target.collection).iter().flat_map(|kind| request.positions(*kind));
            counted
                .filter(|at| target.selector.is_selecting(request.bytes(request.values()[*at].name)))
                .count()
        };
        let member = match &target.selector {
            Selector::Name(name) => name.as_bytes(),
            _ => &[],
        };
        let first = kinds(target.collection).iter().find_map(|kind| {
            request
                .positions(*kind)
                .find(|at| target.selector.is_selecting(request.bytes(request.values()[*at].name)))
        });
        let tested = TestedValue { collection: target.collection, member, position: first };
        self.test_value(position, tested, count.to_string().as_bytes())
    }

    /// Whether `ctl` removed a variable from a rule.
    fn is_removed(&self, rule: usize, kind: crate::waf::request::parts::Kind, name: &[u8]) -> bool {
        self.state.removed_targets.iter().any(|(rules, target)| {
            has_bit(rules, rule)
                && kinds(target.collection).contains(&kind)
                && target.selector.is_selecting(name)
        })
    }

    /// Tests a value after each transformation that the operator reads.
    fn test_value(&mut self, position: LinkPosition<'t>, tested: TestedValue<'_>, bytes: &[u8]) -> bool {
        let condition = &position.link.condition;
        let needs_groups = position.link.is_capturing && self.policy.rules[position.rule].needs_groups;
        let detail = if needs_groups { Detail::Groups } else { Detail::Span };
        let mut is_matching = false;
        let mut before: Option<ValueBuffer<'_>> = None;
        for node in position.nodes {
            let buffer = self.transformed(tested.position, *node, bytes);
            if before.as_ref().is_some_and(|before| **before == *buffer) {
                continue;
            }
            let found = find(&condition.operator, &buffer, detail, |text| self.expand(text));
            match (found, condition.is_negated) {
                (Some(found), false) => self.add_match(position, tested, &buffer, &found),
                (None, true) => {
                    let whole = OperatorMatch { groups: vec![Some((0, buffer.len()))], text: None };
                    self.add_match(position, tested, &buffer, &whole);
                }
                _ => {
                    before = Some(buffer);
                    continue;
                }
            }
            is_matching = true;
            before = Some(buffer);
        }
        is_matching
    }

    fn transformed<'v>(&self, position: Option<usize>, node: ChainNode, bytes: &'v [u8]) -> ValueBuffer<'v> {
        match position.and_then(|at| self.scan.kept(at, node)) {
            Some(Some(kept)) => return ValueBuffer::Kept(kept.clone()),
            Some(None) => return ValueBuffer::Text(Cow::Borrowed(bytes)),
            None => {}
        }
        if node == 0 {
            return ValueBuffer::Text(Cow::Borrowed(bytes));
        }
        let (parent, transform) = self.policy.library.chains.edge(node);
        let input = self.transformed(position, parent, bytes);
        match input {
            ValueBuffer::Text(Cow::Borrowed(text)) => ValueBuffer::Text(transform.apply(text)),
            other => ValueBuffer::Text(Cow::Owned(transform.apply(&other).into_owned())),
        }
    }

    fn add_match(
        &mut self,
        position: LinkPosition<'t>,
        tested: TestedValue<'_>,
        buffer: &[u8],
        found: &OperatorMatch,
    ) {
        let (start, end) = found.groups.first().copied().flatten().unwrap_or((0, buffer.len()));
        if position.link.is_capturing && !position.link.condition.is_negated {
            let group = |span: &Option<(usize, usize)>| span.map(|(start, end)| buffer[start..end].to_vec());
            match &found.text {
                Some(text) => self.state.variables.set_captures(std::iter::once(Some(text.clone()))),
                None => self.state.variables.set_captures(found.groups.iter().map(group)),
            }
        }
        let mut name = tested.collection.name().as_bytes().to_vec();
        if !tested.member.is_empty() {
            name.push(b':');
            name.extend_from_slice(tested.member);
        }
        self.state.matched.push(MatchedVariable { name: name.clone(), value: buffer.to_vec() });
        let mode = self.policy.rules[position.rule].mode;
        let score = self.set_variables(position.link, mode);
        let is_better =
            position.at > 0 && tested.position.is_some() && self.found.iter().all(|m| m.value.is_none());
        if position.at > 0 && !is_better {
            self.found.iter_mut().take(1).for_each(|first| first.score += score);
            return;
        }
        if is_better {
            self.found.clear();
        }
        let (snippet, matched) = snippet(buffer, start, end);
        let (rule, index) = (self.policy.rule(position.rule).id, position.rule);
        let (value, variable) = (tested.position, name);
        self.found.push(RuleMatch { rule, index, value, variable, snippet, matched, score });
    }

    fn finish_rule(&mut self, index: usize) {
        let policy = self.policy;
        self.control(index);
        self.disrupt(index);
        let is_reported = policy.rule(index).is_logged || policy.rules[index].mode == RuleMode::Block;
        if !is_reported {
            return;
        }
        if self.found.is_empty() {
            let (rule, variable) = (policy.rule(index).id, Vec::new());
            let (snippet, matched) = (Vec::new(), (0, 0));
            self.found.push(RuleMatch { rule, index, value: None, variable, snippet, matched, score: 0 });
        }
        self.state.matches.append(&mut self.found);
    }
}

/// The variable through which a rule reads a kind of values.
fn collection_of(targets: &[Target], kind: crate::waf::request::parts::Kind) -> Collection {
    let includes = targets.iter().filter(|target| target.usage == TargetUse::Include);
    includes.map(|target| target.collection).find(|c| kinds(*c).contains(&kind)).unwrap_or(Collection::Args)
}

/// The text of a variable that is a number or a state of the body.
pub fn scalar(request: &Request, collection: Collection) -> Vec<u8> {
    let flag = |is_set: bool| u64::from(is_set);
    let number = match collection {
        Collection::ArgsCombinedSize => request.arguments_size,
        Collection::FilesCombinedSize => request.files_size,
        Collection::FilesSizes => request.file_sizes.iter().copied().max().unwrap_or(0),
        Collection::RequestBodyLength => request.body_length,
        Collection::MultipartStrictError => flag(request.is_multipart_strict_error),
        Collection::MultipartUnmatchedBoundary => 0,
        Collection::ReqbodyError => flag(request.body_error.is_some()),
        Collection::ReqbodyErrorMsg => return request.body_error.unwrap_or_default().as_bytes().to_vec(),
        Collection::ReqbodyProcessor => return request.processor.name().as_bytes().to_vec(),
        Collection::RemoteAddr => return request.remote_address.to_string().into_bytes(),
        Collection::UniqueId => return request.bytes(request.unique_id).to_vec(),
        _ => return Vec::new(),
    };
    number.to_string().into_bytes()
}
