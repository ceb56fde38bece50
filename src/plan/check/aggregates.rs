//! The rules of aggregates.

use super::duplicates::host;
use super::{CheckContext, OcelotBehavior, OcelotTolerated, items, non_blank, template};
use crate::config::codes;
use crate::config::{Diagnostics, Span, Spanned, suggest};
use crate::plan::document::{AggregateDocument, RouteDocument};
use std::collections::{HashMap, HashSet};

type Aggregate = Spanned<AggregateDocument>;

/// Checks all aggregates.
pub fn check(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    if scope.aggregates().is_empty() {
        return;
    }
    check_route_conflicts(scope, diagnostics);
    let by_key = routes_by_key(scope);
    let mut seen: HashMap<(&str, Option<&str>), Span> = HashMap::new();
    for aggregate in scope.aggregates() {
        let path = aggregate.client_path.as_ref().map_or("", |path| path.as_str());
        let span = location(aggregate);
        if let Some(first) = seen.insert((path, host(&aggregate.host, scope.ocelot)), span) {
            let diagnostic =
                diagnostics.error(codes::DUPLICATE_AGGREGATE, span, format!("duplicate aggregate {path}"));
            diagnostic.help(format!("the other one is at {}", scope.sources.location(first)));
        }
        path_rules(scope, aggregate, diagnostics);
        check_route_keys(scope, aggregate, &by_key, diagnostics);
        aggregator(scope, aggregate, diagnostics);
    }
}

fn location(aggregate: &Aggregate) -> Span {
    aggregate.client_path.as_ref().map_or(aggregate.span, |path| path.span)
}

fn routes_by_key<'d>(scope: &CheckContext<'d>) -> HashMap<&'d str, Vec<&'d Spanned<RouteDocument>>> {
    let mut by_key: HashMap<&str, Vec<_>> = HashMap::new();
    for route in scope.routes() {
        if let Some(key) = &route.key {
            by_key.entry(key.as_str()).or_default().push(route);
        }
    }
    by_key
}

/// A route with method GET must not have the path and host of an aggregate.
fn check_route_conflicts(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let paths: HashMap<(&str, Option<&str>), Span> = scope
        .aggregates()
        .iter()
        .filter_map(|a| Some(((a.client_path.as_ref()?.as_str(), host(&a.host, scope.ocelot)), location(a))))
        .collect();
    for route in scope.routes() {
        let Some(path) = &route.client_path else { continue };
        let get = items(&route.methods).iter().any(|method| method.eq_ignore_ascii_case("get"));
        let Some(other) = paths.get(&(path.as_str(), host(&route.host, scope.ocelot))).filter(|_| get) else {
            continue;
        };
        let message = format!("route {} and an aggregate match the same requests", path.value);
        let diagnostic = diagnostics.error(codes::ROUTE_AND_AGGREGATE, path.span, message);
        diagnostic.help(format!("the aggregate is at {}", scope.sources.location(*other)));
    }
}

fn path_rules(scope: &CheckContext, aggregate: &Aggregate, diagnostics: &mut Diagnostics) {
    let mut found = Diagnostics::default();
    let path = template::path(&mut found, "UpstreamPathTemplate", &aggregate.client_path, aggregate.span);
    if let Some(path) = path {
        template::check_braces(&mut found, false, "UpstreamPathTemplate", path);
        template::check_repeated(&mut found, false, "UpstreamPathTemplate", path);
    }
    let absent = aggregate.client_path.is_none();
    for error in found.list {
        let fatal = absent || error.code == codes::BAD_TEMPLATE;
        let diagnostic = diagnostics.error_or_ocelot_warning(
            scope.ocelot && !fatal,
            codes::AGGREGATE_PATH,
            error.span,
            error.message,
        );
        diagnostic.help = error.help;
    }
}

