//! The changes of everything but routes: clusters, listeners, authentication schemes, aggregates, the gateway itself.

use super::change::{Change, ChangeKind, Diff};
use super::flatten::{self, Flattener, Settings, hides_values};
use super::routes::{ENDPOINTS, endpoints};
use super::schema::Schema;
use super::{Configuration, compiled};
use crate::config::Node;
use crate::plan::blueprint::{Blueprint, ClusterBlueprint, RouteBlueprint};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Sections that are compared item by item, or that do not concern traffic.
const ITEMIZED: [&str; 9] = [
    "$schema",
    "Routes",
    "DynamicRoutes",
    "Aggregates",
    "Clusters",
    "GlobalConfiguration",
    "Listeners",
    "AuthenticationSchemes",
    "Tests",
];

/// Sections whose changes do not concern the requests of routes.
const NOT_ABOUT_REQUESTS: [&str; 10] = [
    "Administration",
    "ReloadOnChange",
    "AccessLog",
    "DataDirectory",
    "TestsBeforeApply",
    "ConfigurationStore",
    "Metrics",
    "Telemetry",
    "Tracing",
    "Health",
];

/// Items with names, by their names.
type Items = BTreeMap<String, Settings>;

/// Adds the changes of all other sections.
pub(super) fn compare(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    compare_clusters(old, new, diff);
    let same = |name: &str| is_same_listener(old.blueprint, new.blueprint, name);
    diff.all_routes |= compare_items("listener", &listeners(old), &listeners(new), &same, diff);
    let schemes = |configuration: &Configuration| {
        map_items(configuration, "AuthenticationSchemes", "AuthenticationSchemeDocument", &[])
    };
    diff.all_routes |= compare_items("authentication scheme", &schemes(old), &schemes(new), &|_| false, diff);
    compare_aggregates(old, new, diff);
    compare_dynamic_routes(old, new, diff);
    compare_gateway(old, new, diff);
}

/// Adds the changes of named items; whether there is one.
fn compare_items(
    subject: &'static str,
    old: &Items,
    new: &Items,
    is_same: &dyn Fn(&str) -> bool,
    diff: &mut Diff,
) -> bool {
    let count = diff.changes.len();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        diff.changes.push(Change::of_subject(subject, name, ChangeKind::Removed));
    }
    for (name, after) in new {
        let Some(before) = old.get(name) else {
            diff.changes.push(Change::of_subject(subject, name, ChangeKind::Added));
            continue;
        };
        let changes = flatten::compare(subject, name, before, after);
        if hides_values(&changes) || !is_same(name) {
            diff.changes.extend(changes);
        }
    }
    diff.changes.len() > count
}

/// The items of a section that is a map.
fn map_items(configuration: &Configuration, section: &str, definition: &str, skipped: &[&str]) -> Items {
    let flattener = Flattener { attached: configuration.attached, skipped };
    let schema = Schema::definition(definition);
    let members = configuration.section(section).map(Node::members).unwrap_or_default();
    let item = |member: &crate::config::Member| {
        (member.key.value.to_string(), flattener.settings(&member.value, schema))
    };
    members.iter().map(item).collect()
}

fn compare_clusters(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    let (used_before, used_after) = (used_clusters(old.blueprint), used_clusters(new.blueprint));
    let items = |configuration: &Configuration, used: &BTreeMap<&str, &ClusterBlueprint>| {
        let mut items = map_items(configuration, "Clusters", "ClusterDocument", &ENDPOINTS);
        for (name, settings) in &mut items {
            settings.extend(used.get(name.as_str()).map(|cluster| endpoints(cluster)).unwrap_or_default());
        }
        items
    };
    let (before, after) = (items(old, &used_before), items(new, &used_after));
    let is_same = |name: &str| match (used_before.get(name), used_after.get(name)) {
        (Some(before), Some(after)) => compiled::is_same_cluster(before, after),
        // A cluster that no route uses has no effect; that a route uses it is a change of the route.
        _ => true,
    };
    let start = diff.changes.len();
    compare_items("cluster", &before, &after, &is_same, diff);
    let changed: BTreeSet<String> = diff.changes[start..].iter().map(|change| change.name.clone()).collect();
    for route in &new.blueprint.routes {
        if clusters_of(route).any(|cluster| cluster.name.as_ref().is_some_and(|name| changed.contains(name)))
        {
            diff.routes.insert(route.name.clone());
        }
    }
}

/// The clusters of a route: of its backend, its fallback and its parts.
fn clusters_of(route: &RouteBlueprint) -> impl Iterator<Item = &ClusterBlueprint> {
    let parts = route.aggregate.iter().flat_map(|aggregate| &aggregate.parts).map(|part| &*part.route);
    [route]
        .into_iter()
        .chain(parts)
        .flat_map(|route| [Some(&route.cluster), route.fallback.as_ref()])
        .flatten()
        .map(|cluster| &**cluster)
}

fn used_clusters(blueprint: &Blueprint) -> BTreeMap<&str, &ClusterBlueprint> {
    let all = blueprint.routes.iter().flat_map(clusters_of);
    all.filter_map(|cluster| Some((cluster.name.as_deref()?, cluster))).collect()
}

fn listeners(configuration: &Configuration) -> Items {
    let flattener = Flattener { attached: configuration.attached, skipped: &["Name"] };
    let schema = Schema::definition("ListenerDocument");
    let nodes = configuration.section("Listeners").map(Node::items).unwrap_or_default();
    let named = configuration.blueprint.listeners.iter().filter_map(|listener| {
        let node = nodes.iter().find(|node| Some(node.span) == listener.span);
        Some((listener.name.to_string(), flattener.settings(node?, schema)))
    });
    let mut items: Items = named.collect();
    if items.is_empty() {
        // The default listener.
        items.extend(configuration.blueprint.listeners.iter().map(|listener| {
            let address = flatten::Leaf::value(listener.address.to_string());
            (listener.name.to_string(), Settings::from([("Address".to_owned(), address)]))
        }));
    }
    items
}

