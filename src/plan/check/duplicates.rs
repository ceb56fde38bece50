//! No two routes match the same requests, as far as their texts show.

use super::{CheckContext, items};
use crate::config::codes;
use crate::config::{Diagnostics, Span, Spanned};
use crate::plan::document::{RouteDocument, Setting, StringList};
use std::collections::HashMap;

/// What identifies a route apart from its methods. Compared as text: `/a/{x}` and `/a/{y}` differ.
#[derive(PartialEq, Eq, Hash)]
struct RouteIdentity<'d> {
    path: &'d str,
    host: Option<&'d str>,
    headers: Vec<(&'d str, &'d str)>,
    listeners: Vec<&'d str>,
}

/// A host for comparison. In Ocelot an empty host differs from a missing one; in our mode it does not.
pub fn host(host: &Setting<String>, ocelot: bool) -> Option<&str> {
    host.as_ref().map(|host| host.as_str()).filter(|host| ocelot || !host.is_empty())
}

fn headers(templates: &StringList) -> Vec<(&str, &str)> {
    let entries = templates.iter().flat_map(|map| map.iter());
    let mut all: Vec<_> =
        entries.map(|(name, text)| (name.as_str(), text.as_ref().map_or("", |text| text.as_str()))).collect();
    all.sort_unstable();
    all
}

fn listeners(route: &RouteDocument) -> Vec<&str> {
    let mut all: Vec<_> = items(&route.listeners).iter().map(|name| name.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Reports every route that has a method in common with an equal one before it.
pub fn check(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let mut places: HashMap<RouteIdentity, usize> = HashMap::with_capacity(scope.routes().len());
    let mut groups: Vec<Vec<&Spanned<RouteDocument>>> = Vec::with_capacity(scope.routes().len());
    for route in scope.routes() {
        let path = route.client_path.as_ref().map_or("", |path| path.as_str());
        let host = host(&route.host, scope.ocelot);
        let index = *places
            .entry(RouteIdentity {
                path,
                host,
                headers: headers(&route.header_templates),
                listeners: listeners(route),
            })
            .or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
        groups[index].push(route);
    }
    for group in groups.iter().filter(|group| group.len() > 1) {
        report_conflicts(scope, group, diagnostics);
    }
}

/// Reports every route of a group of equal ones that conflicts with an earlier one.
fn report_conflicts(scope: &CheckContext, group: &[&Spanned<RouteDocument>], diagnostics: &mut Diagnostics) {
    let mut taken: HashMap<String, &Spanned<RouteDocument>> = HashMap::new();
    let mut any: Option<&Spanned<RouteDocument>> = None;
    for (position, route) in group.iter().enumerate() {
        let methods = methods(route);
        let first = match any {
            Some(any) => Some(any),
            None if methods.is_empty() => group[..position].first().copied(),
            None => find_conflict(route, &methods, &taken),
        };
        if let Some(first) = first {
            report(scope, route, first, diagnostics);
        }
        if methods.is_empty() {
            any = any.or(Some(route));
        }
        for method in methods {
            taken.entry(method).or_insert(route);
        }
    }
}

/// The earlier route that has one of its methods; the route itself when it names one method in two spellings, which
/// Ocelot rejects only next to an equal route.
fn find_conflict<'r>(
    route: &'r Spanned<RouteDocument>,
    methods: &[String],
    taken: &HashMap<String, &'r Spanned<RouteDocument>>,
) -> Option<&'r Spanned<RouteDocument>> {
    let has_duplicate = methods.iter().enumerate().any(|(at, method)| methods[..at].contains(method));
    methods.iter().find_map(|method| taken.get(method).copied()).or(has_duplicate.then_some(route))
}

/// The methods in lower case, equal spellings once.
fn methods(route: &RouteDocument) -> Vec<String> {
    let mut spellings: Vec<&str> = Vec::new();
    for method in items(&route.methods) {
        if !spellings.contains(&method.as_str()) {
            spellings.push(method);
        }
    }
    spellings.into_iter().map(str::to_lowercase).collect()
}

fn report(
    scope: &CheckContext,
    route: &Spanned<RouteDocument>,
    first: &Spanned<RouteDocument>,
    diagnostics: &mut Diagnostics,
) {
    let (span, path) = span_and_path(route);
    let message = match std::ptr::eq(route, first) {
        true => {
            format!("route {path} lists one method in two spellings, and another route has the same path")
        }
        false => format!("duplicate route {path}"),
    };
    let diagnostic = diagnostics.error(codes::DUPLICATE_ROUTE, span, message);
    if !std::ptr::eq(route, first) {
        let other = scope.sources.location(span_and_path(first).0);
        diagnostic.help(format!(
            "the route at {other} has the same path, host and headers, and a method in common"
        ));
    }
    diagnostic.help("distinguish them by UpstreamHttpMethod, UpstreamHost or UpstreamHeaderTemplates");
}

fn span_and_path(route: &Spanned<RouteDocument>) -> (Span, &str) {
    match &route.client_path {
        Some(path) => (path.span, &path.value),
        None => (route.span, ""),
    }
}
