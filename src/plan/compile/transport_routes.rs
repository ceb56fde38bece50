//! `TransportRoutes[]` → transport routes of the blueprint.

use super::clusters::Clusters;
use super::discovery;
use super::state_keys::cluster_key;
use super::transport_listeners::{DeclaredListener, declared};
use super::transport_matches::{MatchCompiler, check_routes};
use super::transport_settings::{transport_options, unsuitable};
use super::unix_sockets;
use super::weights::{report_missing_host, weight, weights};
use crate::config::{Diagnostics, OcelotTolerated, Span, Spanned, codes, suggest};
use crate::net::agents::address::AgentAddress;
use crate::net::connection_limit::PoolConfig;
use crate::net::unix_address::UnixAddress;
use crate::plan::blueprint::discovery::{DiscoveredService, Registry};
use crate::plan::blueprint::{BalancerKind, ClusterBlueprint, Endpoint, ListenerProtocol, Scheme, Sourced};
use crate::plan::check::{CheckContext, items, non_blank, values};
use crate::plan::clusters::tls::TlsDocument as Tls;
use crate::plan::clusters::{Effective, health, load_balancer};
use crate::plan::document::{HostAndPort, TransportRouteDocument};
use crate::plan::transport::access::admission;
use crate::plan::transport::{TransportConfig, TransportRouteBlueprint};
use crate::plan::tunnels::host::agent_host;
use std::sync::Arc;
use std::time::Duration;

/// What all transport routes of a document share.
pub struct TransportContext<'d> {
    pub registry: Option<&'d Registry>,
    pub clusters: &'d Clusters<'d>,
    /// `Limits.ConnectTimeout`.
    pub connect_timeout: Duration,
}

/// The transport routes of the document.
pub fn transport_routes(
    scope: &CheckContext,
    context: &TransportContext,
    diagnostics: &mut Diagnostics,
) -> Vec<TransportRouteBlueprint> {
    let listeners = declared(items(&scope.document.listeners));
    let documents = items(&scope.document.transport_routes);
    let mut routes: Vec<TransportRouteBlueprint> = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let mut compiler = RouteCompiler { scope, context, document, is_udp: false, diagnostics };
        let mut route = compiler.route(index, &listeners);
        if routes.iter().any(|known| known.name == route.name) {
            route.name = format!("{}#{index}", route.name);
        }
        routes.push(route);
    }
    check_routes(&routes, &listeners, diagnostics);
    routes
}

struct RouteCompiler<'r, 'd, 'o> {
    scope: &'r CheckContext<'d>,
    context: &'r TransportContext<'r>,
    document: &'r Spanned<TransportRouteDocument>,
    is_udp: bool,
    diagnostics: &'o mut Diagnostics,
}