fn check_route_keys(
    scope: &CheckContext,
    aggregate: &Aggregate,
    by_key: &HashMap<&str, Vec<&Spanned<RouteDocument>>>,
    diagnostics: &mut Diagnostics,
) {
    let listed = items(&aggregate.route_keys);
    let keys: HashSet<&str> = listed.iter().map(|key| key.as_str()).collect();
    let routes: Vec<_> = keys.iter().filter_map(|key| by_key.get(key)).flatten().collect();
    if routes.len() != keys.len() || keys.iter().any(|key| !by_key.contains_key(key)) {
        let ocelot = scope.ocelot && routes.len() == keys.len();
        report_missing_route(ocelot, aggregate, &keys, by_key, diagnostics);
    }
    if keys.is_empty() || keys.len() < listed.len() {
        let what = if keys.is_empty() { "names no routes" } else { "names a route twice" };
        let message = format!("RouteKeys of an aggregate {what}");
        let span = aggregate.route_keys.as_ref().map_or(aggregate.span, |keys| keys.span);
        OcelotTolerated::new(
            codes::AGGREGATE_KEYS,
            OcelotBehavior::Effect("each named route is called once"),
            message,
        )
        .report(diagnostics, scope.ocelot, span);
    }
    for id in routes.iter().filter_map(|route| route.request_id_key.as_ref()).filter(|id| !id.is_empty()) {
        let message = "an aggregate calls this route, so it cannot have its own RequestIdKey";
        let diagnostic = diagnostics.error(codes::AGGREGATE_REQUEST_ID, id.span, message);
        diagnostic.help(format!("the aggregate is at {}", scope.sources.location(location(aggregate))));
    }
}

fn report_missing_route(
    ocelot: bool,
    aggregate: &Aggregate,
    keys: &HashSet<&str>,
    by_key: &HashMap<&str, Vec<&Spanned<RouteDocument>>>,
    diagnostics: &mut Diagnostics,
) {
    for key in items(&aggregate.route_keys).iter().filter(|key| !by_key.contains_key(key.as_str())) {
        let message = format!("no route has the Key \"{}\"", key.value);
        let meant = suggest::closest_match(key, by_key.keys().copied().filter(|known| !keys.contains(known)));
        OcelotTolerated::new(
            codes::AGGREGATE_MEMBERS,
            OcelotBehavior::Effect("the aggregate is ignored"),
            message,
        )
        .did_you_mean(meant)
        .help("set this Key on the route to call, or remove the entry")
        .report(diagnostics, ocelot, key.span);
    }
    for key in items(&aggregate.route_keys) {
        let Some(shared) = by_key.get(key.as_str()).filter(|routes| routes.len() > 1) else { continue };
        let message = format!("{} routes have the Key \"{}\"", shared.len(), key.value);
        OcelotTolerated::new(
            codes::AGGREGATE_MEMBERS,
            OcelotBehavior::Effect("the first of them is called"),
            message,
        )
        .report(diagnostics, ocelot, key.span);
    }
}

/// Whether `Aggregator` is a template, and not the name of a class.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Ocelot's aggregators are C# classes; the cure is the aggregate without one, or a template.
fn aggregator(scope: &CheckContext, aggregate: &Aggregate, diagnostics: &mut Diagnostics) {
    let Some(name) = non_blank(&aggregate.aggregator).filter(|name| !is_template(name)) else { return };
    let keys: Vec<String> = items(&aggregate.route_keys).iter().map(|key| quote_json(key)).collect();
    let path = aggregate.client_path.as_ref().map_or("/", |path| path.as_str());
    let paste =
        format!("{{ \"UpstreamPathTemplate\": {}, \"RouteKeys\": [{}] }}", quote_json(path), keys.join(", "));
    let message =
        format!("unknown aggregator \"{}\": aggregators written in C# are not available", name.value);
    OcelotTolerated::new(codes::UNKNOWN_AGGREGATOR, OcelotBehavior::Status(404), message)
        .help(format!("without it the responses are combined by key:\n{paste}"))
        .help(
            "a template renders any other response: \"Aggregator\": \"{ \\\"name\\\": {{ parts.user.name }} }\"",
        )
        .report(diagnostics, scope.ocelot, name.span);
}

/// Quotes a text as JSON.
pub fn quote_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
