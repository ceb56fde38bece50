//! Completes the roles of the blueprint with what needs their clusters.

use super::clusters::Clusters;
use super::role_clusters::{config, document_of};
use crate::config::{Diagnostics, Span, codes};
use crate::net::listener::Address;
use crate::plan::blueprint::{ClusterBlueprint, RouteBlueprint};
use crate::plan::check::CheckContext;
use crate::plan::roles::blueprint::{InstanceInput, InternalEndpoint};
use crate::plan::roles::compile::check_public_ports;
use crate::plan::roles::{EndpointKind, EndpointProtocol, Registration, RoleEndpoint, RolesBlueprint};
use crate::plan::transport::TransportConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The internal service that is the directory of roles.
const DIRECTORY_SERVICE: &str = "Roles";

/// Adds what needs the clusters: endpoints with a public port for each instance, and those of the internal listener.
pub fn complete(
    scope: &CheckContext,
    (clusters, routes): (&Clusters, &[RouteBlueprint]),
    connect_timeout: Duration,
    diagnostics: &mut Diagnostics,
) -> RolesBlueprint {
    let Some(mut roles) = scope.roles.cloned() else { return RolesBlueprint::default() };
    check_public_ports(&roles, diagnostics);
    if roles.options.registration == Registration::Any {
        warn_open_registration(routes, diagnostics);
    }
    for endpoint in scope.roles.iter().flat_map(|roles| roles.endpoints()) {
        let Some(document) = document_of(scope, endpoint) else { continue };
        let Some(cluster) = clusters.named(&endpoint.full_name.value).cloned() else { continue };
        let is_udp = endpoint.protocol == EndpointProtocol::Udp;
        match endpoint.kind {
            EndpointKind::Input => {}
            EndpointKind::InstanceInput => {
                let config = config(scope, document, is_udp, connect_timeout, diagnostics);
                roles.instance_inputs.extend(instance_input(endpoint, cluster, config));
            }
            EndpointKind::Internal => {
                // The transport route of its GatewayPort reports mistakes.
                let ignored = &mut Diagnostics::default();
                let reported = if endpoint.gateway_port.is_some() { ignored } else { &mut *diagnostics };
                let config = config(scope, document, is_udp, connect_timeout, reported);
                if let Some(listener) = &mut roles.options.internal_listener {
                    listener.endpoints.insert(endpoint.full_name(), InternalEndpoint { cluster, config });
                }
            }
        }
    }
    roles
}

/// All public ports of instances, also those that are not in use yet.
pub fn public_addresses(roles: &RolesBlueprint) -> Vec<(Address, Option<Span>)> {
    let with_ports = roles.endpoints().filter_map(|endpoint| Some((endpoint, endpoint.public_ports?)));
    let addresses = with_ports.flat_map(|(endpoint, ports)| {
        let is_udp = endpoint.protocol == EndpointProtocol::Udp;
        let make = if is_udp { Address::Udp } else { Address::Tcp };
        let addresses = ports.ports().map(|port| SocketAddr::new(endpoint.bind_address, port));
        addresses.map(move |address| (make(address), Some(endpoint.full_name.span)))
    });
    addresses.collect()
}

fn warn_open_registration(routes: &[RouteBlueprint], diagnostics: &mut Diagnostics) {
    let is_directory = |route: &&RouteBlueprint| {
        route.service.as_ref().is_some_and(|service| service.value == DIRECTORY_SERVICE)
    };
    for route in routes.iter().filter(is_directory).filter(|route| route.stages.authentication.is_none()) {
        diagnostics
            .warning(codes::OPEN_REGISTRATION, route.span, "every client of the route can register instances")
            .help("set AuthenticationOptions on the route, or \"Registration\": \"Self\"");
    }
}

fn instance_input(
    endpoint: &RoleEndpoint,
    cluster: Arc<ClusterBlueprint>,
    config: TransportConfig,
) -> Option<InstanceInput> {
    Some(InstanceInput {
        role: endpoint.role.clone(),
        endpoint: endpoint.name.clone(),
        full_name: endpoint.full_name(),
        span: endpoint.full_name.span,
        is_udp: endpoint.protocol == EndpointProtocol::Udp,
        bind_address: endpoint.bind_address,
        public_ports: endpoint.public_ports?,
        cluster,
        admission: endpoint.admission.clone(),
        config,
    })
}
