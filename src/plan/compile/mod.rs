//! Compiles a document into a blueprint: every rule is checked, every value resolved. Pure: no files, no clock, no
//! name resolution.
//!
//! Envoy does this in its xDS config translation, YARP in `ProxyConfigManager`. The entry points are [`compile`] and
//! [`compile_with_stages`]; `control` calls them for every load and reload, `cli` for `check` and `explain`.
//! Compilers of stages are in `stages/*/compile.rs`, those of clusters in `plan/clusters`. Nothing here outlives the
//! call.

pub(super) mod administration;
mod aggregate;
mod resilience;
mod clusters;
mod discovery;
mod dns;
mod endpoint_port;
pub(super) mod fabric;
mod fabric_certificates;
mod fabric_naming;
mod fabric_open;
mod fabric_resolvers;
mod dynamic_routes;
mod gateway_stages;
mod internal_service;
mod listener_name;
mod listeners;
mod matcher;
mod aggregate_members;
mod route_names;
pub(super) mod limits;
mod provider_settings;
mod role_clusters;
mod roles;
pub(super) mod route;
mod route_backend;
mod route_cluster;
pub(super) mod route_compiler;
mod shared_state;
mod signalr;
mod state_keys;
mod telemetry;
mod transforms;
mod transport_listeners;
mod transport_matches;
mod transport_routes;
mod transport_settings;
mod unix_sockets;
mod waf;
mod weights;

use self::route_compiler::DocumentContext;
use super::administration::Administration;
use super::apis::{self, blueprint::ApisBlueprint, compile::CompiledApis};
use super::blueprint::{
    Blueprint, DynamicBlueprint, Limits, Listener, RouteBlueprint,
    discovery::{Registry, StoreBlueprint},
};
use super::check::{self, CheckContext, items};
use super::document::{self, Document, GlobalDocument};
use super::hubs::{self, HubsBlueprint};
use super::roles::{RolesBlueprint, compile as compile_roles, expand};
use super::route_tests;
use super::routing::{RouteTable, RoutingRules};
use super::transport::TransportRouteBlueprint;
use super::tunnels;
use crate::config::values::value_or_default;
use crate::config::{Diagnostics, Loaded, ReferencedFiles, Span, Spanned, codes};
use crate::stages::{
    authentication::scheme_set::SchemeSet,
    cache::{MemoryConfig, Mode, compile_memory},
    custom::StageRegistry,
    feature::GatewayFacts,
};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use transport_routes::TransportContext;

/// The directory of what is kept between two starts, next to the configuration.
const DEFAULT_DATA_DIRECTORY: &str = "data";

/// Checks what was loaded and compiles it; returns no blueprint if there is any error. Warnings do not prevent it.
/// Diagnostics are added to those of loading.
pub fn compile(loaded: &mut Loaded) -> Option<Blueprint> {
    compile_with_stages(loaded, &StageRegistry::default(), &[])
}

/// The same for a program with custom stages, and with internal services of these names.
pub fn compile_with_stages(
    loaded: &mut Loaded,
    stages: &StageRegistry,
    services: &[&str],
) -> Option<Blueprint> {
    let root = loaded.root.as_ref()?;
    let options = loaded.options();
    let mut document = document::read(root, &mut loaded.diagnostics, options);
    let nothing = GlobalDocument::default();
    let out = &mut loaded.diagnostics;
    let folder = |span: Span| loaded.sources.get(span.file)?.path.as_deref()?.parent();
    let roles = compile_roles::compile(&document, &folder, out);
    expand::expand(&mut document, &roles);
    waf::make_strict(&document, out);
    let waf = Arc::new(waf::policies(&document, &loaded.sources, &loaded.attached, out));
    let gateway = gateway_facts(&document, loaded.ocelot, &loaded.attached, out);
    let scope = CheckContext {
        handlers: Some((stages, root)),
        services,
        attached: Some(&loaded.attached),
        policies: Some(&loaded.policies),
        waf,
        roles: Some(&roles),
        ..CheckContext::new(&document, &nothing, &loaded.sources, gateway)
    };
    check::check_document(&scope, out);
    compatibility(&scope, out);
    let blueprint = blueprint(&scope, &loaded.attached, out);
    waf::finish(&scope, out);
    loaded.watched.extend(scope.waf.watched());
    (!out.has_errors()).then_some(blueprint)
}

