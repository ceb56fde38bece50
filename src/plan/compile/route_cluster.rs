//! The cluster of a route: a named one, or its own addresses.

use super::clusters::{Clusters, compile_scheme};
use super::discovery;
use super::endpoint_port::default_port;
use super::route_compiler::RouteCompiler;
use super::state_keys::{cluster_key, state_key};
use super::unix_sockets;
use super::weights::{report_missing_host, weight, weights};
use crate::backend::balance::HashPolicy;
use crate::config::{Spanned, codes, suggest};
use crate::net::connection_limit::PoolConfig;
use crate::net::tls::client::ClientTls;
use crate::plan::blueprint::discovery::{DiscoveredService, Registry};
use crate::plan::blueprint::*;
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::check::{items, non_blank, options, values};
use crate::plan::clusters::http_handler::{ResolvedHttpHandler, pool_config};
use crate::plan::clusters::tls::TlsDocument as Tls;
use crate::plan::clusters::{health, load_balancer};
use crate::plan::document::HostAndPort;
use crate::plan::tunnels::host::{agent_host, host_placeholders};
use std::sync::Arc;

impl RouteCompiler<'_, '_, '_> {
    /// The cluster that the route names. It has its own endpoints and options; those of a route would contradict it.
    pub(super) fn named_cluster(
        &mut self,
        clusters: &Clusters,
        name: &Spanned<String>,
    ) -> Arc<ClusterBlueprint> {
        let found = clusters.named(name);
        // The scheme of an endpoint of a role is known, and may be repeated.
        let scheme = found.filter(|found| found.role.is_some()).map(|found| match found.scheme {
            Scheme::Https => "https",
            Scheme::Http | Scheme::SameAsClient => "http",
        });
        options::check_cluster_conflicts(self.document, scheme, self.diagnostics);
        if let Some(found) = found {
            return found.clone();
        }
        clusters.unknown(name, self.diagnostics);
        Arc::new(ClusterBlueprint {
            key: cluster_key(name),
            name: Some(name.value.clone()),
            scheme: Scheme::Http,
            tls: ClientTls::default(),
            pooling: PoolConfig::default(),
            endpoints: Vec::new(),
            balancer: Sourced::new(BalancerKind::NoLoadBalancer, None),
            health: Sourced::new(HealthConfig::default(), None),
            discovery: None,
            role: None,
        })
    }

    /// The endpoints of the route itself, read in the order in which Ocelot would fail.
    pub(super) fn own_cluster(
        &mut self,
        effective: &EffectiveOptions,
        registry: Option<&Registry>,
    ) -> Arc<ClusterBlueprint> {
        let balancer = self.balancer(effective);
        let scheme = self.scheme();
        let mut endpoints = self.endpoints(&balancer.value, scheme);
        weights(items(&self.document.endpoints), &balancer, self.diagnostics);
        let found = self.discovery(registry, &mut endpoints);
        health::report_transport_settings(effective.clusters.health.as_ref(), self.diagnostics);
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
            role: None,
        })
    }

    /// The id of an agent may have placeholders of the path.
    pub(super) fn known_agent_placeholders(&mut self, names: Option<&[Box<str>]>) {
        let hosts = items(&self.document.endpoints).iter().filter_map(|entry| non_blank(&entry.host));
        for host in hosts.filter(|host| !host_placeholders(host).is_empty()) {
            if let Some(names) = names {
                self.known_placeholders(host, names);
            }
        }
    }

    /// The hash key of the balancer must be a path value of the route.
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
        let message = format!("the path of the route has no placeholder \"{name}\", which HashOn names");
        let diagnostic =
            self.diagnostics.error(codes::BAD_HASH_KEY, place.or(cluster.balancer.origin), message);
        if let Some(meant) = suggest::closest_match(name, names.iter().map(|known| &**known)) {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
    }

    /// The registry that lists the endpoints, if the service has a name. With Service Fabric its reverse proxy is the
    /// endpoint.
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
        let Some(scheme) = self.document.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::SameAsClient;
        };
        compile_scheme(self.accept(scheme.span, values::scheme(scheme)))
    }

    fn endpoints(&mut self, balancer: &BalancerKind, scheme: Scheme) -> Vec<Endpoint> {
        let entries = items(&self.document.endpoints);
        let discovered = self.document.service_name.as_ref().is_some_and(|name| !name.is_empty());
        if entries.is_empty() && !discovered {
            let place = self.document.endpoints.as_ref().map_or(self.document.span, |list| list.span);
            self.diagnostics.error(codes::NO_ENDPOINTS, place, "the route has no DownstreamHostAndPorts").help(
                "add the endpoints of the backend: \"DownstreamHostAndPorts\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]",
            );
        }
        let mut endpoints = Vec::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            let before = self.unservable.clone();
            endpoints.extend(self.endpoint(entry, scheme, discovered));
            let is_asked = position == 0 || entries.len() == 1;
            if before.is_none() && (!is_asked && *balancer == BalancerKind::NoLoadBalancer) {
                self.unservable = None;
            }
        }
        endpoints
    }

    fn endpoint(
        &mut self,
        entry: &Spanned<HostAndPort>,
        scheme: Scheme,
        discovered: bool,
    ) -> Option<Endpoint> {
        let Some(host) = non_blank(&entry.host) else {
            if !discovered {
                report_missing_host(entry, "DownstreamHostAndPorts", self.diagnostics);
            }
            return None;
        };
        let tunnels = self.scope.document.tunnels.as_ref();
        if let Some(read) = agent_host(entry, host, tunnels, !self.scope.ocelot, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        if let Some(read) = unix_sockets::backend_socket(entry, host, self.scope.sources, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.accept(host.span, values::host(host));
        let port = match self.accept(port_span, values::port(entry)) {
            Some(None) => default_port(self.scope.ocelot, scheme, entry, self.diagnostics),
            port => port.flatten(),
        };
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
