//! Document → blueprint: every rule is checked, every value resolved. Pure: no file, no clock, no name look-up.

mod admission;
mod aggregate;
mod attempts;
mod balancing;
mod caching;
mod cluster;
mod compression;
mod discovery;
mod dns;
mod dynamic;
mod fallback;
mod headers;
mod health;
mod listeners;
mod matching;
mod members;
mod names;
mod own;
mod pooling;
mod ranges;
mod registry;
mod route;
mod shaping;
mod sockets;
mod schemes;
mod tls;

use super::blueprint::{
    Blueprint, RouteBlueprint, TraceMode,
    discovery::{DynamicBlueprint, Registry},
};
use super::check::{self, Scope};
use super::routing::{RouteTable, RoutingRules};
use crate::config::document::{Document, GlobalDocument, TraceContextMode};
use crate::config::{Attached, Diagnostics, Loaded, Span, codes, de};
use crate::stages::custom::Catalogue;
use schemes::Schemes;
use std::collections::HashSet;
use std::sync::Arc;

/// Checks what was loaded and compiles it; no blueprint when anything is an error. Warnings do not stand in the way.
/// What there is to say is added to what loading said.
pub fn compile(loaded: &mut Loaded) -> Option<Blueprint> {
    compile_with(loaded, &Catalogue::default())
}

/// The same for a program with stages of its own.
pub fn compile_with(loaded: &mut Loaded, stages: &Catalogue) -> Option<Blueprint> {
    let root = loaded.root.as_ref()?;
    let options = loaded.options();
    let document: Document = de::read(root, &mut loaded.diagnostics, options);
    let nothing = GlobalDocument::default();
    let scope = Scope {
        handlers: Some((stages, root)),
        attached: Some(&loaded.attached),
        ..Scope::new(&document, &nothing, &loaded.sources, loaded.ocelot)
    };
    let out = &mut loaded.diagnostics;
    check::document(&scope, out);
    let schemes = Schemes::read(&document, scope.ocelot, &loaded.attached, out);
    let blueprint = blueprint(&scope, &schemes, &loaded.attached, out);
    (!out.has_errors()).then_some(blueprint)
}

fn blueprint(scope: &Scope, schemes: &Schemes, attached: &Attached, out: &mut Diagnostics) -> Blueprint {
    let document = scope.document;
    compatibility(scope, out);
    let (listeners, administration) = listeners::listeners(document, scope.sources, attached, out);
    let written = scope.global.discovery.as_ref();
    let registry = written.and_then(|written| discovery::registry(scope, written, out));
    let store = discovery::store(scope, registry.as_ref(), out);
    let Routes { routes, table, rules, dynamic } = routes(scope, registry, schemes, out);
    Blueprint {
        ocelot: scope.ocelot,
        listeners,
        administration,
        dns: dns::dns(document.dns.as_ref(), out),
        limits: own::limits(document.limits.as_ref().map(|limits| &limits.value), scope.ocelot, out),
        forwarded: own::forwarded(document.forwarded_headers.as_ref().map(|f| &f.value), scope.ocelot, out),
        trace_context: trace_context(document.trace_context.as_ref().map(|mode| mode.value), scope.ocelot),
        cache: caching::memory(document.cache.as_ref().map(|cache| &cache.value), out),
        access_log: document.access_log.as_ref().is_some_and(|on| on.value),
        reload_on_change: document.reload_on_change.as_ref().is_none_or(|on| on.value),
        base_url: base_url(scope),
        routes,
        table: Arc::new(table),
        rules,
        dynamic,
        store,
    }
}

/// All routes, and how they are found.
struct Routes {
    routes: Vec<RouteBlueprint>,
    table: RouteTable,
    rules: RoutingRules,
    dynamic: Option<DynamicBlueprint>,
}

fn routes(scope: &Scope, registry: Option<Registry>, schemes: &Schemes, out: &mut Diagnostics) -> Routes {
    let rules = if scope.ocelot { RoutingRules::ocelot() } else { RoutingRules::default() };
    let clusters = cluster::Clusters::read(scope, registry.as_ref(), out);
    let listeners = listeners::names(scope.document);
    let around = route::Around { registry, listeners, members: members::Members::new(scope), clusters };
    let mut routes = Vec::with_capacity(scope.routes().len());
    let mut specs = Vec::with_capacity(scope.routes().len());
    for (index, written) in scope.routes().iter().enumerate() {
        let (mut route, spec) = route::route(scope, &around, &rules, index, written, out);
        route.authentication = schemes.of(scope, written);
        route.cache = caching::of(scope, written, &route, out);
        routes.push(route);
        specs.extend(spec);
    }
    around.clusters.report_unused(out);
    for (route, spec) in aggregate::aggregates(scope, &around, schemes, &rules, &routes, out) {
        routes.push(route);
        specs.extend(spec);
    }
    names::give(&mut routes);
    let table = RouteTable::new(specs, rules);
    shadows(&table, &routes, scope, out);
    let dynamic = dynamic::read(scope, &around, schemes, &rules, out);
    Routes { routes, table, rules, dynamic }
}

/// Warns of routes that can never be found; a duplicate was told already.
fn shadows(table: &RouteTable, routes: &[RouteBlueprint], scope: &Scope, out: &mut Diagnostics) {
    let told = [codes::DUPLICATE_ROUTE, codes::DUPLICATE_AGGREGATE, codes::ROUTE_AND_AGGREGATE];
    let duplicates: HashSet<Span> =
        out.list.iter().filter(|d| told.contains(&d.code)).filter_map(|d| d.span).collect();
    for (hidden, by) in table.shadowed() {
        let (Some(hidden), Some(by)) = (routes.get(hidden), routes.get(by)) else { continue };
        let place = |route: &RouteBlueprint| route.matches.client_path.from.unwrap_or(route.span);
        let beside_aggregate = hidden.aggregate.is_some() && duplicates.contains(&place(by));
        if duplicates.contains(&place(hidden)) || beside_aggregate {
            continue;
        }
        let message = format!("route {} can never match", hidden.matches.client_path.value);
        let said = out.warning(codes::SHADOWED_ROUTE, place(hidden), message);
        let other = scope.sources.place(place(by));
        said.help(format!("all its requests go to {}, at {other}", by.matches.client_path.value));
        said.help("give it a higher Priority, or let it stand before the other");
    }
}

fn compatibility(scope: &Scope, out: &mut Diagnostics) {
    let written = check::filled(&scope.global.compatibility);
    if let Some(word) = written.filter(|word| !word.eq_ignore_ascii_case("Ocelot")) {
        let message = format!("Compatibility \"{}\" is unknown", word.value);
        out.error(codes::UNKNOWN_CHOICE, word.span, message).help("write \"Ocelot\", or leave it out");
    }
}

/// Ocelot adds nothing that is not asked for.
fn trace_context(written: Option<TraceContextMode>, ocelot: bool) -> Option<TraceMode> {
    match written {
        Some(TraceContextMode::Off) => None,
        None if ocelot => None,
        Some(TraceContextMode::Start) => Some(TraceMode::Start),
        Some(TraceContextMode::Continue) | None => Some(TraceMode::Continue),
    }
}

fn base_url(scope: &Scope) -> String {
    let written = check::filled(&scope.global.base_url).or(check::filled(&scope.document.base_url));
    written.map_or_else(|| "http://localhost:5000".to_owned(), |url| url.value.clone())
}

#[cfg(test)]
mod tests;
