//! The named clusters of a document.

use super::discovery;
use super::endpoint_port::default_port;
use super::role_clusters;
use super::state_keys::cluster_key;
use super::unix_sockets;
use super::weights::{report_missing_host, weight, weights};
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, suggest};
use crate::net::connection_limit::PoolConfig;
use crate::plan::blueprint::discovery::{DiscoveredService, Registry};
use crate::plan::blueprint::*;
use crate::plan::check::{CheckContext, OcelotTolerated, items, non_blank, values};
use crate::plan::clusters::http_handler::{ResolvedHttpHandler, check_http_handler, cluster_pool_config};
use crate::plan::clusters::load_balancer::LoadBalancerOptions;
use crate::plan::clusters::tls::TlsDocument as Tls;
use crate::plan::clusters::{ClusterOptions, health, load_balancer};
use crate::plan::document::{ClusterDocument, HostAndPort, TunnelsDocument};
use crate::plan::tunnels::host::agent_host;
use std::cell::Cell;
use std::sync::Arc;

/// The named clusters.
pub struct Clusters<'d>(Vec<NamedCluster<'d>>);

struct NamedCluster<'d> {
    name: &'d Spanned<String>,
    cluster: Arc<ClusterBlueprint>,
    is_used: Cell<bool>,
}

impl<'d> Clusters<'d> {
    /// Compiles `Clusters`.
    pub fn read(
        scope: &CheckContext<'d>,
        registry: Option<&Registry>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let documents = scope.document.clusters.iter().flat_map(|map| map.iter());
        let read = |(name, document): (&'d Spanned<String>, &'d Spanned<ClusterDocument>)| NamedCluster {
            name,
            cluster: Arc::new(cluster(scope, registry, name, document, diagnostics)),
            is_used: Cell::new(false),
        };
        let mut clusters: Vec<NamedCluster> = documents.map(read).collect();
        for (name, cluster) in role_clusters::role_clusters(scope, diagnostics) {
            if let Some(other) = clusters.iter().find(|other| other.name.value == name.value) {
                let message = format!("the cluster \"{}\" has the name of an endpoint of a role", name.value);
                diagnostics.error(codes::ROLE_NAME, other.name.span, message).help("rename the cluster");
            }
            clusters.push(NamedCluster { name, cluster: Arc::new(cluster), is_used: Cell::new(true) });
        }
        Clusters(clusters)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<ClusterBlueprint>> {
        let found = self.0.iter().find(|known| known.name.value == name)?;
        found.is_used.set(true);
        Some(&found.cluster)
    }

    /// Reports an unknown cluster.
    pub(super) fn unknown(&self, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
        let message = format!("unknown cluster \"{}\"", name.value);
        let diagnostic = diagnostics.error(codes::UNKNOWN_CLUSTER, name.span, message);
        if let Some(meant) = suggest::closest_match(name, self.0.iter().map(|known| known.name.as_str())) {
            diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        diagnostic.help(format!(
            "clusters are defined at the top level, next to Routes:\n\"Clusters\": {{ \"{}\": {{ \"Endpoints\": \
             [{{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }}] }} }}",
            name.value
        ));
    }

    /// A cluster that no route uses is most likely a mistake.
    pub fn report_unused(&self, diagnostics: &mut Diagnostics) {
        for unused in self.0.iter().filter(|named| !named.is_used.get()) {
            let message = format!("no route uses the cluster \"{}\"", unused.name.value);
            let diagnostic = diagnostics.warning(codes::UNUSED_CLUSTER, unused.name.span, message);
            diagnostic.help("set it as the DownstreamCluster of a route, or remove it");
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
    let mut reader = ClusterReader::new(scope, diagnostics);
    let balancer = reader.balancer(options.load_balancer.as_deref());
    let health = health::health(options.health.as_ref(), reader.diagnostics);
    let scheme = reader.scheme(document);
    let endpoints = reader.endpoints(document, scheme);
    weights(items(&document.endpoints), &balancer, reader.diagnostics);
    health::check_ports(&health, &endpoints, reader.diagnostics);
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
        key: cluster_key(name),
        name: Some(name.value.clone()),
        scheme,
        tls,
        pooling,
        endpoints,
        balancer,
        health,
        discovery: found,
        role: None,
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

/// Compiles one named cluster: Ocelot has none, so nothing is tolerated for compatibility.
struct ClusterReader<'o> {
    sources: &'o Sources,
    tunnels: Option<&'o Spanned<TunnelsDocument>>,
    diagnostics: &'o mut Diagnostics,
}

impl<'o> ClusterReader<'o> {
    fn new(scope: &'o CheckContext, diagnostics: &'o mut Diagnostics) -> ClusterReader<'o> {
        ClusterReader { sources: scope.sources, tunnels: scope.document.tunnels.as_ref(), diagnostics }
    }

    fn accept<T>(&mut self, span: Span, read: Result<T, OcelotTolerated>) -> Option<T> {
        read.map_err(|error| error.report(self.diagnostics, false, span)).ok()
    }

    fn balancer(&mut self, balancing: Option<&LoadBalancerOptions>) -> Sourced<BalancerKind> {
        let Some(balancing) = balancing else { return Sourced::new(BalancerKind::NoLoadBalancer, None) };
        let read = load_balancer::balancer(balancing, false, self.diagnostics);
        let (span, read) = read.map_or((None, None), |(span, read)| (Some(span), self.accept(span, read)));
        Sourced::new(read.unwrap_or_default(), span)
    }

    fn scheme(&mut self, document: &ClusterDocument) -> Scheme {
        let Some(scheme) = document.scheme.as_ref().filter(|scheme| !scheme.is_empty()) else {
            return Scheme::SameAsClient;
        };
        compile_scheme(self.accept(scheme.span, values::scheme(scheme)))
    }

    /// The registry that lists the endpoints, if the service has a name.
    fn discovery(
        &mut self,
        scope: &CheckContext,
        registry: Option<&Registry>,
        document: &Spanned<ClusterDocument>,
    ) -> Option<DiscoveredService> {
        let own = document.discovery.as_ref().map(|own| discovery::registry(scope, own, self.diagnostics));
        let Some(name) = non_blank(&document.service_name) else {
            if let Some(own) = &document.discovery {
                let message = "the cluster has a Discovery but no ServiceName";
                self.diagnostics
                    .error(codes::NO_REGISTRY, own.span, message)
                    .help("set ServiceName, or remove Discovery");
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

    fn endpoints(&mut self, document: &Spanned<ClusterDocument>, scheme: Scheme) -> Vec<Endpoint> {
        if items(&document.endpoints).is_empty() && non_blank(&document.service_name).is_none() {
            let span = document.endpoints.as_ref().map_or(document.span, |list| list.span);
            self.diagnostics
                .error(codes::NO_ENDPOINTS, span, "the cluster has no Endpoints")
                .help("add the endpoints of the backend: \"Endpoints\": [{ \"Host\": \"127.0.0.1\", \"Port\": 9101 }]");
        }
        items(&document.endpoints).iter().filter_map(|entry| self.endpoint(entry, scheme)).collect()
    }

    fn endpoint(&mut self, entry: &Spanned<HostAndPort>, scheme: Scheme) -> Option<Endpoint> {
        let Some(host) = non_blank(&entry.host) else {
            report_missing_host(entry, "Endpoints", self.diagnostics);
            return None;
        };
        if let Some(read) = agent_host(entry, host, self.tunnels, false, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        if let Some(read) = unix_sockets::backend_socket(entry, host, self.sources, self.diagnostics) {
            return Some(Endpoint { host: read?, port: None, weight: weight(entry, self.diagnostics) });
        }
        let port_span = entry.port.as_ref().map_or(entry.span, |port| port.span);
        let read = self.accept(host.span, values::host(host));
        let port = self.accept(port_span, values::port(entry))?;
        let port = port.or_else(|| default_port(false, scheme, entry, self.diagnostics));
        Some(Endpoint { host: read?, port, weight: weight(entry, self.diagnostics) })
    }
}

/// The scheme of a cluster, of one that is valid.
pub(super) fn compile_scheme(scheme: Option<&str>) -> Scheme {
    match scheme {
        Some("https" | "wss") => Scheme::Https,
        _ => Scheme::Http,
    }
}