fn is_same_listener(old: &Blueprint, new: &Blueprint, name: &str) -> bool {
    let find =
        |blueprint: &Blueprint| blueprint.listeners.iter().find(|listener| &*listener.name == name).cloned();
    compiled::is_same(&find(old), &find(new))
}

fn compare_aggregates(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    let items = |configuration: &Configuration| -> Items {
        let flattener = Flattener { attached: configuration.attached, skipped: &[] };
        let nodes = configuration.section("Aggregates").map(Node::items).unwrap_or_default();
        let aggregates = configuration.blueprint.routes.iter().filter(|route| route.aggregate.is_some());
        let named = aggregates.filter_map(|route| {
            let settings =
                flattener.settings(nodes.get(route.index)?, Schema::definition("AggregateDocument"));
            Some((route.name.clone(), settings))
        });
        named.collect()
    };
    let find = |blueprint: &'_ Blueprint, name: &str| {
        blueprint.routes.iter().find(|route| route.aggregate.is_some() && route.name == name).cloned()
    };
    let is_same = |name: &str| match (find(old.blueprint, name), find(new.blueprint, name)) {
        (Some(before), Some(after)) => compiled::is_same_route(&before, &after),
        _ => false,
    };
    let start = diff.changes.len();
    compare_items("aggregate", &items(old), &items(new), &is_same, diff);
    let names: Vec<String> = diff.changes[start..].iter().map(|change| change.name.clone()).collect();
    diff.routes.extend(names.into_iter().filter(|name| find(new.blueprint, name).is_some()));
}

fn compare_dynamic_routes(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    let items = |configuration: &Configuration| -> Items {
        let flattener =
            Flattener { attached: configuration.attached, skipped: &["ServiceName", "ServiceNamespace"] };
        let nodes = configuration.section("DynamicRoutes").map(Node::items).unwrap_or_default();
        let text = |node: &Node, name| {
            node.get_ignore_case(name).and_then(Node::as_str).unwrap_or_default().to_owned()
        };
        let named = nodes.iter().map(|node| {
            let (service, namespace) = (text(node, "ServiceName"), text(node, "ServiceNamespace"));
            let name = if namespace.is_empty() { service } else { format!("{namespace}.{service}") };
            (name, flattener.settings(node, Schema::definition("DynamicRouteDocument")))
        });
        named.collect()
    };
    let is_used = old.blueprint.dynamic.is_some() || new.blueprint.dynamic.is_some();
    if is_used {
        diff.all_routes |= compare_items("dynamic route", &items(old), &items(new), &|_| false, diff);
    }
}

/// The settings of the gateway as a whole, and those of `GlobalConfiguration` that routes do not inherit.
fn compare_gateway(old: &Configuration, new: &Configuration, diff: &mut Diff) {
    let (route, global) = (Schema::definition("RouteDocument"), Schema::definition("GlobalDocument"));
    let is_dynamic = old.blueprint.dynamic.is_some() || new.blueprint.dynamic.is_some();
    let settings = |configuration: &Configuration| {
        let flattener = Flattener { attached: configuration.attached, skipped: &ITEMIZED };
        let mut settings = flattener.settings(configuration.root, Schema::of_document());
        let node = configuration.section("GlobalConfiguration");
        for (path, leaf) in node.map(|node| flattener.settings(node, global)).unwrap_or_default() {
            let name = path.split(['.', '[', ' ']).next().unwrap_or_default();
            let is_inherited = route.setting(name).is_some() && !name.starts_with("Downstream");
            if !is_inherited || is_dynamic {
                settings.insert(format!("GlobalConfiguration.{path}"), leaf);
            }
        }
        settings
    };
    let changes = flatten::compare("gateway", "", &settings(old), &settings(new));
    let changes = changes.into_iter().filter(|change| {
        hides_values(std::slice::from_ref(change))
            || !is_same_section(old.blueprint, new.blueprint, section_of(change))
    });
    let changes: Vec<Change> = changes.collect();
    diff.all_routes |= changes.iter().any(|change| !NOT_ABOUT_REQUESTS.contains(&section_of(change)));
    diff.changes.extend(changes);
}

fn section_of(change: &Change) -> &str {
    change.setting.as_deref().unwrap_or_default().split(['.', '[']).next().unwrap_or_default()
}

/// Whether a section compiles to the same settings; false for sections that are not compared as compiled.
fn is_same_section(old: &Blueprint, new: &Blueprint, section: &str) -> bool {
    fn both<T: Debug>(old: &Blueprint, new: &Blueprint, part: impl Fn(&Blueprint) -> T) -> bool {
        compiled::is_same(&part(old), &part(new))
    }
    match section {
        "Limits" => both(old, new, |blueprint| blueprint.limits),
        "Dns" => both(old, new, |blueprint| blueprint.dns.clone()),
        "Cache" => both(old, new, |blueprint| blueprint.cache.clone()),
        "SharedState" => both(old, new, |blueprint| blueprint.shared_state.clone()),
        "Tunnels" => both(old, new, |blueprint| blueprint.tunnels.clone()),
        "ForwardedHeaders" => both(old, new, |blueprint| blueprint.stages.forwarded_headers.clone()),
        "TraceContext" => both(old, new, |blueprint| blueprint.stages.trace_context),
        "BaseUrl" => both(old, new, |blueprint| blueprint.base_url.clone()),
        _ => false,
    }
}
