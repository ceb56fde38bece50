//! Blueprint → plan: what was checked meets what runs. State is attached here, by key: counters, pools and names of
//! unchanged routes go on as they were.

use super::{
    aggregate,
    blueprint::{
        self, Blueprint, ClusterBlueprint, HttpVersion, RouteBlueprint, Scheme, TraceMode, discovery::Found,
    },
    doors,
    dynamic::Dynamic,
    limits,
    routing::UrlTemplate,
    runtime::{Affinity, Plan, Route, Target},
};
use crate::{
    backend::{
        Cluster,
        attempt::{Care, Http2, Keeps, Terms},
        balance::{BalancerKind, HashOn},
        cluster::{ClusterSpec, States},
        discovery::Registries,
        endpoint::{Instance, Speech},
    },
    base::{clock::Clock, keyed::Keyed},
    pipeline::{
        cause::Why,
        head::Version,
        stage::{BoxStage, Placed},
    },
    stages::{
        Kept,
        ascii::AsciiHeaders,
        authentication::Authentication,
        cache::{self, Caching, Invalidator, sweeping},
        client_certificate::CertificateField,
        compression::{Compression, Memory},
        forwarded::Forwarded,
        in_order,
        method::Method,
        rate_limit::counters::sweeping as sweeping_counters,
        request_id::RequestId,
        trace_context::TraceContext,
        tunnels::Tunnels,
        via::Via,
    },
    telemetry::Metrics,
    wire::{
        background::Background,
        listen::Address,
        names::Names,
        tls::{
            server::{ClientAuth, Tickets},
            trust::Trust,
        },
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// What runs, and outlives every plan.
#[derive(Clone, Debug)]
pub struct Foundation {
    pub states: Arc<States>,
    pub names: Names,
    /// Circuits and budgets.
    pub attempts: Arc<Keeps>,
    pub background: Background,
    /// What the stages keep.
    pub kept: Arc<Kept>,
    /// Who says where services are.
    pub registries: Arc<Registries>,
    pub clock: Clock,
    /// What makes TLS sessions resumable, by the address of the listener and what it asks of clients.
    pub tickets: Arc<Keyed<(Address, Option<ClientAuth>), Tickets>>,
    pub metrics: Arc<Metrics>,
    /// How many connections the process may hold, where the document does not say.
    pub connections: usize,
}

impl Foundation {
    pub fn new(metrics: Arc<Metrics>, connections: usize) -> Foundation {
        let (background, kept, clock) = (Background::default(), Arc::<Kept>::default(), Clock::default());
        background.spawn(sweeping_counters(Arc::downgrade(&kept.counters), clock.clone()));
        background.spawn(sweeping(Arc::downgrade(&kept.cache)));
        let names = Names::new(background.clone());
        Foundation {
            states: States::with(names.clone(), background.clone(), Some(metrics.clone())),
            registries: Arc::new(Registries::new(background.clone(), names.dns().clone(), metrics.clone())),
            names,
            attempts: Arc::default(),
            background,
            kept,
            clock,
            tickets: Arc::default(),
            metrics,
            connections,
        }
    }
}

/// Makes the plan of a blueprint. An error is a template that was not checked before.
pub fn activate(blueprint: &Blueprint, id: String, ground: &Foundation) -> Result<Plan, String> {
    ground.names.dns().configure(&blueprint.dns);
    let routes = routes(blueprint, ground);
    Ok(Plan {
        id,
        ocelot: blueprint.ocelot,
        limits: limits::running(&blueprint.limits, ground.connections),
        listeners: doors::listeners(blueprint, ground)?,
        expiries: doors::expiries(blueprint),
        access_log: blueprint.access_log,
        cors: blueprint.routes.iter().any(|route| route.admission.cors.is_some()),
        by_listener: blueprint.by_listener(),
        table: blueprint.table.clone(),
        clusters: leading(&routes),
        routes,
        dynamic: blueprint.dynamic.as_ref().map(|options| Dynamic::new(blueprint, options, ground)),
    })
}

/// The routes, and behind them the parts of aggregates.
fn routes(blueprint: &Blueprint, ground: &Foundation) -> Box<[Arc<Route>]> {
    let (mut routes, mut parts, mut clusters) = (Vec::new(), Vec::new(), Clusters::default());
    for (at, route) in blueprint.routes.iter().enumerate() {
        let (role, target) = match &route.aggregate {
            None => (Role::Whole, target(route, blueprint, ground, &mut clusters)),
            Some(several) => (
                Role::Aggregate,
                aggregate::activate::target(several, &routes, &mut parts, blueprint, ground),
            ),
        };
        let names = blueprint.table.names(at);
        let url = route.url(names, &blueprint.rules);
        routes.push(self::route(route, role, url, names, target, blueprint, ground));
    }
    routes.append(&mut parts);
    routes.into()
}

/// What a route is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests come to it and leave from it.
    Whole,
    /// Requests come to it, and its parts go on from there.
    Aggregate,
    /// Requests leave from it, which came to an aggregate.
    Part,
}

/// The route of a service that a request named.
pub(super) fn service_route(
    route: &RouteBlueprint,
    blueprint: &Blueprint,
    ground: &Foundation,
) -> Arc<Route> {
    let url = UrlTemplate::beyond_first(&blueprint.rules);
    let target = target(route, blueprint, ground, &mut Clusters::default());
    self::route(route, Role::Whole, url, &[], target, blueprint, ground)
}

pub(super) fn route(
    route: &RouteBlueprint,
    role: Role,
    url: UrlTemplate,
    names: &[Box<str>],
    target: Target,
    blueprint: &Blueprint,
    ground: &Foundation,
) -> Arc<Route> {
    Arc::new(Route {
        label: route.name.as_str().into(),
        stages: place(stages(route, role, blueprint, ground), &ground.metrics),
        url,
        affinity: affinity(&route.cluster, names),
        target,
        cors: route.admission.cors.is_some(),
        metrics: ground.metrics.route(&route.name),
    })
}

impl Plan {
    /// Whether every name of the plan has an answer, and every registry has said where its services are.
    pub fn is_resolved(&self) -> bool {
        self.routes.iter().all(|route| match &route.target {
            Target::Cluster { cluster, .. } => {
                cluster.source.get().is_none_or(|source| source.is_settled())
                    && cluster.members().list.iter().all(|e| e.way.transport.dial.is_resolved())
            }
            // The routes of its parts are among the routes.
            Target::Aggregate(_) | Target::Fail(..) => true,
        })
    }

    /// The labels under which the plan counts; all others may be forgotten.
    pub fn labels(&self) -> HashSet<&str> {
        let dynamic = self.dynamic.iter().flat_map(Dynamic::labels);
        self.routes.iter().map(|route| &*route.label).chain(dynamic).collect()
    }
}

fn stages(route: &RouteBlueprint, role: Role, blueprint: &Blueprint, ground: &Foundation) -> Box<[BoxStage]> {
    let mut stages: Vec<BoxStage> = Vec::new();
    stages.extend(forwarded(role, blueprint));
    if asks_clients(blueprint) {
        stages.push(Box::new(CertificateField));
    }
    if let Some(key) = &route.request_id_key {
        stages.push(Box::new(RequestId::new(&key.value)));
    }
    if let Some(wanted) = &route.authentication {
        let (kept, background) = (&ground.kept.identity, &ground.background);
        stages.push(Box::new(Authentication::new(wanted, kept, background, &ground.clock)));
    }
    if let Some(mode) = blueprint.trace_context {
        // The parts go on with the trace of their aggregate.
        let mode = if role == Role::Part { TraceMode::Continue } else { mode };
        stages.push(Box::new(TraceContext::new(mode)));
    }
    stages.extend(route.shaping.stages(&route.backend_path.value, blueprint.ocelot));
    route.admission.stages(&ground.kept, &mut stages);
    if let Some(most) = blueprint.limits.tunnels_per_client {
        stages.push(Box::new(Tunnels::new(most, &ground.kept.tunnels)));
    }
    stages.extend(cache(route, blueprint, ground));
    // The parts of an aggregate are put together first.
    if let (Some(settings), true) = (&route.compression, role != Role::Part) {
        let memory = Memory::new(&ground.kept.compression, blueprint.limits.compression);
        stages.push(Box::new(Compression::new(settings, memory, ground.metrics.compression())));
    }
    stages.extend(route.handlers.iter().map(|handler| Box::new(handler.clone()) as BoxStage));
    if let Some(method) = &route.backend_method {
        stages.push(Box::new(Method::new(method)));
    }
    if role != Role::Aggregate {
        stages.push(if blueprint.ocelot { Box::new(AsciiHeaders) } else { Box::new(Via) });
    }
    in_order(stages)
}

/// An aggregate knows its client; what is told about it is told by its parts.
fn forwarded(role: Role, blueprint: &Blueprint) -> Option<BoxStage> {
    let forwarded = &blueprint.forwarded;
    let add = forwarded.add_to_request && role != Role::Aggregate;
    let wanted = add || !forwarded.trusted.is_empty();
    wanted.then(|| -> BoxStage {
        Box::new(Forwarded {
            trusted: forwarded.trusted.clone(),
            believe_for: forwarded.believe_for,
            believe_proto: forwarded.believe_proto,
            believe_host: forwarded.believe_host,
            add,
        })
    })
}

/// Whether any listener wants clients to show certificates: only then there is something to tell of them, and to forge.
fn asks_clients(blueprint: &Blueprint) -> bool {
    let asks = |tls: &blueprint::ListenerTls| tls.server.clients.is_some();
    blueprint.listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(asks))
}

