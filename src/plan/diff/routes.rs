//! The changes of routes: which are the same route, and what differs between their effective settings.

use super::change::{Change, ChangeKind, Diff};
use super::flatten::{self, Flattener, Leaf, Settings, hides_values};
use super::schema::Schema;
use super::{Configuration, compiled, order};
use crate::backend::balance::BalancerKind;
use crate::config::Node;
use crate::plan::blueprint::{ClusterBlueprint, RouteBlueprint};
use std::collections::HashMap;

/// The subject of the changes.
const ROUTE: &str = "route";
/// The settings of endpoints, which are compared as compiled.
pub(super) const ENDPOINTS: [&str; 2] = ["DownstreamHostAndPorts", "Endpoints"];
/// Settings of `GlobalConfiguration` that routes do not inherit although they have one of this name.
const NOT_INHERITED: [&str; 4] =
    ["DownstreamScheme", "DownstreamHttpVersion", "DownstreamHttpVersionPolicy", "Policies"];
/// Options about endpoints, which a route with `DownstreamCluster` takes from the cluster.
const OPTIONS_OF_CLUSTERS: [&str; 4] =
    ["LoadBalancerOptions", "HealthCheckOptions", "HttpHandlerOptions", "TlsOptions"];

/// The routes of one configuration with what their settings are made of.
struct Routes<'c> {
    routes: Vec<(&'c RouteBlueprint, Option<&'c Node>)>,
    globals: Globals<'c>,
    flattener: Flattener<'c>,
}

impl<'c> Routes<'c> {
    fn new(configuration: &Configuration<'c>) -> Routes<'c> {
        let nodes = configuration.section("Routes").map(Node::items).unwrap_or_default();
        let own = configuration.blueprint.routes.iter().filter(|route| route.aggregate.is_none());
        let flattener = Flattener { attached: configuration.attached, skipped: &ENDPOINTS };
        Routes {
            routes: own.map(|route| (route, nodes.get(route.index))).collect(),
            globals: Globals::new(configuration.section("GlobalConfiguration"), flattener),
            flattener,
        }
    }

    /// Whether routes with the same document have the same settings. The content of referenced files is not in it.
    fn inherit_the_same(&self, other: &Routes) -> bool {
        let has_no_files = self.flattener.attached.is_empty() && other.flattener.attached.is_empty();
        has_no_files && self.globals == other.globals
    }

    /// The effective settings of a route.
    fn settings(&self, at: usize) -> Settings {
        let (route, node) = self.routes[at];
        let mut settings = node.map_or_else(Settings::new, |node| {
            self.flattener.settings(node, Schema::definition("RouteDocument"))
        });
        self.globals.inherit(route, &mut settings);
        if route.cluster.name.is_none() {
            settings.extend(endpoints(&route.cluster));
        }
        settings
    }
}

/// The options of `GlobalConfiguration` that routes inherit.
#[derive(PartialEq)]
struct Globals<'c> {
    groups: Vec<Group<'c>>,
}

/// One option or group of options.
#[derive(PartialEq)]
struct Group<'c> {
    name: &'static str,
    settings: Settings,
    /// The keys of the routes to which it applies; empty: all.
    route_keys: Vec<&'c str>,
}

impl<'c> Globals<'c> {
    fn new(global: Option<&'c Node>, flattener: Flattener<'c>) -> Globals<'c> {
        let (schema, mut groups) = (Schema::definition("RouteDocument"), Vec::new());
        for member in global.map(Node::members).unwrap_or_default() {
            let Some((name, _)) = schema.setting(&member.key.value) else { continue };
            if NOT_INHERITED.contains(&name) {
                continue;
            }
            let keys = member.value.get_ignore_case("RouteKeys").map(Node::items).unwrap_or_default();
            let route_keys = keys.iter().filter_map(Node::as_str).collect();
            let one = Node::new(member.value.span, crate::config::Value::Object(vec![member.clone()]));
            groups.push(Group { name, settings: flattener.settings(&one, schema), route_keys });
        }
        Globals { groups }
    }

    /// Adds what the route does not set itself.
    fn inherit(&self, route: &RouteBlueprint, settings: &mut Settings) {
        let key = route.key.as_deref().unwrap_or_default();
        let applies = |group: &&Group| {
            let has_key = group.route_keys.is_empty() || group.route_keys.contains(&key);
            has_key && (route.cluster.name.is_none() || !OPTIONS_OF_CLUSTERS.contains(&group.name))
        };
        for group in self.groups.iter().filter(applies) {
            for (path, leaf) in &group.settings {
                settings.entry(path.clone()).or_insert_with(|| leaf.clone());
            }
        }
    }
}

/// The endpoints of a cluster as settings, each by its address.
pub(super) fn endpoints(cluster: &ClusterBlueprint) -> Settings {
    let mut settings = Settings::new();
    let address = |endpoint: &crate::plan::blueprint::Endpoint| {
        let host = if endpoint.host.contains(':') && !endpoint.host.starts_with("unix:") {
            format!("[{}]", endpoint.host)
        } else {
            endpoint.host.clone()
        };
        endpoint.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    };
    for endpoint in &cluster.endpoints {
        let name = format!("endpoint {}", address(endpoint));
        if endpoint.weight != 1 {
            let weight = Leaf { default: Some("1".to_owned()), ..Leaf::value(endpoint.weight.to_string()) };
            settings.insert(format!("{name} Weight"), weight);
        }
        settings.insert(name, Leaf::present());
    }
    let selects_first = matches!(cluster.balancer.value, BalancerKind::NoLoadBalancer);
    if let (true, Some(first)) = (selects_first && cluster.endpoints.len() > 1, cluster.endpoints.first()) {
        settings.insert("first endpoint".to_owned(), Leaf::value(address(first)));
    }
    settings
}

