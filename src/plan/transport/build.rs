//! Builds the transport routes of a plan, and what its listeners do with their connections.

use super::{
    access::Admission,
    blueprint::TransportRouteBlueprint,
    internal::InternalTargets,
    listener::{HttpAdmission, TransportListener},
    route::TransportRoute,
    router::TransportRouter,
};
use crate::{
    backend::Cluster,
    plan::{
        blueprint::{ClusterBlueprint, Endpoint, Listener, ListenerProtocol, Sourced},
        roles::{
            EndpointKind, EndpointProtocol, InstancePort, RoleEndpoint, RolesPlan,
            blueprint::{INTERNAL_LISTENER, InstanceInput},
        },
    },
    telemetry::Metrics,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Builds a cluster, or returns the one that the plan has already; the second argument is its name in logs.
pub type MakeCluster<'m> = &'m mut dyn FnMut(&Arc<ClusterBlueprint>, &str) -> Arc<Cluster>;

/// The transport routes of a plan, and the handlers of its listeners.
pub struct TransportBuilder<'b> {
    pub roles: &'b Arc<RolesPlan>,
    pub metrics: &'b Metrics,
    /// The routes, each with its blueprint, which tells its listeners and conditions.
    pub routes: Vec<(&'b TransportRouteBlueprint, Arc<TransportRoute>)>,
}

impl<'b> TransportBuilder<'b> {
    /// Builds the routes of the document.
    pub fn new(
        blueprints: &'b [TransportRouteBlueprint],
        roles: &'b Arc<RolesPlan>,
        metrics: &'b Metrics,
        make_cluster: MakeCluster,
    ) -> TransportBuilder<'b> {
        let mut builder = TransportBuilder { roles, metrics, routes: Vec::new() };
        for blueprint in blueprints {
            let cluster = make_cluster(&blueprint.cluster, &blueprint.name);
            builder.routes.push((blueprint, Arc::new(builder.route(blueprint, cluster))));
        }
        builder
    }

    fn route(&self, blueprint: &TransportRouteBlueprint, cluster: Arc<Cluster>) -> TransportRoute {
        let role = blueprint.cluster.role.as_ref().map_or("", |target| target.role.as_str());
        let guarded = blueprint.guarded_endpoint.as_deref();
        TransportRoute {
            label: blueprint.name.as_str().into(),
            role: role.into(),
            cluster,
            terminates: blueprint.terminates.unwrap_or(false),
            admission: blueprint.admission.clone(),
            config: blueprint.config,
            port_offset: blueprint.port_offset,
            fixed_port: None,
            guard: guarded.and_then(|endpoint| self.roles.guard(endpoint)),
            metrics: self.metrics.transport.route(&blueprint.name),
        }
    }

    /// What a listener does with its connections; `None`: HTTP alone.
    pub fn handler(&self, listener: &Listener, make_cluster: MakeCluster) -> Option<Arc<TransportListener>> {
        if listener.protocol == ListenerProtocol::Mqtt {
            return None;
        }
        if listener.protocol == ListenerProtocol::Http {
            let own = self.http_handler(listener);
            return (own.router.has_conditions() || own.http.is_some()).then(|| Arc::new(own));
        }
        if *listener.name == *INTERNAL_LISTENER {
            return Some(Arc::new(self.internal_handler(make_cluster)));
        }
        let has_tls = listener.tls.is_some();
        let own: Vec<_> = self.routes_of(&listener.name).collect();
        let terminates = |blueprint: &TransportRouteBlueprint| blueprint.terminates.unwrap_or(has_tls);
        let is_mixed = own.iter().any(|(route, _)| terminates(route) != has_tls);
        let routes = own.iter().map(|(blueprint, route)| with_terminates(route, terminates(blueprint)));
        Some(Arc::new(TransportListener {
            router: router(&own),
            hello_timeout: hello_timeout(&own, is_mixed),
            routes: routes.collect(),
            ..TransportListener::default()
        }))
    }

    fn routes_of<'s>(
        &'s self,
        listener: &'s str,
    ) -> impl Iterator<Item = (&'b TransportRouteBlueprint, Arc<TransportRoute>)> + 's {
        let names =
            move |blueprint: &&TransportRouteBlueprint| blueprint.listeners.iter().any(|l| l == listener);
        self.routes
            .iter()
            .filter(move |(blueprint, _)| names(blueprint))
            .map(|(b, route)| (*b, route.clone()))
    }

    /// An HTTP listener that passes some server names through, or admits some clients only.
    fn http_handler(&self, listener: &Listener) -> TransportListener {
        let own: Vec<_> = self.routes_of(&listener.name).collect();
        let mut endpoints = self.roles.blueprint.endpoints();
        let endpoint = endpoints.find(|endpoint| *endpoint.full_name.value == *listener.name);
        TransportListener {
            router: router(&own),
            hello_timeout: hello_timeout(&own, false),
            routes: own.into_iter().map(|(_, route)| route).collect(),
            internal: None,
            http: endpoint.and_then(|endpoint| self.http_admission(endpoint)),
        }
    }

    fn http_admission(&self, endpoint: &RoleEndpoint) -> Option<HttpAdmission> {
        let guard =
            self.roles.guard(&endpoint.full_name.value).filter(|_| endpoint.kind == EndpointKind::Internal);
        let admission = endpoint.admission.clone();
        (guard.is_some() || admission != Admission::All).then_some(HttpAdmission { admission, guard })
    }

    /// The listener for all internal endpoints: each endpoint is a route with TLS that ends at the gateway.
    fn internal_handler(&self, make_cluster: MakeCluster) -> TransportListener {
        let Some(internal) = &self.roles.blueprint.options.internal_listener else {
            return TransportListener::default();
        };
        let endpoints = self.roles.blueprint.endpoints();
        let reachable = endpoints.filter(|endpoint| {
            endpoint.kind == EndpointKind::Internal && endpoint.protocol != EndpointProtocol::Udp
        });
        let mut routes = HashMap::new();
        for endpoint in reachable {
            let full_name = endpoint.full_name.value.clone();
            let Some(settings) = internal.endpoints.get(&full_name) else { continue };
            let route = TransportRoute {
                label: full_name.as_str().into(),
                role: endpoint.role.clone(),
                cluster: make_cluster(&settings.cluster, &full_name),
                terminates: true,
                admission: Admission::All,
                config: settings.config,
                port_offset: 0,
                fixed_port: match endpoint.instance_port {
                    InstancePort::Range(range) => Some(range.first),
                    _ => None,
                },
                guard: self.roles.guard(&full_name),
                metrics: self.metrics.transport.route(&full_name),
            };
            routes.insert(full_name, Arc::new(route));
        }
        let timeouts = internal.endpoints.values().map(|settings| settings.config.hello_timeout);
        TransportListener {
            hello_timeout: Some(timeouts.min().unwrap_or(Duration::from_secs(5))),
            routes: routes.values().cloned().collect(),
            internal: Some(InternalTargets::new(&internal.domain, self.roles.clone(), routes)),
            ..TransportListener::default()
        }
    }

    /// The listeners of the public ports of instances, each with its handler.
    pub fn instance_listeners(&self, make_cluster: MakeCluster) -> Vec<(Listener, Arc<TransportListener>)> {
        let mut listeners = Vec::new();
        for input in &self.roles.blueprint.instance_inputs {
            let Some(ports) = self.roles.ports.get(&input.full_name) else { continue };
            for (id, port) in ports {
                let Some(cluster) = self.instance_cluster(input, id) else { continue };
                let name = format!("{}/{id}", input.full_name);
                let route = self.instance_route(input, make_cluster(&Arc::new(cluster), &name));
                let handler = TransportListener {
                    router: TransportRouter::new([(0, &Default::default())]),
                    routes: Box::new([Arc::new(route)]),
                    ..TransportListener::default()
                };
                let listener = crate::plan::roles::RolesBlueprint::instance_listener(input, *port);
                listeners.push((listener, Arc::new(handler)));
            }
        }
        listeners
    }

    fn instance_route(&self, input: &InstanceInput, cluster: Arc<Cluster>) -> TransportRoute {
        TransportRoute {
            label: input.full_name.as_str().into(),
            role: input.role.clone(),
            cluster,
            terminates: false,
            admission: input.admission.clone(),
            config: input.config,
            port_offset: 0,
            fixed_port: None,
            guard: None,
            metrics: self.metrics.transport.route(&input.full_name),
        }
    }

    /// The cluster of one instance. It has no health checks: a busy or unhealthy instance is still reached.
    fn instance_cluster(&self, input: &InstanceInput, id: &str) -> Option<ClusterBlueprint> {
        let (role, endpoint) = self.roles.endpoint(&input.role, &input.endpoint)?;
        let target = self.roles.snapshot().instance(role, id)?.target(endpoint)?;
        Some(ClusterBlueprint {
            key: format!("{} {id}", input.cluster.key),
            name: None,
            endpoints: vec![Endpoint { host: target.host, port: Some(target.port), weight: 1 }],
            balancer: Sourced::new(Default::default(), None),
            health: Sourced::new(Default::default(), None),
            role: None,
            ..(*input.cluster).clone()
        })
    }
}

fn router(routes: &[(&TransportRouteBlueprint, Arc<TransportRoute>)]) -> TransportRouter {
    TransportRouter::new(routes.iter().enumerate().map(|(at, (blueprint, _))| (at, &blueprint.conditions)))
}

/// The shortest time of the routes, if the route depends on the ClientHello.
fn hello_timeout(
    routes: &[(&TransportRouteBlueprint, Arc<TransportRoute>)],
    is_mixed: bool,
) -> Option<Duration> {
    let has_conditions = |(blueprint, _): &(&TransportRouteBlueprint, Arc<TransportRoute>)| {
        !blueprint.conditions.server_names.is_empty() || !blueprint.conditions.alpn.is_empty()
    };
    let is_read = is_mixed || routes.iter().any(has_conditions);
    routes.iter().map(|(blueprint, _)| blueprint.config.hello_timeout).min().filter(|_| is_read)
}

/// The same route, whose TLS ends at the gateway or not, depending on the listener.
fn with_terminates(route: &Arc<TransportRoute>, terminates: bool) -> Arc<TransportRoute> {
    if route.terminates == terminates {
        return route.clone();
    }
    Arc::new(TransportRoute { terminates, ..(**route).clone() })
}
