//! Builds a plan from a blueprint; the state of unchanged routes and clusters (counters, pools, names) is reused.

use super::{
    aggregate,
    apis::{
        self,
        around::{is_catch_all, with_program},
        blueprint::ApisBlueprint,
        build::PlanApis,
    },
    blueprint::{Blueprint, ClusterBlueprint, DynamicBlueprint, HttpVersion, RouteBlueprint},
    client_fields,
    cluster_builder::{Clusters, agent_clusters, all_clusters, roles_plan},
    compiled::{ClientPace, PathHashKey, Plan, Route, Target},
    connection_affinity,
    dynamic_routes::DynamicRoutes,
    fabric_target,
    hubs::{self, HubRouteBlueprint, build::PlanHubs},
    internal_target, listeners,
    process_state::ProcessState,
    routing::UrlTemplate,
    telemetry::PlanTelemetry,
    tunnels::target::AgentTarget,
};
use crate::{
    backend::{
        attempt::{AttemptConfig, Http2, Resilience},
        balance::{BalancerKind, HashPolicy},
        fabric::Resolver,
    },
    pipeline::{
        error::ErrorCode,
        head::Version,
        stage::{BoxStage, StageEntry},
    },
    stages::{
        feature::{BuildContext, RouteRole},
        program::{entities::Shared, run::RouteProgram},
    },
    state::SharedState,
    telemetry::Metrics,
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Time for the complete response of an event handler, unless its own is set.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// Builds the plan. The error is an invalid template that was not checked before.
pub fn build(blueprint: &Blueprint, id: String, process_state: &ProcessState) -> Result<Plan, String> {
    let telemetry = configure_process(blueprint, process_state)?;
    let shared_state = blueprint.shared_state.as_ref().map(|config| process_state.shared_states.get(config));
    let resolvers = fabric_target::open_resolvers(blueprint, process_state);
    let roles = roles_plan(blueprint, process_state);
    let mut clusters = Clusters::new(roles.clone());
    let hubs = hub_services(blueprint, process_state, shared_state.as_ref(), &mut clusters);
    let (routes, apis) = routes(blueprint, process_state, (&resolvers, &hubs), &mut clusters);
    let listeners = listeners::of_blueprint(blueprint, process_state, &roles, &mut clusters)?;
    Ok(Plan {
        resolvers,
        id,
        ocelot: blueprint.ocelot,
        client_fields: client_fields::rules(blueprint, process_state),
        proxies: blueprint.stages.forwarded_headers.clone().unwrap_or_default().proxies,
        limits: blueprint.limits.in_process(process_state.connections),
        buffering_memory: process_state.buffering_memory.clone(),
        administration: blueprint.administration.clone(),
        expiries: listeners::certificate_expiries(blueprint),
        telemetry,
        shared_state,
        tunnels: blueprint.tunnels.clone(),
        preflight: blueprint.routes.iter().any(|route| route.stages.cors.is_some()),
        uses_listener_names: blueprint.uses_listener_names(),
        table: blueprint.table.clone(),
        escaped_separators: blueprint.escaped_separators,
        clusters: all_clusters(&routes, &hubs, &listeners),
        listeners,
        roles,
        hubs,
        routes,
        apis,
        dynamic: blueprint.dynamic.as_ref().map(|options| dynamic_routes(blueprint, options, process_state)),
    })
}

/// Applies the settings of DNS, and opens telemetry: the stages of the routes share the tracer.
fn configure_process(blueprint: &Blueprint, process_state: &ProcessState) -> Result<PlanTelemetry, String> {
    process_state.names.dns().configure(&blueprint.dns);
    PlanTelemetry::open(&blueprint.telemetry, &process_state.telemetry)
}

fn hub_services(
    blueprint: &Blueprint,
    process_state: &ProcessState,
    shared_state: Option<&Arc<SharedState>>,
    clusters: &mut Clusters,
) -> PlanHubs {
    hubs::build::services(&blueprint.hubs, shared_state, process_state, |cluster, label| {
        (clusters.get(cluster, label, blueprint, process_state), attempts(blueprint, process_state))
    })
}

/// The routes, followed by the parts of aggregates.
fn routes(
    blueprint: &Blueprint,
    process_state: &ProcessState,
    (resolvers, hubs): (&[Arc<Resolver>], &PlanHubs),
    clusters: &mut Clusters,
) -> (Box<[Arc<Route>]>, Option<PlanApis>) {
    let shared = blueprint.apis.as_deref().map(|apis| apis::build::shared(apis, blueprint, process_state));
    let (mut routes, mut parts) = (Vec::new(), Vec::new());
    for (at, route) in blueprint.routes.iter().enumerate() {
        let names = blueprint.table.names(at);
        let (role, target) = match &route.aggregate {
            None => match &route.hub {
                Some(hub) => (RouteRole::Standalone, hub_target(route, hub, hubs)),
                None => (
                    RouteRole::Standalone,
                    target((route, names), blueprint, resolvers, process_state, clusters),
                ),
            },
            Some(several) => (
                RouteRole::Aggregate,
                aggregate::build::build_aggregate(several, &routes, &mut parts, blueprint, process_state),
            ),
        };
        let url = route.url(names, &blueprint.rules);
        let program = route.documents.clone().zip(shared.clone());
        let program = program
            .map(|(program, shared)| Arc::new(RouteProgram::Route { program, shared, names: names.into() }));
        let built = self::route(route, role, url, names, target, blueprint, process_state);
        routes.push(with_program(built, program));
    }
    routes.append(&mut parts);
    let apis = blueprint.apis.as_ref().zip(shared.as_ref()).map(|(apis, shared)| {
        let (more, plan) =
            api_routes(apis, (shared, routes.len()), blueprint, (resolvers, process_state), clusters);
        routes.extend(more);
        plan
    });
    (routes.into(), apis)
}

/// The routes of the operations of all APIs.
fn api_routes(
    apis: &Arc<ApisBlueprint<RouteBlueprint>>,
    (shared, first): (&Arc<Shared>, usize),
    blueprint: &Blueprint,
    (resolvers, process_state): (&[Arc<Resolver>], &ProcessState),
    clusters: &mut Clusters,
) -> (Vec<Arc<Route>>, PlanApis) {
    let targets: Vec<Target> = apis
        .apis
        .iter()
        .map(|api| target((&api.route, &[]), blueprint, resolvers, process_state, clusters))
        .collect();
    let (routes, plan) = apis::build::routes(apis, shared, &targets, first);
    let build = |one: apis::build::ApiRoute| {
        let api = one.api.and_then(|at| Some((&apis.apis.get(at)?.route, targets.get(at)?)));
        let (options, target) = match api {
            Some((options, target)) => (options, target.clone_for_part()),
            None => {
                let (code, detail) = one.failure.unwrap_or((ErrorCode::OperationNotFound, String::new()));
                (apis.apis.first().map(|api| &api.route)?, Target::Fail(code, detail))
            }
        };
        let mut options = RouteBlueprint { name: one.name, ..options.clone() };
        if one.api.is_none() {
            options.stages = Default::default();
        }
        options.stages.subscription = one.check;
        let url = UrlTemplate::after_first_segment(&blueprint.rules);
        let built = route(&options, RouteRole::Standalone, url, &[], target, blueprint, process_state);
        Some(with_program(built, Some(one.program)))
    };
    (routes.into_iter().filter_map(build).collect(), plan)
}

/// Routes of discovered services, built on demand.
fn dynamic_routes(
    blueprint: &Blueprint,
    options: &DynamicBlueprint,
    process_state: &ProcessState,
) -> DynamicRoutes {
    let (process_state, blueprint) =
        (process_state.clone(), Blueprint { routes: Vec::new(), dynamic: None, ..blueprint.clone() });
    let catalogue = process_state.registries.catalogue(&options.registry);
    DynamicRoutes::new(
        options,
        catalogue,
        Box::new(move |route| service_route(route, &blueprint, &process_state)),
    )
}

fn service_route(route: &RouteBlueprint, blueprint: &Blueprint, process_state: &ProcessState) -> Arc<Route> {
    let url = UrlTemplate::after_first_segment(&blueprint.rules);
    let target = target((route, &[]), blueprint, &[], process_state, &mut Clusters::default());
    self::route(route, RouteRole::Standalone, url, &[], target, blueprint, process_state)
}

pub(super) fn route(
    route: &RouteBlueprint,
    role: RouteRole,
    url: UrlTemplate,
    names: &[Box<str>],
    target: Target,
    blueprint: &Blueprint,
    process_state: &ProcessState,
) -> Arc<Route> {
    let shared_state = blueprint.shared_state.as_ref().map(|config| process_state.shared_states.get(config));
    let context = BuildContext {
        shared_state: shared_state.as_ref(),
        ..build_context(route, role, blueprint, process_state)
    };
    let stages = route.stages.build(&blueprint.stages, &process_state.stage_state, &context);
    Arc::new(Route {
        label: route.name.as_str().into(),
        template: route.matcher.client_path.value.as_str().into(),
        pace: ClientPace {
            response_buffer_bytes: route.buffering.response_bytes,
            min_request_rate: route.min_rates.request.over(blueprint.limits.min_request_rate),
            min_response_rate: route.min_rates.response.over(blueprint.limits.min_response_rate),
        },
        stages: with_metrics(stages, &process_state.metrics),
        url,
        affinity: affinity(&route.cluster, names),
        connections: connection_affinity::build(route, process_state).map(Box::new),
        target,
        program: None,
        is_catch_all: is_catch_all(&route.matcher.client_path.value),
        preflight: route.stages.cors.is_some(),
        escaped_separators: route.escaped_separators,
        metrics: process_state.metrics.route(&route.name),
    })
}

impl Plan {
    /// Whether every name of the plan is resolved, and every registry has reported the endpoints of its services.
    pub fn is_resolved(&self) -> bool {
        let fabric = self.routes.iter().all(|route| match &route.target {
            Target::Fabric(fabric) => fabric.resolver.is_loaded(),
            _ => true,
        });
        fabric
            && self.clusters.iter().all(|cluster| {
                cluster.source.get().is_none_or(|source| source.has_responded())
                    && cluster.members().endpoints.iter().all(|e| e.primary.transport.addr.is_resolved())
            })
    }

    /// The metric labels of the transport routes; all others may be dropped.
    pub fn transport_labels(&self) -> HashSet<&str> {
        let handlers = self.listeners.iter().filter_map(|listener| listener.handler.as_ref());
        handlers.flat_map(|handler| handler.routes.iter().map(|route| &*route.label)).collect()
    }

    /// The metric labels of the plan; all others may be dropped.
    pub fn labels(&self) -> HashSet<&str> {
        let dynamic = self.dynamic.iter().flat_map(DynamicRoutes::labels);
        self.routes.iter().map(|route| &*route.label).chain(dynamic).collect()
    }
}

/// What the features of a route need to build their stages.
fn build_context<'b>(
    route: &'b RouteBlueprint,
    role: RouteRole,
    blueprint: &'b Blueprint,
    process_state: &'b ProcessState,
) -> BuildContext<'b> {
    let tracer = blueprint.telemetry.tracing.as_ref().map(|tracing| process_state.telemetry.tracer(tracing));
    BuildContext {
        ocelot: blueprint.ocelot,
        route: &route.name,
        role,
        is_proxied: role != RouteRole::Aggregate && route.service.is_none() && route.hub.is_none(),
        max_compression_memory: blueprint.limits.compression,
        cache_memory: &blueprint.cache,
        has_http_cache: blueprint.has_http_cache,
        metrics: &process_state.metrics,
        background: &process_state.background,
        dns: process_state.names.dns(),
        shared_state: None,
        clock: &process_state.clock,
        telemetry: &process_state.telemetry,
        tracer: tracer.and_then(Result::ok),
    }
}

