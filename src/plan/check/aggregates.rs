//! The rules of aggregates.

use super::duplicates::host;
use super::{Outcome, Scope, Wrong, add, filled, items, template};
use crate::config::codes;
use crate::config::document::{AggregateDocument, RouteDocument};
use crate::config::{Diagnostics, Span, Spanned, suggest};
use std::collections::{HashMap, HashSet};

type Aggregate = Spanned<AggregateDocument>;

/// All of them.
pub fn check(scope: &Scope, out: &mut Diagnostics) {
    if scope.aggregates().is_empty() {
        return;
    }
    beside_routes(scope, out);
    let by_key = routes_by_key(scope);
    let mut seen: HashMap<(&str, Option<&str>), Span> = HashMap::new();
    for aggregate in scope.aggregates() {
        let path = aggregate.client_path.as_ref().map_or("", |path| path.as_str());
        let place = place(aggregate);
        if let Some(first) = seen.insert((path, host(&aggregate.host, scope.ocelot)), place) {
            let said =
                out.error(codes::DUPLICATE_AGGREGATE, place, format!("aggregate {path} has a duplicate"));
            add(said, format!("the other one stands at {}", scope.sources.place(first)));
        }
        path_rules(scope, aggregate, out);
        members(scope, aggregate, &by_key, out);
        aggregator(scope, aggregate, out);
    }
}

fn place(aggregate: &Aggregate) -> Span {
    aggregate.client_path.as_ref().map_or(aggregate.span, |path| path.span)
}

fn routes_by_key<'d>(scope: &Scope<'d>) -> HashMap<&'d str, Vec<&'d Spanned<RouteDocument>>> {
    let mut by_key: HashMap<&str, Vec<_>> = HashMap::new();
    for route in scope.routes() {
        if let Some(key) = &route.key {
            by_key.entry(key.as_str()).or_default().push(route);
        }
    }
    by_key
}

/// A route that names GET may not have the path and host of an aggregate.
fn beside_routes(scope: &Scope, out: &mut Diagnostics) {
    let paths: HashMap<(&str, Option<&str>), Span> = scope
        .aggregates()
        .iter()
        .filter_map(|a| Some(((a.client_path.as_ref()?.as_str(), host(&a.host, scope.ocelot)), place(a))))
        .collect();
    for route in scope.routes() {
        let Some(path) = &route.client_path else { continue };
        let get = items(&route.methods).iter().any(|method| method.eq_ignore_ascii_case("get"));
        let Some(other) = paths.get(&(path.as_str(), host(&route.host, scope.ocelot))).filter(|_| get) else {
            continue;
        };
        let message = format!("route {} and an aggregate take the same requests", path.value);
        let said = out.error(codes::ROUTE_AND_AGGREGATE, path.span, message);
        add(said, format!("the aggregate stands at {}", scope.sources.place(*other)));
    }
}

fn path_rules(scope: &Scope, aggregate: &Aggregate, out: &mut Diagnostics) {
    let mut found = Diagnostics::default();
    let path = template::path(&mut found, "UpstreamPathTemplate", &aggregate.client_path, aggregate.span);
    if let Some(path) = path {
        template::braces(&mut found, false, "UpstreamPathTemplate", path);
        template::repeated(&mut found, false, "UpstreamPathTemplate", path);
    }
    let absent = aggregate.client_path.is_none();
    for mistake in found.list {
        let fatal = absent || mistake.code == codes::BAD_TEMPLATE;
        let said = out.lenient(scope.ocelot && !fatal, codes::AGGREGATE_PATH, mistake.span, mistake.message);
        said.help = mistake.help;
    }
}

fn members(
    scope: &Scope,
    aggregate: &Aggregate,
    by_key: &HashMap<&str, Vec<&Spanned<RouteDocument>>>,
    out: &mut Diagnostics,
) {
    let listed = items(&aggregate.route_keys);
    let keys: HashSet<&str> = listed.iter().map(|key| key.as_str()).collect();
    let routes: Vec<_> = keys.iter().filter_map(|key| by_key.get(key)).flatten().collect();
    if routes.len() != keys.len() || keys.iter().any(|key| !by_key.contains_key(key)) {
        let ocelot = scope.ocelot && routes.len() == keys.len();
        missing(ocelot, aggregate, &keys, by_key, out);
    }
    if keys.is_empty() || keys.len() < listed.len() {
        let what = if keys.is_empty() { "names no routes" } else { "names a route twice" };
        let message = format!("RouteKeys of an aggregate {what}");
        let span = aggregate.route_keys.as_ref().map_or(aggregate.span, |keys| keys.span);
        Wrong::new(codes::AGGREGATE_KEYS, Outcome::Does("each named route is called once"), message).report(
            out,
            scope.ocelot,
            span,
        );
    }
    for id in routes.iter().filter_map(|route| route.request_id_key.as_ref()).filter(|id| !id.is_empty()) {
        let message = "an aggregate calls this route, which may then have no RequestIdKey of its own";
        let said = out.error(codes::AGGREGATE_REQUEST_ID, id.span, message);
        add(said, format!("the aggregate stands at {}", scope.sources.place(place(aggregate))));
    }
}

fn missing(
    ocelot: bool,
    aggregate: &Aggregate,
    keys: &HashSet<&str>,
    by_key: &HashMap<&str, Vec<&Spanned<RouteDocument>>>,
    out: &mut Diagnostics,
) {
    for key in items(&aggregate.route_keys).iter().filter(|key| !by_key.contains_key(key.as_str())) {
        let message = format!("no route has the Key \"{}\"", key.value);
        let meant = suggest::nearest(key, by_key.keys().copied().filter(|known| !keys.contains(known)));
        Wrong::new(codes::AGGREGATE_MEMBERS, Outcome::Does("the aggregate is left out"), message)
            .meant(meant)
            .report(out, ocelot, key.span);
    }
    for key in items(&aggregate.route_keys) {
        let Some(shared) = by_key.get(key.as_str()).filter(|routes| routes.len() > 1) else { continue };
        let message = format!("{} routes have the Key \"{}\"", shared.len(), key.value);
        Wrong::new(codes::AGGREGATE_MEMBERS, Outcome::Does("the first of them is called"), message)
            .report(out, ocelot, key.span);
    }
}

/// Whether `Aggregator` is a template, and not the name of a class.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Ocelot's aggregators live in C#; the cure is the aggregate without one, or a template.
fn aggregator(scope: &Scope, aggregate: &Aggregate, out: &mut Diagnostics) {
    let Some(name) = filled(&aggregate.aggregator).filter(|name| !is_template(name)) else { return };
    let keys: Vec<String> = items(&aggregate.route_keys).iter().map(|key| json(key)).collect();
    let path = aggregate.client_path.as_ref().map_or("/", |path| path.as_str());
    let paste =
        format!("{{ \"UpstreamPathTemplate\": {}, \"RouteKeys\": [{}] }}", json(path), keys.join(", "));
    let message = format!(
        "there is no aggregator \"{}\": aggregators written in C# are not part of the file",
        name.value
    );
    Wrong::new(codes::UNKNOWN_AGGREGATOR, Outcome::Answers(404), message)
        .help(format!("without it the answers are put together by key:\n{paste}"))
        .help(
            "a template writes any other answer: \"Aggregator\": \"{ \\\"name\\\": {{ parts.user.name }} }\"",
        )
        .report(out, scope.ocelot, name.span);
}

/// A text as JSON writes it.
pub fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