/// Invalid limits are reported where the limits are compiled.
fn gateway_facts(
    document: &Document,
    ocelot: bool,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> GatewayFacts {
    let limits = document.limits.as_ref().map(|limits| &limits.value);
    let limits = limits::limits(limits, ocelot, &mut Diagnostics::default());
    let mut tls = items(&document.listeners).iter().filter_map(|listener| listener.tls.as_ref());
    let certificates = tls.any(|tls| tls.client_certificates.is_some());
    let schemes = &document.authentication_schemes;
    let has_shared_state = document.shared_state.is_some();
    let facts = (certificates, has_shared_state);
    GatewayFacts {
        ocelot,
        has_shared_state,
        max_body_bytes: Some(limits.client.body).filter(|max| *max < u64::MAX),
        max_headers_bytes: limits.client.head.max_fields_bytes as u64,
        max_header_count: limits.client.head.max_fields as u64,
        schemes: Arc::new(SchemeSet::compile(schemes, facts, ocelot, attached, diagnostics)),
    }
}

fn blueprint(scope: &CheckContext, attached: &ReferencedFiles, diagnostics: &mut Diagnostics) -> Blueprint {
    let document = scope.document;
    let listeners = listeners::listeners(document, scope.sources, attached, diagnostics);
    let administration = administration(scope, &listeners, attached, diagnostics);
    let registry = registry(scope, diagnostics);
    let store = discovery::store(scope, registry.as_ref(), diagnostics);
    let limits = limits::limits(document.limits.as_ref().map(|set| &set.value), scope.ocelot, diagnostics);
    let routes = routes(scope, registry, limits.connect_timeout, diagnostics);
    fabric_open::warn_open(&routes.routes, &listeners, diagnostics);
    let process = ProcessSections { listeners, administration, store, limits };
    with_routes(scope, attached, process, routes, diagnostics)
}

/// The sections of a blueprint that do not depend on routes.
struct ProcessSections {
    listeners: Vec<Listener>,
    administration: Administration,
    store: Option<StoreBlueprint>,
    limits: Limits,
}

/// The blueprint of the routes and of what depends on them.
fn with_routes(
    scope: &CheckContext,
    attached: &ReferencedFiles,
    process: ProcessSections,
    routes: Routes,
    diagnostics: &mut Diagnostics,
) -> Blueprint {
    let document = scope.document;
    let ProcessSections { listeners, administration, store, limits } = process;
    let Routes { routes, table, rules, dynamic, resolvers, hubs, apis, transport_routes, roles } = routes;
    Blueprint {
        ocelot: scope.ocelot,
        tunnels: tunnels::compile(scope, &routes, &listeners, diagnostics),
        stages: gateway_stages::gateway_stages(scope, &listeners, diagnostics),
        tests: route_tests::compile(document, &routes, &listeners, dynamic.is_some(), diagnostics),
        listeners,
        administration: Arc::new(administration),
        dns: dns::dns(document.dns.as_ref(), diagnostics),
        limits,
        shared_state: shared_state::shared_state(document.shared_state.as_ref(), attached, diagnostics),
        cache: cache_memory(document, diagnostics),
        telemetry: telemetry::telemetry(scope, diagnostics),
        reload_on_change: document.reload_on_change.as_ref().is_none_or(|on| on.value),
        base_url: scope.base_url(),
        has_http_cache: routes.iter().any(caches_by_http),
        routes,
        table: Arc::new(table),
        rules,
        escaped_separators: value_or_default(&scope.global.path_with_escaped_separators),
        dynamic,
        resolvers,
        hubs,
        transport_routes,
        roles: Arc::new(roles),
        store,
        data_directory: data_directory(scope, diagnostics),
        apis: apis.map(Arc::new),
        tests_before_apply: document.tests_before_apply.as_ref().is_some_and(|on| on.value),
    }
}

fn administration(
    scope: &CheckContext,
    listeners: &[Listener],
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Administration {
    let document = scope.document;
    let public = scope.roles.map(roles::public_addresses).unwrap_or_default();
    let addresses = (listeners, public.as_slice());
    let compiled = administration::administration(document, addresses, scope.sources, attached, diagnostics);
    check::targets::check(scope, &compiled.address, diagnostics);
    compiled
}

fn registry(scope: &CheckContext, diagnostics: &mut Diagnostics) -> Option<Registry> {
    let provider = scope.global.discovery.as_ref()?;
    discovery::registry(scope, provider, diagnostics)
}

fn cache_memory(document: &Document, diagnostics: &mut Diagnostics) -> MemoryConfig {
    let section = document.cache.as_ref().map(|cache| &cache.value);
    compile_memory(section, document.shared_state.is_some(), diagnostics)
}

/// The directory of what is kept, next to the configuration file unless its path is absolute.
fn data_directory(scope: &CheckContext, diagnostics: &mut Diagnostics) -> PathBuf {
    let setting = scope.document.data_directory.as_ref();
    let written = setting.map_or(DEFAULT_DATA_DIRECTORY, |set| set.trim());
    if let Some(set) = setting.filter(|set| set.trim().is_empty() || set.contains('\0')) {
        diagnostics
            .error(codes::DATA_DIRECTORY, set.span, "invalid DataDirectory: must be the path of a directory")
            .help("write a path such as \"data\" or \"/var/lib/margay\", or remove the setting");
    }
    let file =
        setting.map_or_else(|| scope.sources.iter().next().map(|(id, _)| id), |set| Some(set.span.file));
    let path = file.and_then(|file| scope.sources.get(file)?.path.as_deref());
    path.and_then(Path::parent).map_or_else(|| PathBuf::from(written), |folder| folder.join(written))
}

fn caches_by_http(route: &RouteBlueprint) -> bool {
    route.stages.cache.as_ref().is_some_and(|cache| cache.mode == Mode::Http)
}

/// All routes, and the table that finds them.
struct Routes {
    routes: Vec<RouteBlueprint>,
    table: RouteTable,
    rules: RoutingRules,
    dynamic: Option<DynamicBlueprint>,
    resolvers: Vec<crate::backend::fabric::ResolverConfig>,
    hubs: HubsBlueprint,
    apis: Option<ApisBlueprint<RouteBlueprint>>,
    transport_routes: Vec<TransportRouteBlueprint>,
    roles: RolesBlueprint,
}

/// What routes refer to.
fn document_context<'d>(
    scope: &CheckContext<'d>,
    registry: Option<Registry>,
    diagnostics: &mut Diagnostics,
) -> DocumentContext<'d> {
    let clusters = clusters::Clusters::read(scope, registry.as_ref(), diagnostics);
    let listeners = listeners::names(scope.document);
    let forwarded = scope.document.forwarded_headers.as_ref().map(|forwarded| &forwarded.value);
    let find_cluster = |name: &Spanned<String>, diagnostics: &mut Diagnostics| {
        let found = clusters.named(name).cloned();
        if found.is_none() {
            clusters.unknown(name, diagnostics);
        }
        found
    };
    let hubs = hubs::compile(scope, &find_cluster, diagnostics);
    DocumentContext {
        registry,
        listeners,
        members: aggregate_members::AggregateMembers::new(scope),
        clusters,
        resolvers: fabric_resolvers::FabricResolvers::read(scope, diagnostics),
        adds_forwarded_fields: limits::forwarded(forwarded, scope.ocelot, &mut Diagnostics::default())
            .add_to_request,
        hubs,
    }
}

