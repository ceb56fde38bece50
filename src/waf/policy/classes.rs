//! Classes of values: the same kind, and the same name where rules select by it. For each class the plan knows which
//! transformations are needed and which rules read their results.

use super::kinds::kinds;
use super::rule_bits::{PolicyRule, RuleBits, empty_bits, set_bit};
use crate::waf::bytes::ByteSet;
use crate::waf::language::rule::{Collection, Selector, Target, TargetUse};
use crate::waf::library::{Filter, Library};
use crate::waf::prefilter::chains::ChainNode;
use crate::waf::request::parts::Kind;
use crate::waf::transform::Transform;

/// A transformation and the rules that read its result.
#[derive(Debug, Default)]
pub struct NodeUse {
    /// The node.
    pub node: ChainNode,
    /// The node whose result is transformed; the first use is the root, which is its own parent.
    pub parent: ChainNode,
    /// The transformation.
    pub transform: Option<Transform>,
    /// Rules with atoms.
    pub rules: RuleBits,
    /// Whether any rule has atoms.
    pub has_rules: bool,
    /// Rules that need a byte of a set.
    pub byte_rules: Vec<(ByteSet, usize)>,
}

/// What the scan does with values of a class.
#[derive(Debug, Default)]
pub struct ClassPlan {
    /// The transformations, parents first.
    pub uses: Vec<NodeUse>,
    /// A value without these bytes is the same after each transformation; none if that is not known.
    pub triggers: Option<ByteSet>,
    /// The rules of all nodes, for such a value.
    pub unchanged: NodeUse,
}

impl ClassPlan {
    fn new(uses: Vec<NodeUse>, words: usize) -> Self {
        let mut transforms = uses.iter().filter_map(|usage| usage.transform);
        let triggers =
            transforms.try_fold(ByteSet::empty(), |set, transform| Some(set.union(transform.triggers()?)));
        let mut unchanged = NodeUse { rules: empty_bits(words), ..NodeUse::default() };
        for usage in &uses {
            unchanged.has_rules |= usage.has_rules;
            unchanged.rules.iter_mut().zip(&usage.rules).for_each(|(word, rules)| *word |= rules);
            for rule in &usage.byte_rules {
                if !unchanged.byte_rules.contains(rule) {
                    unchanged.byte_rules.push(*rule);
                }
            }
        }
        Self { uses, triggers, unchanged }
    }
}

/// The plan of unnamed values, and the plans of named ones.
type KindPlans = (usize, Vec<(Vec<u8>, usize)>);

/// The plans of all classes.
#[derive(Debug, Default)]
pub struct ClassTable {
    plans: Vec<ClassPlan>,
    /// By kind.
    kinds: Vec<KindPlans>,
}

impl ClassTable {
    /// The plan of a value.
    pub fn plan(&self, kind: Kind, name: &[u8]) -> &ClassPlan {
        let (general, named) = &self.kinds[kind as usize];
        let found = named.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        &self.plans[found.map_or(*general, |(_, plan)| *plan)]
    }

    /// Its memory.
    pub fn memory_bytes(&self) -> usize {
        let uses = self.plans.iter().flat_map(|plan| &plan.uses);
        uses.map(|usage| size_of::<NodeUse>() + usage.rules.len() * 8 + usage.byte_rules.len() * 40).sum()
    }

    /// The plans for the rules of a policy.
    pub fn new(library: &Library, rules: &[PolicyRule]) -> Self {
        let mut table = Self::default();
        for kind in ALL_KINDS {
            let mut names: Vec<Vec<u8>> = Vec::new();
            for target in prefiltered(library, rules).flat_map(|(_, index)| first_targets(library, index)) {
                if let (true, Selector::Name(name)) =
                    (kinds(target.collection).contains(&kind), &target.selector)
                {
                    names.push(name.to_ascii_lowercase().into_bytes());
                }
            }
            names.sort();
            names.dedup();
            let general = table.add_plan(library, rules, kind, None);
            let named = names.into_iter().map(|name| {
                let plan = table.add_plan(library, rules, kind, Some(&name));
                (name, plan)
            });
            let named = named.collect();
            table.kinds.push((general, named));
        }
        table
    }

