//! The types of rules, as the parser builds them.

pub use super::collection::Collection;
use super::macros::MacroText;
use super::operator::Condition;
use super::pattern::Pattern;
use crate::waf::transform::Transform;
use std::sync::Arc;

/// Which members of a collection a target names.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Every member.
    All,
    /// The member of this name, in any case.
    Name(String),
    /// Members whose names match.
    Pattern(Arc<Pattern>),
}

impl Selector {
    /// Whether it selects a member.
    pub fn is_selecting(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => wanted.as_bytes().eq_ignore_ascii_case(name),
            Self::Pattern(pattern) => pattern.is_match(name),
        }
    }
}

/// How a target uses what it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetUse {
    /// The values are inspected.
    Include,
    /// The values are not inspected: `!`.
    Exclude,
    /// Their number is inspected: `&`.
    Count,
}

/// One variable of a rule.
#[derive(Clone, Debug)]
pub struct Target {
    /// The variable.
    pub collection: Collection,
    /// Its members.
    pub selector: Selector,
    /// What happens with them.
    pub usage: TargetUse,
}

/// A change of a `TX` variable.
#[derive(Clone, Debug)]
pub struct SetVar {
    /// The name, without `tx.`.
    pub name: MacroText,
    /// What it does to the variable.
    pub change: VarChange,
}

/// What `setvar` does.
#[derive(Clone, Debug)]
pub enum VarChange {
    /// Replaces the value.
    Assign(MacroText),
    /// Adds a number.
    Add(MacroText),
    /// Subtracts a number.
    Subtract(MacroText),
    /// Removes the variable.
    Unset,
}

/// Rules named by id, tag or message.
#[derive(Clone, Debug)]
pub enum RuleSelector {
    /// Ranges of ids, inclusive.
    Ids(Vec<(u32, u32)>),
    /// Rules with this tag, a regular expression.
    Tag(Arc<Pattern>),
    /// Rules with this message, a regular expression.
    Message(Arc<Pattern>),
}

/// A `ctl` action.
#[derive(Clone, Debug)]
pub enum Control {
    /// `ruleRemoveById`, `ruleRemoveByTag`.
    RemoveRules(RuleSelector),
    /// `ruleRemoveTargetById`, `ruleRemoveTargetByTag`.
    RemoveTarget(RuleSelector, Target),
    /// `requestBodyProcessor`.
    BodyProcessor(String),
    /// `forceRequestBodyVariable=On`.
    ForceBodyVariable,
    /// `ruleEngine`: off or on (detection only does not differ inside the engine).
    Engine(bool),
    /// Settings of the audit log, which the configuration decides.
    Ignored,
}

impl Control {
    /// The rules that it selects, if it selects any.
    pub fn selector(&self) -> Option<&RuleSelector> {
        match self {
            Self::RemoveRules(selector) | Self::RemoveTarget(selector, _) => Some(selector),
            _ => None,
        }
    }
}

/// What a matching rule does to the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disruption {
    /// Evaluation goes on.
    #[default]
    Pass,
    /// The default action of the phase.
    Block,
    /// The request is blocked.
    Deny,
    /// No further rule inspects the request.
    Allow,
}

/// What a rule skips when it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Everything up to a marker.
    After(String),
    /// A number of rules.
    Rules(u32),
}

/// One link of a chain: variables, an operator and the actions that belong to it.
#[derive(Clone, Debug)]
pub struct Link {
    /// The variables.
    pub targets: Vec<Target>,
    /// The operator with its argument.
    pub condition: Condition,
    /// The transformations, in order.
    pub transforms: Vec<Transform>,
    /// Whether the operator reads the value after each transformation.
    pub is_multi_match: bool,
    /// Whether a match sets `TX:0` to `TX:9`.
    pub is_capturing: bool,
    /// Executed for each value that matches.
    pub set_vars: Vec<SetVar>,
    /// Executed when the whole chain matches.
    pub controls: Vec<Control>,
}

/// A rule: one or more links and what happens when all of them match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The file in which it is written.
    pub file: Arc<str>,
    /// The line of that file.
    pub line: usize,
    /// The id; 0 for none.
    pub id: u32,
    /// 1 to 5.
    pub phase: u8,
    /// The conditions.
    pub links: Vec<Link>,
    /// The message.
    pub message: MacroText,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// The tags.
    pub tags: Vec<String>,
    /// Whether a match is reported.
    pub is_logged: bool,
    /// What a match does.
    pub disruption: Disruption,
    /// The status of `status:`.
    pub status: Option<u16>,
    /// What a match skips.
    pub skip: Option<Skip>,
}

impl Rule {
    /// The level of `paranoia-level/N`; 1 without one.
    pub fn level(&self) -> Option<u8> {
        self.tags.iter().find_map(|tag| tag.strip_prefix("paranoia-level/")?.parse().ok())
    }

    /// The first three digits of the id.
    pub fn group(&self) -> u32 {
        self.id / 1000
    }
}

/// A rule, a marker, or a change of rules that were read before.
#[derive(Clone, Debug)]
pub enum Directive {
    /// `SecRule` with its chain, or `SecAction`.
    Rule(Box<Rule>),
    /// `SecMarker`.
    Marker(String),
    /// `SecRuleRemoveById`, `…ByTag`, `…ByMsg`.
    RemoveRules(RuleSelector),
    /// `SecRuleUpdateTargetById`, `…ByTag`.
    UpdateTargets(RuleSelector, Vec<Target>),
}