/// The path value that the balancer hashes, if it hashes one.
fn affinity(cluster: &ClusterBlueprint, names: &[Box<str>]) -> Option<PathHashKey> {
    let BalancerKind::ConsistentHash(HashPolicy::Path(name)) = &cluster.balancer.value else { return None };
    Some(PathHashKey { index: names.iter().position(|known| known == name), name: name.clone() })
}

/// Every stage with its metrics.
fn with_metrics(stages: Box<[BoxStage]>, metrics: &Metrics) -> Box<[StageEntry]> {
    let placed = stages.into_iter().map(|stage| StageEntry { metrics: metrics.stage(stage.name()), stage });
    placed.collect()
}

fn target(
    (route, names): (&RouteBlueprint, &[Box<str>]),
    blueprint: &Blueprint,
    resolvers: &[Arc<Resolver>],
    process_state: &ProcessState,
    clusters: &mut Clusters,
) -> Target {
    if let Some(broken) = &route.broken {
        let code =
            if broken.status == 404 { ErrorCode::RouteUnsupported } else { ErrorCode::RouteMisconfigured };
        return Target::Fail(code, broken.reason.clone());
    }
    if let Some(service) = &route.service {
        let timeout = &route.timeout;
        return match &route.naming {
            Some(naming) => {
                fabric_target::naming_target(naming, &service.value, timeout.value, resolvers, process_state)
            }
            None => internal_target::target(service, timeout, process_state),
        };
    }
    let terms = attempt_config(route, blueprint, process_state, clusters);
    if let Some(fabric) = &route.fabric {
        return fabric_target::target(route, fabric, terms, resolvers, process_state);
    }
    if let Some(spec) = agent_clusters(route, blueprint) {
        let (states, agents) = (&process_state.cluster_states, &process_state.agents);
        return Target::Agent(Arc::new(AgentTarget::new(spec, names, terms, states, agents)));
    }
    Target::Cluster { cluster: clusters.get(&route.cluster, &route.name, blueprint, process_state), terms }
}