impl RouteCompiler<'_, '_, '_> {
    fn route(&mut self, index: usize, declared: &[DeclaredListener]) -> TransportRouteBlueprint {
        let document = self.document;
        let mut matches = MatchCompiler { document, listeners: declared, diagnostics: self.diagnostics };
        let listeners = matches.listeners();
        let (conditions, terminates) = (matches.conditions(&listeners), matches.terminates(&listeners));
        self.is_udp = listeners.iter().any(|listener| listener.protocol == ListenerProtocol::Udp);
        let names: Vec<String> = listeners.iter().map(|listener| listener.name.clone()).collect();
        let name = match non_blank(&document.key) {
            Some(key) => key.value.clone(),
            None => format!("{}#{index}", names.join("+")),
        };
        let options = transport_options(&document.transport, &self.scope.global.transport);
        let config =
            TransportConfig::compile(&options, self.is_udp, self.context.connect_timeout, self.diagnostics);
        let inherited = self.scope.global.ip_filter.as_ref().map(|lists| &lists.value);
        let guarded = self
            .scope
            .roles
            .and_then(|roles| names.iter().find_map(|listener| roles.internal_endpoint(listener)));
        TransportRouteBlueprint {
            span: document.span,
            cluster: self.cluster(&name, &config),
            name,
            listeners: names,
            conditions,
            is_udp: self.is_udp,
            terminates,
            admission: admission(&document.access_rules, &document.ip_filter, inherited, self.diagnostics),
            config,
            port_offset: guarded.map_or(0, |endpoint| endpoint.port_offset()),
            guarded_endpoint: guarded.map(|endpoint| endpoint.full_name()),
        }
    }

    fn cluster(&mut self, name: &str, config: &TransportConfig) -> Arc<ClusterBlueprint> {
        match non_blank(&self.document.cluster) {
            Some(cluster) => self.named_cluster(cluster),
            None => Arc::new(self.own_cluster(name, config)),
        }
    }

    fn named_cluster(&mut self, name: &Spanned<String>) -> Arc<ClusterBlueprint> {
        let found = self.context.clusters.named(name);
        // The scheme of an endpoint of a role is known, and may be repeated.
        let scheme =
            found.filter(|found| found.role.is_some()).map(|found| match (found.scheme, self.is_udp) {
                (_, true) => "udp",
                (Scheme::Https, false) => "tls",
                (Scheme::Http | Scheme::SameAsClient, false) => "tcp",
            });
        self.report_cluster_conflicts(scheme);
        let Some(found) = found else {
            self.context.clusters.unknown(name, self.diagnostics);
            return Arc::new(ClusterBlueprint::none());
        };
        if let Some(setting) = unsuitable(&found.balancer.value) {
            let message = format!("the cluster \"{}\" has {setting}, which needs requests", name.value);
            self.diagnostics
                .error(codes::TRANSPORT_BALANCER, name.span, message)
                .help("choose another load balancer for the cluster, or give the route its own endpoints");
        }
        found.clone()
    }

    /// The settings of a cluster have no effect next to `DownstreamCluster`.
    fn report_cluster_conflicts(&mut self, scheme: Option<&str>) {
        let route = self.document;
        let repeats =
            |set: &&Spanned<String>| scheme.is_some_and(|same| set.trim().eq_ignore_ascii_case(same));
        let settings: [(&str, Option<Span>); 6] = [
            (
                "DownstreamHostAndPorts",
                route.endpoints.as_ref().filter(|list| !list.is_empty()).map(|set| set.span),
            ),
            ("ServiceName", non_blank(&route.service_name).map(|set| set.span)),
            ("DownstreamScheme", non_blank(&route.scheme).filter(|set| !repeats(set)).map(|set| set.span)),
            ("LoadBalancerOptions", route.load_balancer.as_ref().map(|set| set.span)),
            ("HealthCheckOptions", route.health.as_ref().map(|set| set.span)),
            ("TlsOptions", route.tls.as_ref().map(|set| set.span)),
        ];
        for (setting, span) in settings {
            let Some(span) = span else { continue };
            let message =
                format!("the route has a DownstreamCluster and {setting}, which belongs to the cluster");
            self.diagnostics
                .error(codes::CLUSTER_AND_OWN, span, message)
                .help(format!("move {setting} to the cluster, or remove DownstreamCluster"));
        }
    }

    fn own_cluster(&mut self, name: &str, config: &TransportConfig) -> ClusterBlueprint {
        let route = self.document;
        let scheme = self.scheme();
        let balancer = self.balancer();
        let endpoints = self.endpoints();
        weights(items(&route.endpoints), &balancer, self.diagnostics);
        let discovery = self.discovery();
        let options = Effective::without_inheritance(&route.health);
        let health = health::transport_health(options.as_ref(), self.is_udp, self.diagnostics);
        health::check_ports(&health, &endpoints, self.diagnostics);
        if let Some(tls) = route.tls.as_ref().filter(|_| scheme == Scheme::Http) {
            self.diagnostics
                .error(codes::TRANSPORT_TLS, tls.span, "TlsOptions have no effect without TLS to the service")
                .help("set \"DownstreamScheme\": \"tls\", or remove TlsOptions");
        }
        let options = Effective::without_inheritance(&route.tls).filter(|_| scheme == Scheme::Https);
        let tls = Tls {
            own_span: options.as_ref().and_then(|options| options.own_span),
            options: options.as_ref(),
            accept_any: &None,
            scheme,
        };
        let tls = tls.read(self.scope.attached, self.diagnostics);
        unix_sockets::check_server_name(items(&route.endpoints), scheme, &tls, self.scope, self.diagnostics);
        ClusterBlueprint {
            key: cluster_key(&format!("TransportRoutes {name}")),
            scheme,
            tls,
            pooling: PoolConfig { proxy_protocol: config.proxy_protocol, ..PoolConfig::default() },
            endpoints,
            balancer,
            health,
            discovery,
            ..ClusterBlueprint::none()
        }
    }

    fn scheme(&mut self) -> Scheme {
        let known: &[&str] = if self.is_udp { &["udp"] } else { &["tcp", "tls"] };
        let Some(scheme) = non_blank(&self.document.scheme) else { return Scheme::Http };
        let name = scheme.trim().to_ascii_lowercase();
        if !known.contains(&name.as_str()) {
            let message = format!("unknown DownstreamScheme \"{}\" of a transport route", scheme.value);
            self.diagnostics
                .error(codes::BAD_SCHEME, scheme.span, message)
                .help(format!("expected {}", suggest::one_of(known)));
        }
        if name == "tls" { Scheme::Https } else { Scheme::Http }
    }

    fn accept<T>(&mut self, span: Span, read: Result<T, OcelotTolerated>) -> Option<T> {
        read.map_err(|error| error.report(self.diagnostics, false, span)).ok()
    }

    fn balancer(&mut self) -> Sourced<BalancerKind> {
        let Some(options) = &self.document.load_balancer else {
            return Sourced::new(BalancerKind::NoLoadBalancer, None);
        };
        let read = load_balancer::balancer(options, false, self.diagnostics);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.accept(span, read)));
        if let Some(setting) = read.as_ref().and_then(unsuitable) {
            let hash_on = non_blank(&options.hash_on).map(|set| set.span).filter(|_| setting == "HashOn");
            let message = format!("{setting} needs requests, and the route forwards bytes");
            self.diagnostics
                .error(codes::TRANSPORT_BALANCER, hash_on.or(span), message)
                .help("choose another load balancer; ConsistentHash has \"HashOn\": \"IP\"");
        }
        Sourced::new(read.unwrap_or_default(), span)
    }

    fn discovery(&mut self) -> Option<DiscoveredService> {
        let route = self.document;
        let name = non_blank(&route.service_name)?;
        discovery::report_unused_addresses(
            false,
            "DownstreamHostAndPorts",
            &route.endpoints,
            self.diagnostics,
        );
        let service =
            discovery::service(false, name, &route.service_namespace, &route.scheme, self.diagnostics);
        discovery::discovery(name.span, self.context.registry, self.scope, service, self.diagnostics)
    }

    fn endpoints(&mut self) -> Vec<Endpoint> {
        let entries = items(&self.document.endpoints);
        if entries.is_empty() && non_blank(&self.document.service_name).is_none() {
            let span = self.document.endpoints.as_ref().map_or(self.document.span, |list| list.span);
            self.diagnostics
                .error(codes::NO_ENDPOINTS, span, "the transport route has no DownstreamHostAndPorts")
                .help("add the endpoints of the service: \"DownstreamHostAndPorts\": [{ \"Host\": \"127.0.0.1\", \"Port\": 5432 }]");
        }
        entries.iter().filter_map(|entry| self.endpoint(entry)).collect()
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>) -> Option<Endpoint> {
        let Some(host) = non_blank(&entry.host) else {
            report_missing_host(entry, "DownstreamHostAndPorts", self.diagnostics);
            return None;
        };
        let weight = weight(entry, self.diagnostics);
        if self.is_udp && UnixAddress::has_unix_scheme(host) {
            self.diagnostics
                .error(codes::BAD_SOCKET, host.span, "datagrams are not sent to Unix domain sockets")
                .help("set a host name or an IP address");
            return None;
        }
        if self.is_udp && AgentAddress::has_agent_scheme(host) {
            self.diagnostics
                .error(codes::BAD_AGENT_HOST, host.span, "datagrams are not sent to services of agents")
                .help("use a TCP listener");
            return None;
        }
        let tunnels = self.scope.document.tunnels.as_ref();
        if let Some(host) = agent_host(entry, host, tunnels, false, self.diagnostics) {
            return Some(Endpoint { host: host?, port: None, weight });
        }
        let socket = unix_sockets::backend_socket(entry, host, self.scope.sources, self.diagnostics);
        if let Some(host) = socket {
            return Some(Endpoint { host: host?, port: None, weight });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let host = self.accept(host.span, values::host(host));
        let port = self.accept(port_span, values::port(entry)).flatten();
        Some(Endpoint { host: host?, port, weight })
    }
}