fn routes(
    scope: &CheckContext,
    registry: Option<Registry>,
    connect_timeout: Duration,
    diagnostics: &mut Diagnostics,
) -> Routes {
    let rules = if scope.ocelot { RoutingRules::ocelot() } else { RoutingRules::default() };
    let context = document_context(scope, registry, diagnostics);
    let mut routes = Vec::with_capacity(scope.routes().len());
    let mut specs = Vec::with_capacity(scope.routes().len());
    for (index, document) in scope.routes().iter().enumerate() {
        let (route, spec) = route::route(scope, &context, &rules, index, document, diagnostics);
        routes.push(route);
        specs.extend(spec);
    }
    let apis = compile_apis(scope, &context, &mut routes, diagnostics);
    let transport = TransportContext {
        registry: context.registry.as_ref(),
        clusters: &context.clusters,
        connect_timeout,
    };
    let transport_routes = transport_routes::transport_routes(scope, &transport, diagnostics);
    let roles = roles::complete(scope, (&context.clusters, routes.as_slice()), connect_timeout, diagnostics);
    context.clusters.report_unused(diagnostics);
    for (route, spec) in aggregate::aggregates(scope, &context, &rules, &routes, diagnostics) {
        routes.push(route);
        specs.extend(spec);
    }
    route_names::assign_names(&mut routes);
    shared_state::check_sessions(&routes, scope.document.shared_state.is_some(), diagnostics);
    let table = RouteTable::new(specs, rules);
    warn_unreachable_routes(&table, &routes, scope, diagnostics);
    let dynamic = dynamic_routes::read(scope, &context, &rules, diagnostics);
    context.resolvers.report_unused(diagnostics);
    let (resolvers, hubs) = (context.resolvers.into_configs(), context.hubs);
    Routes { routes, table, rules, dynamic, resolvers, hubs, apis, transport_routes, roles }
}