/// The value of the path by which the balancer goes, if it does.
fn affinity(cluster: &ClusterBlueprint, names: &[Box<str>]) -> Option<Affinity> {
    let BalancerKind::ConsistentHash(HashOn::Path(name)) = &cluster.balancer.value else { return None };
    Some(Affinity { index: names.iter().position(|known| known == name), name: name.clone() })
}

/// The cache of the route; or, where others have one that listens to it, what tells them of changes.
fn cache(route: &RouteBlueprint, blueprint: &Blueprint, ground: &Foundation) -> Option<BoxStage> {
    let kept = &*ground.kept.cache;
    if let Some(settings) = &route.cache {
        let caching = Caching::new(settings, &blueprint.cache, kept, &ground.metrics, &route.name);
        return Some(Box::new(caching));
    }
    let http = |settings: &cache::Settings| settings.mode == cache::Mode::Http;
    let listened = blueprint.routes.iter().any(|route| route.cache.as_ref().is_some_and(http));
    listened.then(|| Box::new(Invalidator::new(kept)) as BoxStage)
}

/// Every stage with the counters of its kind.
fn place(stages: Box<[BoxStage]>, metrics: &Metrics) -> Box<[Placed]> {
    let placed = stages.into_iter().map(|stage| Placed { metrics: metrics.stage(stage.name()), stage });
    placed.collect()
}

