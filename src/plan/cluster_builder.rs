//! Builds the clusters of a plan.

use super::{
    blueprint::{self, Blueprint, ClusterBlueprint, RouteBlueprint, Scheme, discovery::DiscoveredService},
    compiled::{ListenerPlan, Route},
    hubs::build::PlanHubs,
    process_state::ProcessState,
    roles::RolesPlan,
    shared_sessions::SharedSessions,
    tunnels::target::AgentTarget,
};
use crate::{
    backend::{
        Cluster,
        balance::SessionDirectories,
        cluster::ClusterSpec,
        endpoint::{Instance, TlsMode},
    },
    net::tls::trust::TrustAnchors,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The active form of the roles.
pub(super) fn roles_plan(blueprint: &Blueprint, process_state: &ProcessState) -> Arc<RolesPlan> {
    RolesPlan::new(blueprint.roles.clone(), process_state.roles.clone(), process_state.metrics.clone())
}

/// The target clusters of the routes, event handlers and transport routes, each once.
pub(super) fn all_clusters(
    routes: &[Arc<Route>],
    hubs: &PlanHubs,
    listeners: &[ListenerPlan],
) -> Box<[Arc<Cluster>]> {
    let forwarded = listeners.iter().filter_map(|listener| listener.handler.as_ref());
    let transport = forwarded.flat_map(|handler| handler.routes.iter().map(|route| &route.cluster));
    let mut seen = HashSet::new();
    let targets = routes.iter().filter_map(|route| route.cluster().ok());
    let clusters = targets.flat_map(|(cluster, terms)| [Some(cluster), terms.fallback()]).flatten();
    let handlers = hubs.services.iter().flat_map(|service| service.backends.iter());
    let clusters = clusters.chain(handlers.map(|backend| &backend.cluster)).chain(transport);
    clusters.filter(|cluster| seen.insert(Arc::as_ptr(cluster))).cloned().collect()
}

/// The clusters of a plan: a named cluster is built once, however many routes use it.
#[derive(Default)]
pub(super) struct Clusters {
    built: HashMap<*const ClusterBlueprint, Arc<Cluster>>,
    /// Publishes the instances of roles.
    roles: Option<Arc<RolesPlan>>,
}

impl Clusters {
    pub(super) fn new(roles: Arc<RolesPlan>) -> Clusters {
        Clusters { built: HashMap::default(), roles: Some(roles) }
    }

    pub(super) fn get(
        &mut self,
        cluster: &Arc<ClusterBlueprint>,
        route: &str,
        blueprint: &Blueprint,
        process_state: &ProcessState,
    ) -> Arc<Cluster> {
        let name = cluster.name.as_deref().unwrap_or(route);
        let roles = self.roles.clone();
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
            if let (Some(role), Some(roles)) = (&cluster.role, roles) {
                roles.attach(role, &made);
            }
            made
        };
        match cluster.name {
            Some(_) => self.built.entry(Arc::as_ptr(cluster)).or_insert_with(make).clone(),
            None => make(),
        }
    }
}

/// The settings of the clusters of a route whose path names the agent.
pub(super) fn agent_clusters(route: &RouteBlueprint, blueprint: &Blueprint) -> Option<ClusterSpec> {
    let is_template = route.cluster.endpoints.iter().any(|endpoint| AgentTarget::is_template(&endpoint.host));
    is_template.then(|| cluster_config(&route.cluster, &route.name, blueprint))
}

fn cluster_config(cluster: &ClusterBlueprint, name: &str, blueprint: &Blueprint) -> ClusterSpec {
    let instance = |endpoint: &blueprint::Endpoint| Instance {
        weight: endpoint.weight,
        ..Instance::new(&endpoint.host, endpoint.port.unwrap_or(0))
    };
    let has_own_endpoints = cluster.discovery.is_none() && cluster.role.is_none();
    ClusterSpec {
        key: cluster.key.clone(),
        label: name.to_owned(),
        health: cluster.health.value.clone(),
        tls_mode: tls_mode(cluster, name, blueprint),
        pooling: cluster.pooling,
        instances: has_own_endpoints.then(|| cluster.endpoints.iter().map(instance).collect()),
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