/// The APIs, and the programs of the documents that routes name.
fn compile_apis(
    scope: &CheckContext,
    context: &route_compiler::DocumentContext,
    routes: &mut [RouteBlueprint],
    diagnostics: &mut Diagnostics,
) -> Option<ApisBlueprint<RouteBlueprint>> {
    let policies = scope.policies?;
    let root = scope.handlers.as_ref().map(|(_, root)| *root);
    let CompiledApis { apis, documents } =
        apis::compile::compile(scope, context, policies, root, diagnostics);
    let mut builder = apis::programs::ProgramBuilder::new(&documents);
    for route in routes {
        let named: Vec<String> = route.policies.iter().map(|name| name.to_lowercase()).collect();
        if named.iter().any(|name| documents.all.contains_key(name)) {
            let chain = named.into_iter().rev().chain(["global".to_owned()]);
            route.documents = Some(builder.program(chain.collect()));
        }
    }
    apis
}

/// Warns of routes that can never match; duplicates have been reported already.
fn warn_unreachable_routes(
    table: &RouteTable,
    routes: &[RouteBlueprint],
    scope: &CheckContext,
    diagnostics: &mut Diagnostics,
) {
    let reported = [codes::DUPLICATE_ROUTE, codes::DUPLICATE_AGGREGATE, codes::ROUTE_AND_AGGREGATE];
    let duplicates: HashSet<Span> =
        diagnostics.list.iter().filter(|d| reported.contains(&d.code)).filter_map(|d| d.span).collect();
    for (hidden, by) in table.unreachable_routes() {
        let (Some(hidden), Some(by)) = (routes.get(hidden), routes.get(by)) else { continue };
        let span_of = |route: &RouteBlueprint| route.matcher.client_path.origin.unwrap_or(route.span);
        let same_as_aggregate = hidden.aggregate.is_some() && duplicates.contains(&span_of(by));
        if duplicates.contains(&span_of(hidden)) || same_as_aggregate {
            continue;
        }
        let message = format!("route {} can never match", hidden.matcher.client_path.value);
        let diagnostic = diagnostics.warning(codes::SHADOWED_ROUTE, span_of(hidden), message);
        let other = scope.sources.location(span_of(by));
        diagnostic.help(format!("all its requests match {}, at {other}", by.matcher.client_path.value));
        diagnostic.help("give it a higher Priority, or move it before the other route");
    }
}

fn compatibility(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let compatibility = check::non_blank(&scope.global.compatibility);
    if let Some(mode) = compatibility.filter(|mode| !mode.eq_ignore_ascii_case("Ocelot")) {
        let message = format!("unknown Compatibility \"{}\"", mode.value);
        diagnostics
            .error(codes::UNKNOWN_CHOICE, mode.span, message)
            .help("expected \"Ocelot\", or no Compatibility");
    }
}

#[cfg(test)]
mod tests;
