//! The clusters of roles: one for each endpoint, named `Role.Endpoint`.

use super::state_keys::cluster_key;
use super::transport_settings::{transport_options, unsuitable};
use crate::backend::balance::BalancerKind;
use crate::config::{Diagnostics, Spanned, codes, suggest};
use crate::net::connection_limit::PoolConfig;
use crate::plan::blueprint::HealthConfig;
use crate::plan::blueprint::{ClusterBlueprint, Endpoint, RoleTarget, Scheme, Sourced};
use crate::plan::check::{CheckContext, non_blank};
use crate::plan::clusters::health::HealthCheckOptions;
use crate::plan::clusters::tls::TlsDocument as Tls;
use crate::plan::clusters::{Effective, health, load_balancer};
use crate::plan::document::RoleEndpointDocument;
use crate::plan::roles::{EndpointProtocol, InstancePort, RoleEndpoint};
use crate::plan::transport::TransportConfig;
use std::time::Duration;

/// The clusters of all endpoints, each with its name.
pub fn role_clusters<'d>(
    scope: &CheckContext<'d>,
    diagnostics: &mut Diagnostics,
) -> Vec<(&'d Spanned<String>, ClusterBlueprint)> {
    let endpoints = scope.roles.iter().flat_map(|roles| roles.endpoints());
    let mut clusters = Vec::new();
    for endpoint in endpoints {
        let Some(document) = document_of(scope, endpoint) else { continue };
        let cluster = EndpointCluster { scope, endpoint, document, diagnostics }.cluster();
        clusters.push((&endpoint.full_name, cluster));
    }
    clusters
}

/// The document of an endpoint.
pub fn document_of<'d>(
    scope: &CheckContext<'d>,
    endpoint: &RoleEndpoint,
) -> Option<&'d Spanned<RoleEndpointDocument>> {
    let mut roles = scope.document.roles.as_ref()?.iter();
    let (_, role) = roles.find(|(name, _)| *name.value == *endpoint.role)?;
    let mut endpoints = role.endpoints.as_ref()?.iter();
    endpoints.find(|(name, _)| *name.value == *endpoint.name).map(|(_, document)| document)
}

struct EndpointCluster<'c, 'd, 'o> {
    scope: &'c CheckContext<'d>,
    endpoint: &'c RoleEndpoint,
    document: &'d Spanned<RoleEndpointDocument>,
    diagnostics: &'o mut Diagnostics,
}

impl EndpointCluster<'_, '_, '_> {
    fn cluster(&mut self) -> ClusterBlueprint {
        let (endpoint, document) = (self.endpoint, self.document);
        let scheme = self.scheme();
        let balancer = self.balancer();
        let options = Effective::without_inheritance(&document.health);
        let health = self.health(options.as_ref());
        let options = Effective::without_inheritance(&document.tls);
        if let Some(tls) = document.tls.as_ref().filter(|_| scheme == Scheme::Http) {
            self.diagnostics
                .error(
                    codes::TRANSPORT_TLS,
                    tls.span,
                    "TlsOptions have no effect without TLS to the instances",
                )
                .help("set \"DownstreamScheme\": \"tls\" (\"https\" for HTTP), or remove TlsOptions");
        }
        let options = options.filter(|_| scheme == Scheme::Https);
        let tls = Tls {
            own_span: options.as_ref().and_then(|options| options.own_span),
            options: options.as_ref(),
            accept_any: &None,
            scheme,
        };
        let proxy_protocol =
            config(self.scope, document, self.is_udp(), Duration::ZERO, &mut Diagnostics::default())
                .proxy_protocol
                .filter(|_| !self.is_http());
        ClusterBlueprint {
            key: cluster_key(&format!("Roles {}", endpoint.full_name.value)),
            name: Some(endpoint.full_name()),
            scheme,
            tls: tls.read(self.scope.attached, self.diagnostics),
            pooling: PoolConfig { proxy_protocol, ..PoolConfig::default() },
            balancer,
            health,
            role: Some(RoleTarget { role: endpoint.role.to_string(), endpoint: endpoint.name.to_string() }),
            ..ClusterBlueprint::none()
        }
    }

    fn health(&mut self, options: Option<&Effective<HealthCheckOptions>>) -> Sourced<HealthConfig> {
        let health = match self.is_http() {
            true => health::health(options, self.diagnostics),
            false => health::transport_health(options, self.is_udp(), self.diagnostics),
        };
        if let InstancePort::Range(_) = self.endpoint.instance_port {
            let portless = Endpoint { host: self.endpoint.full_name(), port: None, weight: 1 };
            health::check_ports(&health, &[portless], self.diagnostics);
        }
        health
    }

    fn is_udp(&self) -> bool {
        self.endpoint.protocol == EndpointProtocol::Udp
    }

    /// Whether the gateway sends requests to the instances, instead of bytes.
    fn is_http(&self) -> bool {
        match self.endpoint.protocol {
            EndpointProtocol::Http => true,
            EndpointProtocol::Https => !self.endpoint.passes_through,
            EndpointProtocol::Tcp | EndpointProtocol::Udp | EndpointProtocol::Any => false,
        }
    }

    fn scheme(&mut self) -> Scheme {
        let known: &[&str] = match (self.is_http(), self.is_udp()) {
            (true, _) => &["http", "https"],
            (false, true) => &["udp"],
            (false, false) => &["tcp", "tls"],
        };
        let Some(scheme) = non_blank(&self.document.scheme) else { return Scheme::Http };
        let name = scheme.trim().to_ascii_lowercase();
        if !known.contains(&name.as_str()) {
            let message = format!("unknown DownstreamScheme \"{}\" of the endpoint", scheme.value);
            self.diagnostics
                .error(codes::BAD_SCHEME, scheme.span, message)
                .help(format!("expected {}", suggest::one_of(known)));
        }
        if name == "tls" || name == "https" { Scheme::Https } else { Scheme::Http }
    }

    /// Roles are balanced by open connections, unless configured.
    fn balancer(&mut self) -> Sourced<BalancerKind> {
        let Some(options) = &self.document.load_balancer else {
            return Sourced::new(BalancerKind::LeastConnection, None);
        };
        let Some((span, read)) = load_balancer::balancer(options, false, self.diagnostics) else {
            return Sourced::new(BalancerKind::LeastConnection, None);
        };
        let read = read.map_err(|error| error.report(self.diagnostics, false, span)).ok();
        if let Some(setting) = read.as_ref().and_then(unsuitable).filter(|_| !self.is_http()) {
            let hash_on = non_blank(&options.hash_on).map(|set| set.span).filter(|_| setting == "HashOn");
            let message = format!("{setting} needs requests, and the endpoint forwards bytes");
            self.diagnostics
                .error(codes::TRANSPORT_BALANCER, hash_on.unwrap_or(span), message)
                .help("choose another load balancer; ConsistentHash has \"HashOn\": \"IP\"");
        }
        Sourced::new(read.unwrap_or_default(), Some(span))
    }
}

/// The timeouts and limits of an endpoint.
pub fn config(
    scope: &CheckContext,
    document: &Spanned<RoleEndpointDocument>,
    is_udp: bool,
    connect_timeout: Duration,
    diagnostics: &mut Diagnostics,
) -> TransportConfig {
    let options = transport_options(&document.transport, &scope.global.transport);
    TransportConfig::compile(&options, is_udp, connect_timeout, diagnostics)
}
