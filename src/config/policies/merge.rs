//! Merges policies into routes. Precedence from low to high: global policies, the route's policies from left to right, the
//! route. The options of `GlobalConfiguration` have the lowest precedence; they are inherited later, by `RouteKeys`.
//!
//! Option objects merge property by property, maps by key, lists are replaced; every value keeps its span.

use super::{Policies, Policy};
use crate::config::codes;
use crate::config::diagnostics::Diagnostics;
use crate::config::node::{Node, Value};
use crate::config::span::Span;
use crate::config::suggest;
use crate::config::vocabulary::{Vocabulary, has_name};

/// Settings that are maps with free keys, in which `null` has a meaning.
const MAPS: [&str; 9] = [
    "UpstreamHeaderTransform",
    "DownstreamHeaderTransform",
    "UpstreamHeaderTemplates",
    "RouteClaimsRequirement",
    "AddClaimsToRequest",
    "AddHeadersToRequest",
    "AddQueriesToRequest",
    "ChangeDownstreamPathTemplate",
    "Metadata",
];

/// `strong`, with the settings of `weak` that it does not have.
pub fn merge_over(weak: &Node, strong: Node) -> Node {
    merged(weak, strong, MergePosition::Setting)
}

/// The position of a value in the document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MergePosition {
    Setting,
    /// The value of a setting that is a map.
    Map,
    /// A value under a free key: replaced as a whole, including `null`.
    Entry,
}

fn merged(weak: &Node, mut strong: Node, place: MergePosition) -> Node {
    if place == MergePosition::Entry {
        return strong;
    }
    if strong.is_null() && place == MergePosition::Setting {
        return weak.clone();
    }
    let (Value::Object(weak_members), Value::Object(strong_members)) = (&weak.value, &mut strong.value)
    else {
        return strong;
    };
    for member in weak_members {
        let name = &*member.key.value;
        match strong_members.iter_mut().find(|m| m.key.value.eq_ignore_ascii_case(name)) {
            Some(own) => {
                let value = std::mem::replace(&mut own.value, Node::new(own.key.span, Value::Null));
                let inside = match place {
                    MergePosition::Setting if is_map(name) => MergePosition::Map,
                    MergePosition::Setting => MergePosition::Setting,
                    MergePosition::Map | MergePosition::Entry => MergePosition::Entry,
                };
                own.value = merged(&member.value, value, inside);
            }
            None => strong_members.push(member.clone()),
        }
    }
    strong
}

fn is_map(name: &str) -> bool {
    MAPS.iter().any(|map| map.eq_ignore_ascii_case(name))
}

/// Merges the policies into every route and dynamic route; reports unknown, unused and weakening policies.
pub fn apply(root: &mut Node, policies: &Policies, vocabulary: &Vocabulary, diagnostics: &mut Diagnostics) {
    let mut merger =
        PolicyMerger { policies, used: vec![false; policies.all.len()], global: Vec::new(), diagnostics };
    let global = root.get_ignore_case("GlobalConfiguration").cloned();
    merger.global = merger.named_by(global.as_ref());
    let lists = route_lists(vocabulary);
    for list in &lists {
        for route in root.get_mut_ignore_case(list.section).and_then(Node::items_mut).into_iter().flatten() {
            let old = std::mem::replace(route, Node::empty_object(route.span));
            *route = merger.effective(old, global.as_ref(), list);
        }
    }
    let [routes, ..] = &lists;
    for member in root.get_mut_ignore_case("Apis").and_then(Node::members_mut).into_iter().flatten() {
        let old = std::mem::replace(&mut member.value, Node::empty_object(member.key.span));
        member.value = merger.effective(old, global.as_ref(), routes);
    }
    merger.report_unused();
}

/// A list of routes of one kind.
struct RouteList {
    section: &'static str,
    /// What its routes are called in messages; `None`: they support what a policy contains, but not `TransportOptions`.
    kind: Option<&'static str>,
    settings: &'static [&'static str],
}

fn route_lists(vocabulary: &Vocabulary) -> [RouteList; 3] {
    [
        RouteList { section: "Routes", kind: None, settings: vocabulary.route },
        RouteList {
            section: "DynamicRoutes",
            kind: Some("dynamic routes"),
            settings: vocabulary.dynamic_route,
        },
        RouteList {
            section: "TransportRoutes",
            kind: Some("transport routes"),
            settings: vocabulary.transport_route,
        },
    ]
}