    fn add_plan(
        &mut self,
        library: &Library,
        rules: &[PolicyRule],
        kind: Kind,
        name: Option<&[u8]>,
    ) -> usize {
        let mut plan = PlanBuilder { library, words: rules.len().div_ceil(64), uses: Vec::new() };
        for (at, index) in prefiltered(library, rules) {
            if may_read(first_targets(library, index), kind, name) {
                plan.add(at, index);
            }
        }
        let words = plan.words;
        self.plans.push(ClassPlan::new(plan.uses, words));
        self.plans.len() - 1
    }
}

const ALL_KINDS: [Kind; Kind::COUNT] = [
    Kind::QueryValue,
    Kind::QueryName,
    Kind::BodyValue,
    Kind::BodyName,
    Kind::CookieValue,
    Kind::CookieName,
    Kind::HeaderValue,
    Kind::HeaderName,
    Kind::Line,
    Kind::Method,
    Kind::Protocol,
    Kind::Uri,
    Kind::RawUri,
    Kind::Path,
    Kind::BaseName,
    Kind::QueryString,
    Kind::Body,
    Kind::FileName,
    Kind::FileField,
    Kind::PartHeader,
    Kind::XmlText,
    Kind::XmlAttribute,
    Kind::ResponseBody,
    Kind::ResponseHeaderValue,
    Kind::ResponseHeaderName,
    Kind::ResponseStatus,
    Kind::ResponseProtocol,
];

/// The rules that the scan selects: (index in the policy, index in the library).
fn prefiltered<'r>(
    library: &'r Library,
    rules: &'r [PolicyRule],
) -> impl Iterator<Item = (usize, usize)> + 'r {
    let found = rules.iter().enumerate().filter(|(_, rule)| rule.is_prefiltered);
    found.map(|(at, rule)| (at, rule.library_index)).filter(|(_, index)| *index < library.rules.len())
}

fn first_targets(library: &Library, index: usize) -> &[Target] {
    library.rules[index].rule.links.first().map_or(&[], |link| &link.targets)
}

/// Whether a rule may read a value of a class. A selector that is an expression is checked when the rule runs.
fn may_read(targets: &[Target], kind: Kind, name: Option<&[u8]>) -> bool {
    let mut is_included = false;
    for target in targets.iter().filter(|target| kinds(target.collection).contains(&kind)) {
        let selects = match (&target.selector, name) {
            (Selector::All, _) => true,
            (Selector::Name(wanted), Some(name)) => wanted.as_bytes().eq_ignore_ascii_case(name),
            (Selector::Name(_), None) => false,
            (Selector::Pattern(_), _) => target.usage == TargetUse::Include,
        };
        match target.usage {
            TargetUse::Exclude if selects => return false,
            TargetUse::Include => is_included |= selects,
            _ => {}
        }
    }
    is_included
}

/// Whether a variable is a part of a response.
pub fn is_response(collection: Collection) -> bool {
    kinds(collection).iter().any(|kind| *kind >= Kind::ResponseBody)
}

struct PlanBuilder<'l> {
    library: &'l Library,
    words: usize,
    uses: Vec<NodeUse>,
}

impl PlanBuilder<'_> {
    fn add(&mut self, at: usize, index: usize) {
        let rule = &self.library.rules[index];
        for node in rule.nodes.first().into_iter().flatten() {
            let position = self.use_of(*node);
            let usage = &mut self.uses[position];
            match &rule.filter {
                Filter::Always => {}
                Filter::Atoms(_) => {
                    set_bit(&mut usage.rules, at);
                    usage.has_rules = true;
                }
                Filter::BytesOutside(allowed) => usage.byte_rules.push((allowed.inverse(), at)),
                Filter::BytesWithin(bytes) => usage.byte_rules.push((*bytes, at)),
            }
        }
    }

    /// The position of the use of a node; its ancestors come before it.
    fn use_of(&mut self, node: ChainNode) -> usize {
        if let Some(at) = self.uses.iter().position(|usage| usage.node == node) {
            return at;
        }
        let (parent, transform) = if node == 0 {
            (0, None)
        } else {
            let (parent, transform) = self.library.chains.edge(node);
            self.use_of(parent);
            (parent, Some(transform))
        };
        let rules = empty_bits(self.words);
        self.uses.push(NodeUse { node, parent, transform, rules, has_rules: false, byte_rules: Vec::new() });
        self.uses.len() - 1
    }
}
