//! Dynamic routing: `DynamicRoutes` and the global options become routes without their own template.

use super::{discovery, route, route_compiler, route_names};
use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::blueprint::{DynamicBlueprint, DynamicEntry, RouteBlueprint, discovery::Registry};
use crate::plan::check::{CheckContext, items, non_blank};
use crate::plan::clusters::ClusterGroups;
use crate::plan::document::{DynamicRouteDocument, GlobalDocument, RouteDocument, Setting};
use crate::plan::routing::RoutingRules;
use crate::plan::stage_options::StageGroups;
use crate::plan::{clusters, stage_options};

/// The name of the routes of services without an entry.
const DEFAULT_SERVICE: &str = "dynamic";

/// Compiles the options of services without routes; `None` when dynamic routing is off.
pub fn read(
    scope: &CheckContext,
    context: &route_compiler::DocumentContext,
    rules: &RoutingRules,
    diagnostics: &mut Diagnostics,
) -> Option<DynamicBlueprint> {
    let Some((span, registry)) = registry(scope, context) else {
        report_unused(scope, diagnostics);
        return None;
    };
    let global = global(scope);
    let scope = CheckContext {
        global: &global,
        stages: StageGroups::new(&global),
        clusters: ClusterGroups::new(&global),
        ..CheckContext::new(scope.document, &global, scope.sources, scope.gateway.clone())
    };
    let read = |document: &Spanned<RouteDocument>, diagnostics: &mut Diagnostics| -> RouteBlueprint {
        route::route(&scope, context, rules, usize::MAX, document, diagnostics).0
    };
    let general = Spanned::new(to_route_document(&scope, None), span);
    let mut routes = vec![read(&general, diagnostics)];
    let entries = entries(&scope, diagnostics);
    for (entry, ..) in &entries {
        routes.push(read(&Spanned::new(to_route_document(&scope, Some(entry)), entry.span), diagnostics));
    }
    route_names::assign_names(&mut routes);
    let mut routes = routes.into_iter();
    let general = RouteBlueprint { name: DEFAULT_SERVICE.to_owned(), ..routes.next()? };
    let entries = entries.into_iter().zip(routes).map(|((_, service, namespace), route)| {
        let dot = if namespace.is_empty() { "" } else { "." };
        let route = RouteBlueprint { name: format!("{namespace}{dot}{service}"), ..route };
        DynamicEntry { service, namespace, route }
    });
    Some(DynamicBlueprint { registry, defaults: general, entries: entries.collect() })
}

/// The registry, if there are neither routes nor aggregates and it can look up services by name. Ocelot requires a
/// port too.
fn registry(
    scope: &CheckContext,
    context: &route_compiler::DocumentContext,
) -> Option<(Span, std::sync::Arc<crate::backend::discovery::ProviderSettings>)> {
    let provider = scope.global.discovery.as_ref()?;
    let port = provider.port.as_ref().is_some_and(|port| port.value > 0);
    let wanted = port || !scope.ocelot && non_blank(&provider.kind).is_some();
    if !wanted || !scope.routes().is_empty() || !scope.aggregates().is_empty() {
        return None;
    }
    match &context.registry {
        Some(Registry::Provider(settings)) => Some((provider.span, settings.clone())),
        _ => None,
    }
}

fn report_unused(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let Some(list) = scope.document.dynamic_routes.as_ref().filter(|list| !list.is_empty()) else {
        return;
    };
    let message = "DynamicRoutes have no effect";
    let diagnostic =
        diagnostics.error_or_ocelot_warning(scope.ocelot, codes::USELESS_DYNAMIC, list.span, message);
    diagnostic.help(
        "they require a ServiceDiscoveryProvider that is a registry, and neither Routes nor Aggregates",
    );
    if scope.ocelot {
        diagnostic.help("Ocelot also requires a Port of the provider");
    }
}

/// The global options that apply to dynamic routes: in Ocelot neither header transforms, request ids nor address
/// lists.
fn global(scope: &CheckContext) -> GlobalDocument {
    let mut global = scope.global.clone();
    if scope.ocelot {
        global.request_headers = None;
        global.response_headers = None;
        global.request_id_key = None;
        global.ip_filter = None;
    }
    global
}

/// Every entry with its service and namespace.
fn entries<'d>(
    scope: &CheckContext<'d>,
    diagnostics: &mut Diagnostics,
) -> Vec<(&'d Spanned<DynamicRouteDocument>, String, String)> {
    let mut entries: Vec<(&Spanned<DynamicRouteDocument>, String, String)> = Vec::new();
    for entry in items(&scope.document.dynamic_routes) {
        let Some(name) = non_blank(&entry.service_name) else {
            let message = "dynamic route without ServiceName";
            diagnostics
                .error_or_ocelot_warning(scope.ocelot, codes::BAD_DYNAMIC, entry.span, message)
                .help("set the service that these options apply to");
            continue;
        };
        let service = discovery::service(scope.ocelot, name, &entry.service_namespace, &None, diagnostics);
        let duplicate =
            entries.iter().find(|(_, known, of)| (known, of) == (&service.name, &service.namespace));
        if let Some((first, ..)) = duplicate {
            let message = format!("duplicate dynamic route for the service \"{}\"", service.name);
            let location = scope.sources.location(first.span);
            diagnostics
                .error_or_ocelot_warning(scope.ocelot, codes::BAD_DYNAMIC, name.span, message)
                .help(format!("the first one, at {location}, is used"));
            continue;
        }
        entries.push((entry, service.name, service.namespace));
    }
    entries
}

/// A route with the settings of the entry, and those that only dynamic routes take from the global options.
fn to_route_document(scope: &CheckContext, entry: Option<&DynamicRouteDocument>) -> RouteDocument {
    let nothing = DynamicRouteDocument::default();
    let (entry, global) = (entry.unwrap_or(&nothing), scope.global);
    let name = non_blank(&entry.service_name).map(|name| name.as_str());
    let span = entry.service_name.as_ref().or(global.discovery.as_ref().and_then(|d| d.host.as_ref()));
    let span = span.map(|set| set.span).or(global.discovery.as_ref().map(|d| d.span)).unwrap_or_default();
    let own = |text: String| Some(Spanned::new(text, span));
    let text =
        |own: &Setting<String>, global: &Setting<String>| non_blank(own).or(non_blank(global)).cloned();
    let mut route = RouteDocument {
        client_path: own(format!("/{}", name.unwrap_or("service"))),
        backend_path: own("/".to_owned()),
        service_name: own(name.unwrap_or("service").to_owned()),
        service_namespace: entry.service_namespace.clone(),
        key: entry.key.clone(),
        scheme: text(&entry.scheme, &global.scheme),
        http_version: text(&entry.http_version, &global.http_version),
        http_version_policy: text(&entry.http_version_policy, &global.http_version_policy),
        timeout: entry.timeout.clone(),
        metadata: entry.metadata.clone(),
        policies: entry.policies.clone(),
        waf: entry.waf.clone(),
        ..RouteDocument::default()
    };
    stage_options::copy_from_dynamic(entry, &mut route);
    clusters::copy_from_dynamic(entry, &mut route);
    route
}
