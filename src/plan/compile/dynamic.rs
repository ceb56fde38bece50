//! Dynamic routing: `DynamicRoutes` and the global options become routes without a template of their own.

use super::{caching, discovery, names, route, schemes::Schemes};
use crate::config::document::{Apart, DynamicRouteDocument, GlobalDocument, RouteDocument, Set};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::blueprint::{
    RouteBlueprint,
    discovery::{DynamicBlueprint, DynamicEntry, Registry},
};
use crate::plan::check::{Groups, Scope, filled, items};
use crate::plan::routing::RoutingRules;

/// What the routes of services are called that have no entry of their own.
const GENERAL: &str = "dynamic";

/// Reads the options of services without routes; none when dynamic routing is off.
pub fn read(
    scope: &Scope,
    around: &route::Around,
    schemes: &Schemes,
    rules: &RoutingRules,
    out: &mut Diagnostics,
) -> Option<DynamicBlueprint> {
    let Some((span, registry)) = registry(scope, around) else {
        useless(scope, out);
        return None;
    };
    let global = global(scope);
    let scope = Scope {
        global: &global,
        groups: Groups::new(&global),
        schemes: scope.schemes.clone(),
        ..Scope::new(scope.document, &global, scope.sources, scope.ocelot)
    };
    let read = |written: &Spanned<RouteDocument>, out: &mut Diagnostics| -> RouteBlueprint {
        let (mut route, _) = route::route(&scope, around, rules, usize::MAX, written, out);
        route.authentication = schemes.of(&scope, written);
        route.cache = caching::of(&scope, written, &route, out);
        route
    };
    let general = Spanned::new(document(&scope, None), span);
    let mut routes = vec![read(&general, out)];
    let entries = entries(&scope, out);
    for (entry, ..) in &entries {
        routes.push(read(&Spanned::new(document(&scope, Some(entry)), entry.span), out));
    }
    names::give(&mut routes);
    let mut routes = routes.into_iter();
    let general = RouteBlueprint { name: GENERAL.to_owned(), ..routes.next()? };
    let entries = entries.into_iter().zip(routes).map(|((_, service, namespace), route)| {
        let dot = if namespace.is_empty() { "" } else { "." };
        let route = RouteBlueprint { name: format!("{namespace}{dot}{service}"), ..route };
        DynamicEntry { service, namespace, route }
    });
    Some(DynamicBlueprint { registry, general, entries: entries.collect() })
}

/// The registry, where there are neither routes nor aggregates, and it can be asked about services of any name. Ocelot
/// wants a port too.
fn registry(
    scope: &Scope,
    around: &route::Around,
) -> Option<(Span, std::sync::Arc<crate::backend::discovery::Settings>)> {
    let written = scope.global.discovery.as_ref()?;
    let port = written.port.as_ref().is_some_and(|port| port.value > 0);
    let wanted = port || !scope.ocelot && filled(&written.kind).is_some();
    if !wanted || !scope.routes().is_empty() || !scope.aggregates().is_empty() {
        return None;
    }
    match &around.registry {
        Some(Registry::Followed(settings)) => Some((written.span, settings.clone())),
        _ => None,
    }
}

fn useless(scope: &Scope, out: &mut Diagnostics) {
    let Some(list) = scope.document.dynamic_routes.as_ref().filter(|list| !list.is_empty()) else { return };
    let message = "DynamicRoutes are never used here";
    let said = out.lenient(scope.ocelot, codes::USELESS_DYNAMIC, list.span, message);
    said.help("they hold where there are neither Routes nor Aggregates, and a ServiceDiscoveryProvider that is a registry");
    if scope.ocelot {
        said.help("Ocelot wants the provider to have a Port, too");
    }
}

/// The global options that hold for dynamic routes: in Ocelot neither header transforms, request ids nor address lists.
fn global(scope: &Scope) -> GlobalDocument {
    let mut global = scope.global.clone();
    if scope.ocelot {
        global.request_headers = None;
        global.response_headers = None;
        global.request_id_key = None;
        global.security = None;
    }
    global
}

/// Every entry with its service and namespace.
fn entries<'d>(
    scope: &Scope<'d>,
    out: &mut Diagnostics,
) -> Vec<(&'d Spanned<DynamicRouteDocument>, String, String)> {
    let mut entries: Vec<(&Spanned<DynamicRouteDocument>, String, String)> = Vec::new();
    for entry in items(&scope.document.dynamic_routes) {
        let Some(name) = filled(&entry.service_name) else {
            let message = "a dynamic route has no ServiceName";
            out.lenient(scope.ocelot, codes::BAD_DYNAMIC, entry.span, message)
                .help("name the service whose options these are");
            continue;
        };
        let service = discovery::service(scope.ocelot, name, &entry.service_namespace, &None, out);
        let twice = entries.iter().find(|(_, known, of)| (known, of) == (&service.name, &service.namespace));
        if let Some((first, ..)) = twice {
            let message = format!("a second dynamic route for the service \"{}\"", service.name);
            let place = scope.sources.place(first.span);
            out.lenient(scope.ocelot, codes::BAD_DYNAMIC, name.span, message)
                .help(format!("the first, at {place}, is the one that is used"));
            continue;
        }
        entries.push((entry, service.name, service.namespace));
    }
    entries
}

/// A route that says what the entry says, and what only dynamic routes take from the global options.
fn document(scope: &Scope, entry: Option<&DynamicRouteDocument>) -> RouteDocument {
    let nothing = DynamicRouteDocument::default();
    let (entry, global) = (entry.unwrap_or(&nothing), scope.global);
    let name = filled(&entry.service_name).map(|name| name.as_str());
    let span = entry.service_name.as_ref().or(global.discovery.as_ref().and_then(|d| d.host.as_ref()));
    let span = span.map(|set| set.span).or(global.discovery.as_ref().map(|d| d.span)).unwrap_or_default();
    let own = |text: String| Some(Spanned::new(text, span));
    let text = |own: &Set<String>, global: &Set<String>| filled(own).or(filled(global)).cloned();
    RouteDocument {
        client_path: own(format!("/{}", name.unwrap_or("service"))),
        backend_path: own("/".to_owned()),
        service_name: own(name.unwrap_or("service").to_owned()),
        service_namespace: entry.service_namespace.clone(),
        key: entry.key.clone(),
        scheme: text(&entry.scheme, &global.scheme),
        http_version: text(&entry.http_version, &global.http_version),
        http_version_policy: text(&entry.http_version_policy, &global.http_version_policy),
        authentication: entry.authentication.clone(),
        cache: entry.cache.clone(),
        compression: entry.compression.clone(),
        http_handler: entry.http_handler.clone(),
        load_balancer: entry.load_balancer.clone(),
        qos: entry.qos.clone(),
        rate_limit: old_or(&entry.old_rate_limit, &entry.rate_limit),
        timeout: entry.timeout.clone(),
        metadata: entry.metadata.clone(),
        policies: entry.policies.clone(),
        ..RouteDocument::default()
    }
}

fn old_or<T: Clone>(old: &Apart<T>, new: &Apart<T>) -> Apart<T> {
    old.as_ref().or(new.as_ref()).cloned()
}
