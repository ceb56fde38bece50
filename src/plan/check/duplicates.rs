//! No two routes take the same request as far as their texts tell.

use super::{Scope, add, items};
use crate::config::codes;
use crate::config::document::{RouteDocument, Set, Texts};
use crate::config::{Diagnostics, Span, Spanned};
use std::collections::HashMap;

/// What makes two routes the same but for their methods. Compared as texts: `/a/{x}` and `/a/{y}` differ.
#[derive(PartialEq, Eq, Hash)]
struct Sameness<'d> {
    path: &'d str,
    host: Option<&'d str>,
    headers: Vec<(&'d str, &'d str)>,
}

/// A host for comparison. To Ocelot an empty one is another text than none; to us it is none.
pub fn host(host: &Set<String>, ocelot: bool) -> Option<&str> {
    host.as_ref().map(|host| host.as_str()).filter(|host| ocelot || !host.is_empty())
}

fn headers(templates: &Texts) -> Vec<(&str, &str)> {
    let entries = templates.iter().flat_map(|map| map.iter());
    let mut all: Vec<_> =
        entries.map(|(name, text)| (name.as_str(), text.as_ref().map_or("", |text| text.as_str()))).collect();
    all.sort_unstable();
    all
}

/// Reports every route that has a method in common with an equal route before it.
pub fn check(scope: &Scope, out: &mut Diagnostics) {
    let mut groups: HashMap<Sameness, Vec<&Spanned<RouteDocument>>> =
        HashMap::with_capacity(scope.routes().len());
    for route in scope.routes() {
        let path = route.client_path.as_ref().map_or("", |path| path.as_str());
        let host = host(&route.host, scope.ocelot);
        let same = Sameness { path, host, headers: headers(&route.header_templates) };
        groups.entry(same).or_default().push(route);
    }
    for group in groups.into_values().filter(|group| group.len() > 1) {
        clashes(scope, &group, out);
    }
}

fn clashes(scope: &Scope, group: &[&Spanned<RouteDocument>], out: &mut Diagnostics) {
    let mut taken: HashMap<String, &Spanned<RouteDocument>> = HashMap::new();
    let any = group.iter().find(|route| items(&route.methods).is_empty());
    for (position, route) in group.iter().enumerate() {
        let first = match any {
            Some(any) if !std::ptr::eq(*any, *route) => Some(if position == 0 { group[1] } else { group[0] }),
            _ => clash(route, &taken),
        };
        match first {
            Some(first) => report(scope, route, first, out),
            None => taken.extend(methods(route).into_iter().map(|method| (method, *route))),
        }
    }
}

/// The route before it that takes one of its methods; itself when it names one method in two spellings, which
/// Ocelot refuses only beside an equal route.
fn clash<'r>(
    route: &'r Spanned<RouteDocument>,
    taken: &HashMap<String, &'r Spanned<RouteDocument>>,
) -> Option<&'r Spanned<RouteDocument>> {
    let methods = methods(route);
    let twice = methods.iter().enumerate().any(|(at, method)| methods[..at].contains(method));
    methods.iter().find_map(|method| taken.get(method).copied()).or(twice.then_some(route))
}

/// The methods in small letters, equal spellings once.
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
    scope: &Scope,
    route: &Spanned<RouteDocument>,
    first: &Spanned<RouteDocument>,
    out: &mut Diagnostics,
) {
    let (place, path) = place(route);
    let message = match std::ptr::eq(route, first) {
        true => {
            format!("route {path} names one method in two spellings, beside another route for the same path")
        }
        false => format!("route {path} has a duplicate"),
    };
    let said = out.error(codes::DUPLICATE_ROUTE, place, message);
    if !std::ptr::eq(route, first) {
        let other = scope.sources.place(self::place(first).0);
        add(said, format!("the same path, host and headers, and a method in common, stand at {other}"));
    }
    add(said, "tell them apart by UpstreamHttpMethod, UpstreamHost or UpstreamHeaderTemplates".to_owned());
}

fn place(route: &Spanned<RouteDocument>) -> (Span, &str) {
    match &route.client_path {
        Some(path) => (path.span, &path.value),
        None => (route.span, ""),
    }
}
