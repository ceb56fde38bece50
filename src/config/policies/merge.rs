//! Putting policies under routes, weak to strong: global policies, the route's policies from left to right, the
//! route. `GlobalConfiguration`'s own options are weaker still; they are inherited later, with their `RouteKeys`.
//!
//! Option objects merge per property, maps by key, lists replace; every value keeps the place it came from.

use super::{Policies, Policy};
use crate::config::codes;
use crate::config::diagnostics::Diagnostics;
use crate::config::node::{Node, Value};
use crate::config::span::Span;
use crate::config::suggest;
use crate::config::vocabulary::{Vocabulary, has_name};

/// Settings that are maps of the user's own keys: there null means something.
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

/// The strong object with everything of the weak one that it does not set itself.
pub fn merge_over(weak: &Node, strong: Node) -> Node {
    merged(weak, strong, MergePosition::Setting)
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MergePosition {
    Setting,
    /// The value of a setting that is a map.
    Map,
    /// A value under a key of the user's own: taken whole, null included.
    Entry,
}

fn merged(weak: &Node, mut strong: Node, place: MergePosition) -> Node {
    if place == MergePosition::Entry {
        return strong;
    }
    if strong.is_null() && place == MergePosition::Setting {
        return weak.clone();
    }
    let (Value::Object(below), Value::Object(above)) = (&weak.value, &mut strong.value) else {
        return strong;
    };
    for member in below {
        let name = &*member.key.value;
        match above.iter_mut().find(|m| m.key.value.eq_ignore_ascii_case(name)) {
            Some(own) => {
                let value = std::mem::replace(&mut own.value, Node::new(own.key.span, Value::Null));
                let inside = match place {
                    MergePosition::Setting if is_map(name) => MergePosition::Map,
                    MergePosition::Setting => MergePosition::Setting,
                    MergePosition::Map | MergePosition::Entry => MergePosition::Entry,
                };
                own.value = merged(&member.value, value, inside);
            }
            None => above.push(member.clone()),
        }
    }
    strong
}

fn is_map(name: &str) -> bool {
    MAPS.iter().any(|map| map.eq_ignore_ascii_case(name))
}

/// Puts the policies under every route and dynamic route of a document; says what is unknown, unused or unwise.
pub fn apply(root: &mut Node, policies: &Policies, vocabulary: &Vocabulary, diagnostics: &mut Diagnostics) {
    let mut layers = PolicyMerger {
        policies,
        used: vec![false; policies.all.len()],
        global: Vec::new(),
        dynamic: vocabulary.dynamic_route,
        diagnostics,
    };
    let global = root.get_ignore_case("GlobalConfiguration").cloned();
    layers.global = layers.named_by(global.as_ref());
    for (list, dynamic) in [("Routes", false), ("DynamicRoutes", true)] {
        for route in root.get_mut_ignore_case(list).and_then(Node::items_mut).into_iter().flatten() {
            let old = std::mem::replace(route, Node::empty_object(route.span));
            *route = layers.effective(old, global.as_ref(), dynamic);
        }
    }
    layers.report_unused();
}

struct PolicyMerger<'a> {
    policies: &'a Policies,
    used: Vec<bool>,
    /// The policies that `GlobalConfiguration` names.
    global: Vec<&'a Policy>,
    /// The settings of dynamic routes.
    dynamic: &'static [&'static str],
    diagnostics: &'a mut Diagnostics,
}

