//! Targets of routes: clusters, and the settings of the calls to them. State is attached by key.

use super::{
    blueprint::{
        self, Blueprint, ClusterBlueprint, HttpVersion, RouteBlueprint, Scheme, discovery::DiscoveredService,
    },
    compiled::Target,
    fabric_target,
    hubs::{HubRouteBlueprint, build::PlanHubs},
    internal_target,
    process_state::ProcessState,
    shared_sessions::SharedSessions,
};
use crate::{
    backend::{
        Cluster,
        attempt::{AttemptConfig, Http2, Resilience},
        balance::SessionDirectories,
        cluster::ClusterSpec,
        endpoint::{Instance, TlsMode},
        fabric::Resolver,
    },
    net::tls::trust::TrustAnchors,
    pipeline::{error::ErrorCode, head::Version},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Time for the complete response of an event handler, unless its own is set.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// The target of a route without parts and hub.
pub(super) fn target(
    route: &RouteBlueprint,
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
        let timeout = route.timeout.value;
        return match &route.naming {
            Some(naming) => {
                fabric_target::naming_target(naming, &service.value, timeout, resolvers, process_state)
            }
            None => internal_target::target(service, timeout, process_state),
        };
    }
    let terms = attempt_config(route, blueprint, process_state, clusters);
    if let Some(fabric) = &route.fabric {
        return fabric_target::target(route, fabric, terms, resolvers, process_state);
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
pub(super) fn hub_target(route: &RouteBlueprint, hub: &HubRouteBlueprint, hubs: &PlanHubs) -> Target {
    match hubs.target(hub, route.stages.cors.is_some(), route.timeout.value) {
        Some(target) => Target::Hub(Box::new(target)),
        None => Target::Fail(
            ErrorCode::GatewayInternal,
            format!("the plan has no hub service \"{}\"", hub.service.value),
        ),
    }
}

/// The settings of calls that a route does not change: HTTP/1.1, no retries.
pub(super) fn attempts(blueprint: &Blueprint, process_state: &ProcessState) -> AttemptConfig {
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

/// The clusters of a plan: a named cluster is built once, however many routes use it.
#[derive(Default)]
pub(super) struct Clusters(HashMap<*const ClusterBlueprint, Arc<Cluster>>);

impl Clusters {
    /// The cluster of a route.
    pub(super) fn get(
        &mut self,
        cluster: &Arc<ClusterBlueprint>,
        route: &str,
        blueprint: &Blueprint,
        process_state: &ProcessState,
    ) -> Arc<Cluster> {
        let name = cluster.name.as_deref().unwrap_or(route);
        let make = || {
            let shared =
                blueprint.shared_state.as_ref().map(|config| process_state.shared_states.get(config));
            let sessions =
                shared.map(|shared| Arc::new(SharedSessions(shared)) as Arc<dyn SessionDirectories>);
            let spec = ClusterSpec { sessions, ..cluster_config(cluster, name, blueprint) };
            let made = process_state.cluster_states.cluster(&spec);
            if let Some(found) = &cluster.discovery {
                let DiscoveredService { registry, service, is_unnamed } = found;
                made.attach_source(&process_state.registries.watch(registry, service, *is_unnamed));
            }
            made
        };
        match cluster.name {
            Some(_) => self.0.entry(Arc::as_ptr(cluster)).or_insert_with(make).clone(),
            None => make(),
        }
    }
}

fn cluster_config(cluster: &ClusterBlueprint, name: &str, blueprint: &Blueprint) -> ClusterSpec {
    let instance = |endpoint: &blueprint::Endpoint| Instance {
        weight: endpoint.weight,
        ..Instance::new(&endpoint.host, endpoint.port.unwrap_or(0))
    };
    ClusterSpec {
        key: cluster.key.clone(),
        label: name.to_owned(),
        health: cluster.health.value.clone(),
        tls_mode: tls_mode(cluster, name, blueprint),
        pooling: cluster.pooling,
        instances: cluster.discovery.is_none().then(|| cluster.endpoints.iter().map(instance).collect()),
        balancer: cluster.balancer.value.clone(),
        sessions: None,
    }
}

/// Whether connections to the backend use TLS. Where the client's scheme decides, TLS is prepared only if a listener
/// accepts it.
fn tls_mode(cluster: &ClusterBlueprint, name: &str, blueprint: &Blueprint) -> TlsMode {
    if cluster.scheme != Scheme::Http && cluster.tls.trust == TrustAnchors::DangerousAcceptAny {
        log::warn!("{name} accepts any certificate of its backend: traffic can be intercepted");
    }
    let forwarded = blueprint.stages.forwarded_headers.as_ref();
    let tls_possible = forwarded.is_some_and(|forwarded| forwarded.proxies.may_change_scheme());
    let tls_possible = tls_possible || blueprint.listeners.iter().any(|listener| listener.tls.is_some());
    match cluster.scheme {
        Scheme::Https => TlsMode::Always(Box::new(cluster.tls.clone())),
        Scheme::SameAsClient if tls_possible => TlsMode::SameAsClient(Box::new(cluster.tls.clone())),
        Scheme::SameAsClient | Scheme::Http => TlsMode::Plain,
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
