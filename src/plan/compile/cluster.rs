//! Where requests go: addresses and how one is chosen, a route's own or under a name in `Clusters`.

use super::discovery;
use super::route::RouteCompiler;
use super::state_keys::state_key;
use super::unix_sockets;
use super::weights::{report_missing_host, weight, weights};
use crate::backend::balance::HashPolicy;
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, suggest};
use crate::net::connection_limit::PoolConfig;
use crate::net::tls::client::ClientTls;
use crate::plan::blueprint::discovery::{DiscoveredService, Registry};
use crate::plan::blueprint::*;
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::check::{CheckContext, OcelotTolerated, items, non_blank, options, values};
use crate::plan::clusters::http_handler::{
    ResolvedHttpHandler, check_http_handler, cluster_pool_config, pool_config,
};
use crate::plan::clusters::load_balancer::LoadBalancerOptions;
use crate::plan::clusters::tls::TlsDocument as Tls;
use crate::plan::clusters::{ClusterOptions, health, load_balancer};
use crate::plan::document::{ClusterDocument, HostAndPort};
use std::cell::Cell;
use std::sync::Arc;

/// What identifies the state of a named cluster across plans.
pub fn key(name: &str) -> String {
    format!("cluster {name}")
}

/// The clusters that have names.
pub struct Clusters<'d>(Vec<NamedCluster<'d>>);

struct NamedCluster<'d> {
    name: &'d Spanned<String>,
    cluster: Arc<ClusterBlueprint>,
    is_used: Cell<bool>,
}

impl<'d> Clusters<'d> {
    /// Reads `Clusters`, its mistakes going to `out`.
    pub fn read(
        scope: &CheckContext<'d>,
        registry: Option<&Registry>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let written = scope.document.clusters.iter().flat_map(|map| map.iter());
        let read = |(name, document): (&'d Spanned<String>, &'d Spanned<ClusterDocument>)| NamedCluster {
            name,
            cluster: Arc::new(cluster(scope, registry, name, document, diagnostics)),
            is_used: Cell::new(false),
        };
        Clusters(written.map(read).collect())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<ClusterBlueprint>> {
        let found = self.0.iter().find(|known| known.name.value == name)?;
        found.is_used.set(true);
        Some(&found.cluster)
    }

    /// Says that there is no cluster of that name.
    pub(super) fn unknown(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
        let message = format!("there is no cluster \"{}\"", name.value);
        let said = diagnostics.error(codes::UNKNOWN_CLUSTER, name.span, message);
        if let Some(meant) = suggest::closest_match(name, self.0.iter().map(|known| known.name.as_str())) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
        said.help(format!(
            "clusters stand at the top level, beside Routes:\n\"Clusters\": {{ \"{}\": {{ \"Endpoints\": \
             [{{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }}] }} }}",
            name.value
        ));
    }

    /// A cluster that nothing leads to is most likely a mistake.
    pub fn report_unused(&self, diagnostics: &mut Diagnostics) {
        for unused in self.0.iter().filter(|named| !named.is_used.get()) {
            let message = format!("no route leads to the cluster \"{}\"", unused.name.value);
            let said = diagnostics.warning(codes::UNUSED_CLUSTER, unused.name.span, message);
            said.help("name it in the DownstreamCluster of a route, or leave it out");
        }
    }
}

fn cluster(
    scope: &CheckContext,
    registry: Option<&Registry>,
    name: &Spanned<String>,
    document: &Spanned<ClusterDocument>,
    diagnostics: &mut Diagnostics,
) -> ClusterBlueprint {
    let options = ClusterOptions::of_cluster(document, &scope.clusters);
    let pooling = cluster_pool(&options, scope.ocelot, diagnostics);
    let mut reader = ClusterReader { sources: scope.sources, diagnostics };
    let balancer = reader.balancer(options.load_balancer.as_deref());
    let health = health::health(options.health.as_ref(), reader.diagnostics);
    let endpoints = reader.endpoints(document);
    weights(items(&document.endpoints), &balancer, reader.diagnostics);
    health::check_ports(&health, &endpoints, reader.diagnostics);
    let scheme = reader.scheme(document);
    let found = reader.discovery(scope, registry, document);
    let tls = Tls {
        options: options.tls.as_ref(),
        own_span: document.tls.as_ref().map(|set| set.span),
        accept_any: &document.accept_any_certificate,
        scheme,
    };
    let tls = tls.read(scope.attached, diagnostics);
    unix_sockets::check_server_name(items(&document.endpoints), scheme, &tls, scope, diagnostics);
    ClusterBlueprint {
        key: key(name),
        name: Some(name.value.clone()),
        scheme,
        tls,
        pooling,
        endpoints,
        balancer,
        health,
        discovery: found,
    }
}

/// The connection pool of a named cluster.
fn cluster_pool(options: &ClusterOptions, ocelot: bool, diagnostics: &mut Diagnostics) -> PoolConfig {
    let client = options.http_handler.as_ref().map(|options| ResolvedHttpHandler::resolve(options));
    if let Some(client) = &client {
        check_http_handler(ocelot, client, diagnostics);
    }
    cluster_pool_config(client.as_ref(), diagnostics)
}

/// Reads the settings of one named cluster: Ocelot has none, so nothing is let pass for its sake.
struct ClusterReader<'o> {
    sources: &'o Sources,
    diagnostics: &'o mut Diagnostics,
}