impl<'a> PolicyMerger<'a> {
    /// The policies that an object's `Policies` names, each once.
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
                None => self.unknown(name, item.span),
            }
        }
        named
    }

    fn unknown(&mut self, name: &str, span: Span) {
        let help = match suggest::closest_match(name, self.policies.names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write it to policies/{name}.json beside the configuration"),
        };
        self.diagnostics
            .error(codes::UNKNOWN_POLICY, span, format!("there is no policy \"{name}\""))
            .help(help);
    }

    fn report_unused(&mut self) {
        for (policy, used) in self.policies.all.iter().zip(&self.used) {
            let Some(tree) = policy.tree.as_ref().filter(|_| !used) else { continue };
            let span = Span { end: tree.span.start + 1, ..tree.span };
            let message = format!("nothing names the policy \"{}\"", policy.name);
            self.diagnostics.warning(codes::UNUSED_POLICY, span, message);
        }
    }

    /// A route with everything that its policies and the global ones add to it.
    fn effective(&mut self, route: Node, global: Option<&Node>, dynamic: bool) -> Node {
        let own = self.named_by(Some(&route));
        if dynamic {
            own.iter().for_each(|policy| self.reject_unsuitable(policy));
        }
        let shared =
            self.global.iter().copied().filter(|policy| own.iter().all(|mine| mine.name != policy.name));
        let stack: Vec<&Policy> = shared.chain(own.iter().copied()).collect();
        if stack.is_empty() || !matches!(route.value, Value::Object(_)) {
            return route;
        }
        self.warn_of_weakening(&stack, global, &route);
        let mut effective = route;
        for tree in stack.iter().rev().filter_map(|policy| policy.tree.as_ref()) {
            let suitable = dynamic.then(|| dynamic_route_subset(tree, self.dynamic));
            effective = merge_over(suitable.as_ref().unwrap_or(tree), effective);
        }
        effective
    }

    /// A dynamic route that names a policy with a setting it does not have would go without it unseen.
    fn reject_unsuitable(&mut self, policy: &Policy) {
        for member in
            policy.tree.iter().flat_map(Node::members).filter(|m| !has_name(self.dynamic, &m.key.value))
        {
            let name = &*member.key.value;
            let message =
                format!("dynamic routes have no \"{name}\", and one names the policy \"{}\"", policy.name);
            self.diagnostics
                .error(codes::POLICY_UNSUITABLE, member.key.span, message)
                .help("put the setting into a policy of its own, for routes only");
        }
    }

    /// Says when a stronger layer switches off what a weaker one asks for, and one of the two is a policy.
    fn warn_of_weakening(&mut self, stack: &[&Policy], global: Option<&Node>, route: &Node) {
        for guard in &PROTECTED_SWITCHES {
            let mut on: Option<&str> = global.filter(|node| guard.is_on(node)).map(|_| "GlobalConfiguration");
            for policy in stack {
                let Some(tree) = &policy.tree else { continue };
                if let (Some(below), Some(off)) = (on, guard.switched_off_at(tree)) {
                    self.reports_weakening(guard, off, below);
                }
                on = if guard.is_on(tree) { Some(&policy.name) } else { on };
            }
            let by_policy = on.filter(|name| stack.iter().any(|policy| policy.name == **name));
            if let (Some(below), Some(off)) = (by_policy, guard.switched_off_at(route)) {
                self.reports_weakening(guard, off, below);
            }
        }
    }

    fn reports_weakening(&mut self, guard: &ProtectedSwitch, off: Span, below: &str) {
        let whose =
            if below == "GlobalConfiguration" { below.to_owned() } else { format!("the policy \"{below}\"") };
        let message = format!("this switches off the {} that {whose} asks for", guard.description);
        self.diagnostics.warning(codes::POLICY_WEAKENS, off, message);
    }
}

/// A protection and the switch that turns it off.
struct ProtectedSwitch {
    description: &'static str,
    section: &'static str,
    switch: &'static str,
    /// The value of the switch that means off.
    switched_off_at: bool,
}

const PROTECTED_SWITCHES: [ProtectedSwitch; 3] = [
    ProtectedSwitch {
        description: "authentication",
        section: "AuthenticationOptions",
        switch: "AllowAnonymous",
        switched_off_at: true,
    },
    ProtectedSwitch {
        description: "rate limit",
        section: "RateLimitOptions",
        switch: "EnableRateLimiting",
        switched_off_at: false,
    },
    ProtectedSwitch {
        description: "concurrency limit",
        section: "ConcurrencyLimitOptions",
        switch: "EnableConcurrencyLimit",
        switched_off_at: false,
    },
];

impl ProtectedSwitch {
    /// Where a layer turns the protection off.
    fn switched_off_at(&self, layer: &Node) -> Option<Span> {
        let switch = layer.get_ignore_case(self.section)?.get_ignore_case(self.switch)?;
        (switch.as_bool() == Some(self.switched_off_at)).then_some(switch.span)
    }

    /// The layer asks for the protection.
    fn is_on(&self, layer: &Node) -> bool {
        let section = layer.get_ignore_case(self.section);
        section.is_some_and(|section| !section.members().is_empty()) && self.switched_off_at(layer).is_none()
    }
}

/// The part of a policy that a dynamic route can have.
fn dynamic_route_subset(tree: &Node, settings: &[&str]) -> Node {
    let mut tree = tree.clone();
    if let Some(members) = tree.members_mut() {
        members.retain(|member| has_name(settings, &member.key.value));
    }
    tree
}