fn target(
    route: &RouteBlueprint,
    blueprint: &Blueprint,
    ground: &Foundation,
    clusters: &mut Clusters,
) -> Target {
    if let Some(broken) = &route.broken {
        let why = if broken.status == 404 { Why::RouteUnserved } else { Why::RouteBroken };
        return Target::Fail(why, broken.because.clone());
    }
    let terms = Terms {
        timeout: route.timeout.value,
        connect: blueprint.limits.connect,
        body_idle: blueprint.limits.body_idle,
        preserve_host: route.preserve_host.value,
        version: match route.http_version.value {
            HttpVersion::Http10 => Version::Http10,
            _ => Version::Http11,
        },
        http2: match route.http_version.value {
            HttpVersion::Http10 | HttpVersion::Http11 => Http2::Never,
            HttpVersion::Http2OverTls => Http2::OverTls,
            HttpVersion::Http2 => Http2::Always,
        },
        care: care(route, blueprint, ground, clusters),
    };
    Target::Cluster { cluster: clusters.get(&route.cluster, &route.name, blueprint, ground), terms }
}

/// Where routes lead, each once.
fn leading(routes: &[Arc<Route>]) -> Box<[Arc<Cluster>]> {
    let mut seen = HashSet::new();
    let targets = routes.iter().filter_map(|route| route.cluster().ok());
    let clusters = targets.flat_map(|(cluster, terms)| [Some(cluster), terms.fallback()]).flatten();
    clusters.filter(|cluster| seen.insert(Arc::as_ptr(cluster))).cloned().collect()
}