/// Adds the changes of routes.
pub(super) fn compare(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    let (old, new) = (Routes::new(old), Routes::new(new));
    let (pairs, inherit_the_same) = (pair(&old, &new), old.inherit_the_same(&new));
    let paired_old = flags(old.routes.len(), pairs.iter().map(|pair| pair.0));
    let paired_new = flags(new.routes.len(), pairs.iter().map(|pair| pair.1));
    for (_, (route, _)) in old.routes.iter().enumerate().filter(|(at, _)| !paired_old[*at]) {
        diff.changes.push(Change::of_subject(ROUTE, &route.name, ChangeKind::Removed));
    }
    for (_, (route, _)) in new.routes.iter().enumerate().filter(|(at, _)| !paired_new[*at]) {
        let detail = Some(summary(route));
        diff.changes.push(Change { detail, ..Change::of_subject(ROUTE, &route.name, ChangeKind::Added) });
        diff.routes.insert(route.name.clone());
    }
    let is_unchanged = |(before, after): (usize, usize)| {
        inherit_the_same && has_same_document(old.routes[before], new.routes[after])
    };
    for (before, after) in pairs.iter().copied().filter(|pair| !is_unchanged(*pair)) {
        compare_route(&old, &new, before, after, diff);
    }
    compare_order(&old, &new, &pairs, diff);
}

fn has_same_document(old: (&RouteBlueprint, Option<&Node>), new: (&RouteBlueprint, Option<&Node>)) -> bool {
    matches!((old.1, new.1), (Some(before), Some(after)) if before.has_same_content(after))
}

fn flags(count: usize, set: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut flags = vec![false; count];
    set.for_each(|at| flags[at] = true);
    flags
}

/// What an added route matches.
fn summary(route: &RouteBlueprint) -> String {
    let methods =
        if route.matcher.methods.is_empty() { "*".to_owned() } else { route.matcher.methods.join(",") };
    let host = route.matcher.host.as_deref().unwrap_or_default();
    format!("{methods} {host}{}", route.matcher.client_path.value)
}

fn compare_route(old: &Routes, new: &Routes, before: usize, after: usize, diff: &mut Diff) {
    let (route_before, route_after) = (old.routes[before].0, new.routes[after].0);
    let changes = flatten::compare(ROUTE, &route_after.name, &old.settings(before), &new.settings(after));
    if changes.is_empty() || (!hides_values(&changes) && compiled::is_same_route(route_before, route_after)) {
        return;
    }
    diff.routes.insert(route_after.name.clone());
    diff.changes.extend(changes);
}

fn compare_order(old: &Routes, new: &Routes, pairs: &[(usize, usize)], diff: &mut Diff) {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let before: Vec<_> = pairs.iter().map(|(at, _)| old.routes[*at].0).collect();
    let after: Vec<_> = pairs.iter().map(|(_, at)| new.routes[*at].0).collect();
    let positions: Vec<_> = pairs.iter().map(|(_, at)| *at).collect();
    for (first, second) in order::inversions(&before, &after, &positions) {
        let (first, second) = (&after[first].name, &after[second].name);
        let setting = Some("order".to_owned());
        let detail = Some(format!("now matched before {second}, which matches some of the same requests"));
        diff.changes.push(Change {
            setting,
            detail,
            ..Change::of_subject(ROUTE, first, ChangeKind::Changed)
        });
        diff.routes.extend([first.clone(), second.clone()]);
    }
}

/// The routes that are the same in both configurations: by what they match, then by `Key`, then by their path.
fn pair(old: &Routes, new: &Routes) -> Vec<(usize, usize)> {
    let identity = |route: &RouteBlueprint| {
        let matcher = &route.matcher;
        let (mut methods, mut listeners) = (matcher.methods.clone(), matcher.listeners.clone());
        methods.sort();
        listeners.sort();
        Some(format!(
            "{:?}",
            (&matcher.client_path.value, &matcher.host, methods, listeners, &matcher.header_templates)
        ))
    };
    let key = |route: &RouteBlueprint| route.key.clone().filter(|key| !key.trim().is_empty());
    let path = |route: &RouteBlueprint| Some(route.matcher.client_path.value.clone());
    let mut pairs = Vec::new();
    pair_by(old, new, &identity, &mut pairs);
    pair_by(old, new, &key, &mut pairs);
    pair_by(old, new, &path, &mut pairs);
    pairs
}

/// Pairs the remaining routes for which the function has the same result; the first with the first, and so on.
fn pair_by(
    old: &Routes,
    new: &Routes,
    identity: &dyn Fn(&RouteBlueprint) -> Option<String>,
    pairs: &mut Vec<(usize, usize)>,
) {
    let paired_old = flags(old.routes.len(), pairs.iter().map(|pair| pair.0));
    let paired_new = flags(new.routes.len(), pairs.iter().map(|pair| pair.1));
    let mut remaining: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, (route, _)) in old.routes.iter().enumerate().rev().filter(|(at, _)| !paired_old[*at]) {
        if let Some(identity) = identity(route) {
            remaining.entry(identity).or_default().push(at);
        }
    }
    for (at, (route, _)) in new.routes.iter().enumerate().filter(|(at, _)| !paired_new[*at]) {
        let same = identity(route).and_then(|identity| remaining.get_mut(&identity)?.pop());
        pairs.extend(same.map(|before| (before, at)));
    }
}