/// The settings of the attempts of a route.
fn attempt_config(
    route: &RouteBlueprint,
    blueprint: &Blueprint,
    process_state: &ProcessState,
    clusters: &mut Clusters,
) -> AttemptConfig {
    AttemptConfig {
        timeout: route.timeout.value,
        request_buffer_bytes: route.buffering.request_bytes,
        preserve_host: route.preserve_host.value,
        version: match route.http_version.value {
            HttpVersion::Http10 => Version::Http10,
            _ => Version::Http11,
        },
        http2: match route.http_version.value {
            HttpVersion::Http10 | HttpVersion::Http11 => Http2::Never,
            HttpVersion::Http2OverTls => Http2::IfNegotiated,
            HttpVersion::Http2 => Http2::Always,
        },
        resilience: resilience(route, blueprint, process_state, clusters),
        ..attempts(blueprint, process_state)
    }
}

/// The target of a route to a hub service. Its service was found when the document was compiled.
fn hub_target(route: &RouteBlueprint, hub: &HubRouteBlueprint, hubs: &PlanHubs) -> Target {
    match hubs.target(hub, route.stages.cors.is_some(), route.timeout.value) {
        Some(target) => Target::Hub(Box::new(target)),
        None => Target::Fail(
            ErrorCode::GatewayInternal,
            format!("the plan has no hub service \"{}\"", hub.service.value),
        ),
    }
}