/// The clusters of a plan: those with a name are made once, however many routes lead to them.
#[derive(Default)]
struct Clusters(HashMap<*const ClusterBlueprint, Arc<Cluster>>);

impl Clusters {
    fn get(
        &mut self,
        cluster: &Arc<ClusterBlueprint>,
        route: &str,
        blueprint: &Blueprint,
        ground: &Foundation,
    ) -> Arc<Cluster> {
        let name = cluster.name.as_deref().unwrap_or(route);
        let make = || {
            let made = ground.states.cluster(&spec(cluster, name, blueprint));
            if let Some(found) = &cluster.found {
                let Found { registry, service, is_unnamed } = found;
                ground.registries.follow(registry, service, *is_unnamed).feed(&made);
            }
            made
        };
        match cluster.name {
            Some(_) => self.0.entry(Arc::as_ptr(cluster)).or_insert_with(make).clone(),
            None => make(),
        }
    }
}

fn spec(cluster: &ClusterBlueprint, name: &str, blueprint: &Blueprint) -> ClusterSpec {
    let instance = |endpoint: &blueprint::Endpoint| Instance {
        weight: endpoint.weight,
        ..Instance::new(&endpoint.host, endpoint.port.unwrap_or(0))
    };
    ClusterSpec {
        key: cluster.key.clone(),
        label: name.to_owned(),
        health: cluster.health.value.clone(),
        speech: speech(cluster, name, blueprint),
        pooling: cluster.pooling,
        instances: cluster.found.is_none().then(|| cluster.endpoints.iter().map(instance).collect()),
        balancer: cluster.balancer.value.clone(),
    }
}

/// Whether the service is spoken to over TLS. Where the client decides, that is prepared only if one can come over TLS.
fn speech(cluster: &ClusterBlueprint, name: &str, blueprint: &Blueprint) -> Speech {
    if cluster.scheme != Scheme::Http && cluster.tls.trust == Trust::Anyone {
        log::warn!("{name} accepts any certificate of its service: what is sent is not protected");
    }
    let forwarded = &blueprint.forwarded;
    let told = forwarded.believe_proto && !forwarded.trusted.is_empty();
    let told = told || blueprint.listeners.iter().any(|listener| listener.tls.is_some());
    match cluster.scheme {
        Scheme::Https => Speech::Secure(cluster.tls.clone()),
        Scheme::Incoming if told => Speech::AsAsked(cluster.tls.clone()),
        Scheme::Incoming | Scheme::Http => Speech::Plain,
    }
}

/// What is done about a service that fails; the route's name and its cluster's key lead to what is known of it.
fn care(
    route: &RouteBlueprint,
    blueprint: &Blueprint,
    ground: &Foundation,
    clusters: &mut Clusters,
) -> Option<Arc<Care>> {
    let wanted = Some(&route.attempts).filter(|wanted| !wanted.is_empty())?;
    let metrics = ground.metrics.attempts(&route.name);
    let other = route.fallback.as_ref().map(|other| clusters.get(other, &route.name, blueprint, ground));
    // Routes of services without entries of their own share a name, and nothing else.
    let name = if route.index == usize::MAX { &route.state_key } else { &route.name };
    let keys = (name.as_str(), route.cluster.key.as_str());
    Some(Arc::new(ground.attempts.care(wanted, keys, other, metrics)))
}