struct PolicyMerger<'a> {
    policies: &'a Policies,
    used: Vec<bool>,
    /// The policies of `GlobalConfiguration`.
    global: Vec<&'a Policy>,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> PolicyMerger<'a> {
    /// The policies in `Policies` of an object, without duplicates.
    fn named_by(&mut self, object: Option<&Node>) -> Vec<&'a Policy> {
        let mut named: Vec<&'a Policy> = Vec::new();
        for item in object.and_then(|object| object.get_ignore_case("Policies")).map_or(&[][..], Node::items)
        {
            let Some(name) = item.as_str() else { continue };
            match self.policies.all.iter().position(|policy| policy.name == name) {
                Some(at) => {
                    self.used[at] = true;
                    named.retain(|policy| policy.name != name);
                    named.push(&self.policies.all[at]);
                }
                None if self.policies.documents.iter().any(|d| d.name == name.to_lowercase()) => {}
                None => self.unknown(name, item.span),
            }
        }
        named
    }

    fn unknown(&mut self, name: &str, span: Span) {
        let help = match suggest::closest_match(name, self.policies.names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if name.contains(['/', '\\']) || name.ends_with(".json") => {
                "expected the name of a file in policies/, without directory and .json".to_owned()
            }
            None => format!("create policies/{name}.json in the directory of the configuration"),
        };
        self.diagnostics.error(codes::UNKNOWN_POLICY, span, format!("unknown policy \"{name}\"")).help(help);
    }

    fn report_unused(&mut self) {
        for (policy, used) in self.policies.all.iter().zip(&self.used) {
            let Some(tree) = policy.tree.as_ref().filter(|_| !used) else { continue };
            let span = Span { end: tree.span.start + 1, ..tree.span };
            let message = format!("policy \"{}\" is not used", policy.name);
            self.diagnostics.warning(codes::UNUSED_POLICY, span, message);
        }
    }

    /// A route merged with its policies and the global ones.
    fn effective(&mut self, route: Node, global: Option<&Node>, list: &RouteList) -> Node {
        let own = self.named_by(Some(&route));
        own.iter().for_each(|policy| self.reject_unsuitable(policy, list));
        let shared =
            self.global.iter().copied().filter(|policy| own.iter().all(|mine| mine.name != policy.name));
        let stack: Vec<&Policy> = shared.chain(own.iter().copied()).collect();
        if stack.is_empty() || !matches!(route.value, Value::Object(_)) {
            return route;
        }
        self.warn_of_weakening(&stack, global, &route);
        let mut effective = route;
        for tree in stack.iter().rev().filter_map(|policy| policy.tree.as_ref()) {
            effective = merge_over(&suitable_subset(tree, list.settings), effective);
        }
        effective
    }

    /// Reports settings that the routes do not support, which would be ignored silently. `TransportOptions` are for transport
    /// routes: a policy may be shared by both kinds.
    fn reject_unsuitable(&mut self, policy: &Policy, list: &RouteList) {
        let Some(kind) = list.kind else { return };
        for member in
            policy.tree.iter().flat_map(Node::members).filter(|m| !has_name(list.settings, &m.key.value))
        {
            let name = &*member.key.value;
            let message =
                format!("{kind} do not support \"{name}\", and one uses the policy \"{}\"", policy.name);
            self.diagnostics
                .error(codes::POLICY_UNSUITABLE, member.key.span, message)
                .help("move the setting to a separate policy that only routes use");
        }
    }

    /// Warns if a layer disables a protection that a layer of lower precedence enables, and one of them is a policy.
    fn warn_of_weakening(&mut self, stack: &[&Policy], global: Option<&Node>, route: &Node) {
        for guard in &PROTECTED_SWITCHES {
            let mut on: Option<&str> = global.filter(|node| guard.is_on(node)).map(|_| "GlobalConfiguration");
            for policy in stack {
                let Some(tree) = &policy.tree else { continue };
                if let (Some(source), Some(off)) = (on, guard.switched_off_at(tree)) {
                    self.report_weakening(guard, off, source);
                }
                on = if guard.is_on(tree) { Some(&policy.name) } else { on };
            }
            let by_policy = on.filter(|name| stack.iter().any(|policy| policy.name == **name));
            if let (Some(source), Some(off)) = (by_policy, guard.switched_off_at(route)) {
                self.report_weakening(guard, off, source);
            }
        }
    }

    fn report_weakening(&mut self, guard: &ProtectedSwitch, off: Span, layer: &str) {
        let source =
            if layer == "GlobalConfiguration" { layer.to_owned() } else { format!("the policy \"{layer}\"") };
        let message = format!("this disables the {} that {source} enables", guard.description);
        self.diagnostics.warning(codes::POLICY_WEAKENS, off, message);
    }
}

/// A protection and the setting that disables it.
struct ProtectedSwitch {
    description: &'static str,
    section: &'static str,
    switch: &'static str,
    /// The value of the switch that disables the protection.
    off_value: bool,
}

const PROTECTED_SWITCHES: [ProtectedSwitch; 3] = [
    ProtectedSwitch {
        description: "authentication",
        section: "AuthenticationOptions",
        switch: "AllowAnonymous",
        off_value: true,
    },
    ProtectedSwitch {
        description: "rate limit",
        section: "RateLimitOptions",
        switch: "EnableRateLimiting",
        off_value: false,
    },
    ProtectedSwitch {
        description: "concurrency limit",
        section: "ConcurrencyLimitOptions",
        switch: "EnableConcurrencyLimit",
        off_value: false,
    },
];

impl ProtectedSwitch {
    /// The span at which a layer disables the protection.
    fn switched_off_at(&self, layer: &Node) -> Option<Span> {
        let switch = layer.get_ignore_case(self.section)?.get_ignore_case(self.switch)?;
        (switch.as_bool() == Some(self.off_value)).then_some(switch.span)
    }

    /// Whether the layer enables the protection.
    fn is_on(&self, layer: &Node) -> bool {
        let section = layer.get_ignore_case(self.section);
        section.is_some_and(|section| !section.members().is_empty()) && self.switched_off_at(layer).is_none()
    }
}

/// The settings of a policy that a kind of routes supports.
fn suitable_subset(tree: &Node, settings: &[&str]) -> Node {
    let mut tree = tree.clone();
    if let Some(members) = tree.members_mut() {
        members.retain(|member| has_name(settings, &member.key.value));
    }
    tree
}