impl ClusterReader<'_> {
    fn accept<T>(&mut self, span: Span, read: Result<T, OcelotTolerated>) -> Option<T> {
        read.map_err(|wrong| wrong.report(self.diagnostics, false, span)).ok()
    }

    fn balancer(&mut self, balancing: Option<&LoadBalancerOptions>) -> Sourced<BalancerKind> {
        let Some(balancing) = balancing else { return Sourced::new(BalancerKind::NoLoadBalancer, None) };
        let read = load_balancer::balancer(balancing, false, self.diagnostics);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.accept(span, read)));
        Sourced::new(read.unwrap_or_default(), span)
    }

    fn scheme(&mut self, document: &ClusterDocument) -> Scheme {
        let Some(written) = document.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::SameAsClient;
        };
        tls_mode(self.accept(written.span, values::scheme(written)))
    }

    /// Who says where the service is, if it has a name.
    fn discovery(
        &mut self,
        scope: &CheckContext,
        registry: Option<&Registry>,
        document: &Spanned<ClusterDocument>,
    ) -> Option<DiscoveredService> {
        let own = document.discovery.as_ref().map(|own| discovery::registry(scope, own, self.diagnostics));
        let Some(name) = non_blank(&document.service_name) else {
            if let Some(own) = &document.discovery {
                let message = "the cluster has a Discovery and no ServiceName to look up";
                self.diagnostics
                    .error(codes::NO_REGISTRY, own.span, message)
                    .help("name the service, or leave it out");
            }
            return None;
        };
        let (namespace, scheme) = (&document.service_namespace, &document.scheme);
        discovery::report_unused_addresses(false, "Endpoints", &document.endpoints, self.diagnostics);
        let service = discovery::service(false, name, namespace, scheme, self.diagnostics);
        let registry = match own {
            Some(own) => Some(own?),
            None => registry.cloned(),
        };
        discovery::discovery(name.span, registry.as_ref(), scope, service, self.diagnostics)
    }

    fn endpoints(&mut self, document: &Spanned<ClusterDocument>) -> Vec<Endpoint> {
        if items(&document.endpoints).is_empty() && non_blank(&document.service_name).is_none() {
            let place = document.endpoints.as_ref().map_or(document.span, |list| list.span);
            self.diagnostics
                .error(codes::NO_ENDPOINTS, place, "the cluster has no Endpoints")
                .help("name the service: \"Endpoints\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]");
        }
        items(&document.endpoints).iter().filter_map(|entry| self.endpoint(entry)).collect()
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>) -> Option<Endpoint> {
        let Some(host) = non_blank(&entry.host) else {
            report_missing_host(entry, "Endpoints", self.diagnostics);
            return None;
        };
        if let Some(read) = unix_sockets::backend_socket(entry, host, self.sources, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.accept(host.span, values::host(host));
        let port = self.accept(port_span, values::port(entry)).unwrap_or(None);
        Some(Endpoint { host: read?, port, weight: weight(entry, self.diagnostics) })
    }
}