/// The settings of calls that a route does not change: HTTP/1.1, no retries.
fn attempts(blueprint: &Blueprint, process_state: &ProcessState) -> AttemptConfig {
    AttemptConfig {
        timeout: HANDLER_TIMEOUT,
        connect_timeout: blueprint.limits.connect_timeout,
        body_idle_timeout: blueprint.limits.body_idle,
        request_buffer_bytes: 0,
        buffering_memory: process_state.buffering_memory.clone(),
        max_informational: blueprint.limits.max_informational,
        preserve_host: false,
        version: Version::Http11,
        http2: Http2::Never,
        resilience: None,
    }
}

/// How failures are handled; the route's name and its cluster's key identify the state that is reused.
fn resilience(
    route: &RouteBlueprint,
    blueprint: &Blueprint,
    process_state: &ProcessState,
    clusters: &mut Clusters,
) -> Option<Arc<Resilience>> {
    let wanted = Some(&route.attempts).filter(|wanted| !wanted.is_empty())?;
    let metrics = process_state.metrics.attempts(&route.name);
    let other =
        route.fallback.as_ref().map(|other| clusters.get(other, &route.name, blueprint, process_state));
    // Routes of services without entries share a name, and nothing else.
    let name = if route.index == usize::MAX { &route.state_key } else { &route.name };
    let keys = (name.as_str(), route.cluster.key.as_str());
    Some(Arc::new(process_state.attempts.attach(wanted, keys, other, metrics)))
}
