//! Rules whose conditions the settings decide are evaluated once, when the policy is compiled.

use crate::waf::language::macros::{MacroPiece, MacroText};
use crate::waf::language::rule::{
    Collection, Control, Disruption, Link, Rule, Selector, SetVar, TargetUse, VarChange,
};
use crate::waf::transaction::operators::{Detail, find};
use crate::waf::transaction::variables::InitialVariables;
use std::borrow::Cow;
use std::collections::HashSet;

/// What the settings decide about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rule never matches.
    Never,
    /// The rule always matches.
    Always,
    /// The request decides.
    Runtime,
}

/// The variables whose values are known before any request.
#[derive(Default)]
pub struct Constants {
    /// The values before the first rule that requests decide.
    initial: InitialVariables,
    /// Variables that rules change during a request.
    changing: HashSet<String>,
    /// Beginnings of names that rules build during a request.
    changing_prefixes: Vec<String>,
    /// Variables that rules read during a request.
    read: HashSet<String>,
}

impl Constants {
    /// The variables of the settings.
    pub fn new(variables: &[(String, String)]) -> Self {
        let initial =
            variables.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into_bytes()));
        Self { initial: initial.collect(), ..Self::default() }
    }

    /// The values that every transaction begins with.
    pub fn into_initial(self) -> InitialVariables {
        self.initial
    }

    fn is_changing(&self, name: &str) -> bool {
        let is_capture = name.len() == 1 && name.as_bytes()[0].is_ascii_digit();
        is_capture
            || self.changing.contains(name)
            || self.changing_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// The value of a variable: none if it changes, an empty option if it does not exist.
    fn value(&self, name: &str) -> Option<Option<&[u8]>> {
        let name = name.to_ascii_lowercase();
        (!self.is_changing(&name)).then(|| self.initial.get(&name).map(Vec::as_slice))
    }

    /// A text whose variables are all known.
    fn expand(&self, text: &MacroText) -> Option<Vec<u8>> {
        let is_known = |(collection, member): (Collection, Option<&str>)| {
            collection == Collection::Tx && member.is_some_and(|member| self.value(member).is_some())
        };
        text.variables().all(is_known).then(|| {
            text.expand(|_, member, expanded| {
                expanded.extend_from_slice(
                    member.and_then(|member| self.value(member)).flatten().unwrap_or_default(),
                );
            })
        })
    }

    /// What the settings decide about a rule at its place.
    pub fn decide(&self, rule: &Rule) -> Decision {
        for link in &rule.links {
            match self.decide_link(link) {
                Some(true) => {}
                Some(false) => return Decision::Never,
                None => return Decision::Runtime,
            }
        }
        Decision::Always
    }

    fn decide_link(&self, link: &Link) -> Option<bool> {
        if link.targets.is_empty() {
            return Some(true);
        }
        let mut values: Vec<Vec<u8>> = Vec::new();
        for target in &link.targets {
            let (Collection::Tx, Selector::Name(name)) = (target.collection, &target.selector) else {
                return None;
            };
            let value = self.value(name)?;
            match target.usage {
                TargetUse::Include => values.extend(value.map(<[u8]>::to_vec)),
                TargetUse::Count => values.push(usize::from(value.is_some()).to_string().into_bytes()),
                TargetUse::Exclude => return None,
            }
        }
        self.test(link, values)
    }

    fn test(&self, link: &Link, values: Vec<Vec<u8>>) -> Option<bool> {
        let argument = match &link.condition.operator {
            crate::waf::language::operator::Operator::Text(_, text)
            | crate::waf::language::operator::Operator::Number(_, text)
            | crate::waf::language::operator::Operator::PatternText(text) => self.expand(text)?,
            _ => Vec::new(),
        };
        Some(values.into_iter().any(|value| {
            let transformed =
                link.transforms.iter().fold(Cow::Owned(value), |value: Cow<'_, [u8]>, transform| {
                    Cow::Owned(transform.apply(&value).into_owned())
                });
            let found = find(&link.condition.operator, &transformed, Detail::Span, |_| argument.clone());
            found.is_some() != link.condition.is_negated
        }))
    }

    /// Applies the changes of a rule that always matches; returns whether nothing is left to do during a request.
    pub fn fold(&mut self, rule: &Rule) -> bool {
        let has_effect = rule.disruption != Disruption::Pass
            || rule.is_logged
            || rule
                .links
                .iter()
                .flat_map(|link| &link.controls)
                .any(|control| !matches!(control, Control::Ignored));
        if has_effect {
            return false;
        }
        let changes: Option<Vec<(String, Option<Vec<u8>>)>> =
            rule.links.iter().flat_map(|link| &link.set_vars).map(|set_var| self.change(set_var)).collect();
        let Some(changes) = changes else { return false };
        for (name, value) in changes {
            match value {
                Some(value) => drop(self.initial.insert(name, value)),
                None => drop(self.initial.remove(&name)),
            }
        }
        true
    }

    /// The name and the value that a change leads to, if no request has a part in it.
    fn change(&self, set_var: &SetVar) -> Option<(String, Option<Vec<u8>>)> {
        let name = set_var.name.constant()?.to_ascii_lowercase();
        if self.is_changing(&name) || self.read.contains(&name) {
            return None;
        }
        let value = match &set_var.change {
            VarChange::Assign(text) => Some(self.expand(text)?),
            VarChange::Unset => None,
            VarChange::Add(_) | VarChange::Subtract(_) => return None,
        };
        Some((name, value))
    }

    /// Notes what a rule reads and changes during a request.
    pub fn keep(&mut self, rule: &Rule) {
        for link in &rule.links {
            for target in link.targets.iter().filter(|target| target.collection == Collection::Tx) {
                if let Selector::Name(name) = &target.selector {
                    self.read.insert(name.to_ascii_lowercase());
                }
            }
            for set_var in &link.set_vars {
                self.keep_change(set_var);
            }
        }
    }

    fn keep_change(&mut self, set_var: &SetVar) {
        match set_var.name.pieces.as_slice() {
            [MacroPiece::Text(name)] => drop(self.changing.insert(name.to_ascii_lowercase())),
            [MacroPiece::Text(start), ..] => self.changing_prefixes.push(start.to_ascii_lowercase()),
            _ => self.changing_prefixes.push(String::new()),
        }
    }
}