impl RouteCompiler<'_, '_, '_> {
    /// The cluster that the route names. It has addresses and options of its own; those of a route would contradict it.
    pub(super) fn named_cluster(
        &mut self,
        clusters: &Clusters,
        name: &Spanned<String>,
    ) -> Arc<ClusterBlueprint> {
        options::check_cluster_conflicts(self.document, self.diagnostics);
        if let Some(found) = clusters.named(name) {
            return found.clone();
        }
        clusters.unknown(name, self.diagnostics);
        Arc::new(ClusterBlueprint {
            key: key(name),
            name: Some(name.value.clone()),
            scheme: Scheme::Http,
            tls: ClientTls::default(),
            pooling: PoolConfig::default(),
            endpoints: Vec::new(),
            balancer: Sourced::new(BalancerKind::NoLoadBalancer, None),
            health: Sourced::new(HealthConfig::default(), None),
            discovery: None,
        })
    }

    /// The addresses of the route itself, read in the order in which Ocelot would fail.
    pub(super) fn own_cluster(
        &mut self,
        effective: &EffectiveOptions,
        registry: Option<&Registry>,
    ) -> Arc<ClusterBlueprint> {
        let balancer = self.balancer(effective);
        let scheme = self.scheme();
        let mut endpoints = self.endpoints(&balancer.value);
        weights(items(&self.document.endpoints), &balancer, self.diagnostics);
        let found = self.discovery(registry, &mut endpoints);
        let health = health::health(effective.clusters.health.as_ref(), self.diagnostics);
        health::check_ports(&health, &endpoints, self.diagnostics);
        let key = state_key(self.document, effective);
        let route = self.document;
        let tls = Tls {
            options: effective.clusters.tls.as_ref(),
            own_span: route.tls.as_ref().map(|set| set.span),
            accept_any: &route.accept_any_certificate,
            scheme,
        };
        let tls = tls.read(self.scope.attached, self.diagnostics);
        unix_sockets::check_server_name(items(&route.endpoints), scheme, &tls, self.scope, self.diagnostics);
        let client = effective.clusters.http_handler.as_ref();
        let client = client.map(|options| ResolvedHttpHandler::resolve(options));
        let pooling = pool_config(client.as_ref(), self.diagnostics);
        Arc::new(ClusterBlueprint {
            key,
            name: None,
            scheme,
            tls,
            pooling,
            endpoints,
            balancer,
            health,
            discovery: found,
        })
    }

    /// What the balancer hashes is a value that the route takes from the path.
    pub(super) fn known_key(&mut self, cluster: &ClusterBlueprint, names: Option<&[Box<str>]>) {
        let (BalancerKind::ConsistentHash(HashPolicy::Path(name)), Some(names)) =
            (&cluster.balancer.value, names)
        else {
            return;
        };
        if names.iter().any(|known| **known == **name) {
            return;
        }
        let place = cluster.name.as_ref().and(self.document.cluster.as_ref()).map(|set| set.span);
        let message =
            format!("the path of the route has no placeholder \"{name}\", by which an address is chosen");
        let said = self.diagnostics.error(codes::BAD_HASH_KEY, place.or(cluster.balancer.origin), message);
        if let Some(meant) = suggest::closest_match(name, names.iter().map(|known| &**known)) {
            said.help(format!("did you mean \"{meant}\"?"));
        }
    }

    /// Who says where the service is, if it has a name. The reverse proxy of Service Fabric stands in its place.
    fn discovery(
        &mut self,
        registry: Option<&Registry>,
        endpoints: &mut Vec<Endpoint>,
    ) -> Option<DiscoveredService> {
        let (scope, route) = (self.scope, self.document);
        let name = non_blank(&route.service_name)?;
        if let Some(Registry::ServiceFabric(proxy)) = registry {
            *endpoints = vec![proxy.clone()];
            return None;
        }
        discovery::report_unused_addresses(
            scope.ocelot,
            "DownstreamHostAndPorts",
            &route.endpoints,
            self.diagnostics,
        );
        let service =
            discovery::service(scope.ocelot, name, &route.service_namespace, &route.scheme, self.diagnostics);
        discovery::discovery(name.span, registry, scope, service, self.diagnostics)
    }

    fn scheme(&mut self) -> Scheme {
        let Some(written) = self.document.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::SameAsClient;
        };
        tls_mode(self.accept(written.span, values::scheme(written)))
    }

    fn endpoints(&mut self, balancer: &BalancerKind) -> Vec<Endpoint> {
        let written = items(&self.document.endpoints);
        let discovered = self.document.service_name.as_ref().is_some_and(|name| !name.is_empty());
        if written.is_empty() && !discovered {
            let place = self.document.endpoints.as_ref().map_or(self.document.span, |list| list.span);
            self.diagnostics.error(codes::NO_ENDPOINTS, place, "the route has no DownstreamHostAndPorts").help(
                "name the service: \"DownstreamHostAndPorts\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]",
            );
        }
        let mut endpoints = Vec::with_capacity(written.len());
        for (position, entry) in written.iter().enumerate() {
            let before = self.unservable.clone();
            endpoints.extend(self.endpoint(entry, discovered));
            let is_asked = position == 0 || written.len() == 1;
            if before.is_none() && (!is_asked && *balancer == BalancerKind::NoLoadBalancer) {
                self.unservable = None;
            }
        }
        endpoints
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>, discovered: bool) -> Option<Endpoint> {
        let Some(host) = non_blank(&entry.host) else {
            if !discovered {
                report_missing_host(entry, "DownstreamHostAndPorts", self.diagnostics);
            }
            return None;
        };
        if let Some(read) = unix_sockets::backend_socket(entry, host, self.scope.sources, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.accept(host.span, values::host(host));
        let port = self.accept(port_span, values::port(entry)).unwrap_or(None);
        Some(Endpoint { host: read?, port, weight: weight(entry, self.diagnostics) })
    }

    fn balancer(&mut self, effective: &EffectiveOptions) -> Sourced<BalancerKind> {
        let Some(balancing) = effective.clusters.load_balancer.as_deref() else {
            return Sourced::new(BalancerKind::NoLoadBalancer, None);
        };
        let read = load_balancer::balancer(balancing, self.scope.ocelot, self.diagnostics);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.accept(span, read)));
        Sourced::new(read.unwrap_or_default(), span)
    }
}

fn tls_mode(scheme: Option<&str>) -> Scheme {
    match scheme {
        Some("https" | "wss") => Scheme::Https,
        _ => Scheme::Http,
    }
}
