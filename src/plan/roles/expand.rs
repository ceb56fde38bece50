//! The listeners and routes that endpoints of roles stand for. They are added to the document, so that they are compiled and checked
//! like those that an operator writes.

use super::blueprint::{
    EndpointKind, EndpointProtocol, INTERNAL_LISTENER, InstancePort, RoleEndpoint, RolesBlueprint, UDP_SUFFIX,
};
use crate::config::values::{List, Setting, items};
use crate::config::{Span, Spanned};
use crate::plan::document::{
    Document, ListenerDocument, RoleEndpointDocument, RouteDocument, TransportRouteDocument,
};
use std::net::{IpAddr, SocketAddr};

/// The path of the route for all requests of an endpoint.
const ANY_PATH: &str = "/{everything}";

/// The address of the default listener.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// Adds the listeners and routes of all endpoints.
pub fn expand(document: &mut Document, roles: &RolesBlueprint) {
    add_default_listener(document, roles);
    if let Some(options) = document.role_options.as_ref()
        && let Some(internal) = &options.internal_listener
    {
        let listener = ListenerDocument {
            address: internal.address.clone(),
            tls: internal.tls.clone(),
            ..listener_document(INTERNAL_LISTENER, EndpointProtocol::Tcp, internal.span)
        };
        add(&mut document.listeners, Spanned::new(listener, internal.span));
    }
    let written = document.roles.clone();
    for endpoint in roles.endpoints() {
        let source = written.iter().flat_map(|roles| roles.iter()).find_map(|(role, document)| {
            let endpoints = document.endpoints.as_ref().filter(|_| *role.value == *endpoint.role)?;
            endpoints.iter().find(|(name, _)| *name.value == *endpoint.name).map(|(_, document)| document)
        });
        let Some(source) = source else { continue };
        EndpointExpander { endpoint, source, document }.add();
    }
}

/// HTTP routes next to roles are served by the default listener, as without roles, unless all of them name other listeners.
fn add_default_listener(document: &mut Document, roles: &RolesBlueprint) {
    let is_default = |route: &Spanned<RouteDocument>| {
        let listeners = items(&route.listeners);
        listeners.is_empty() || listeners.iter().any(|name| name.value == DEFAULT_ADDRESS)
    };
    let routes = document.routes.as_ref().filter(|list| list.iter().any(is_default)).map(|list| list.span);
    let dynamic = document.dynamic_routes.as_ref().filter(|list| !list.is_empty()).map(|list| list.span);
    let apis = document.apis.as_ref().map(|apis| apis.span);
    let Some(span) =
        routes.or(dynamic).or(apis).filter(|_| !roles.is_empty() && items(&document.listeners).is_empty())
    else {
        return;
    };
    let listener = ListenerDocument { address: text(DEFAULT_ADDRESS, span), ..ListenerDocument::default() };
    add(&mut document.listeners, Spanned::new(listener, span));
}

fn text(value: impl Into<String>, span: Span) -> Setting<String> {
    Some(Spanned::new(value.into(), span))
}

fn add<T>(list: &mut List<T>, entry: Spanned<T>) {
    let span = entry.span;
    list.get_or_insert_with(|| Spanned::new(Vec::new(), span)).value.push(entry);
}

/// A listener with a name and a protocol.
fn listener_document(name: &str, protocol: EndpointProtocol, span: Span) -> ListenerDocument {
    let protocol = match protocol {
        EndpointProtocol::Http | EndpointProtocol::Https => "Http",
        EndpointProtocol::Udp => "Udp",
        EndpointProtocol::Tcp | EndpointProtocol::Any => "Tcp",
    };
    ListenerDocument { name: text(name, span), protocol: text(protocol, span), ..ListenerDocument::default() }
}

/// Adds what one endpoint stands for.
struct EndpointExpander<'e> {
    endpoint: &'e RoleEndpoint,
    source: &'e Spanned<RoleEndpointDocument>,
    document: &'e mut Document,
}

impl EndpointExpander<'_> {
    fn add(&mut self) {
        let endpoint = self.endpoint;
        let port = match endpoint.kind {
            EndpointKind::Input => endpoint.public_port,
            EndpointKind::Internal => endpoint.gateway_port,
            // One listener for each public port in use, when the plan is built.
            EndpointKind::InstanceInput => None,
        };
        let Some(port) = port else { return };
        let name = &endpoint.full_name.value;
        match endpoint.protocol {
            EndpointProtocol::Http => self.http(port),
            EndpointProtocol::Https if !endpoint.passes_through => self.http(port),
            EndpointProtocol::Https | EndpointProtocol::Tcp => {
                self.transport(name, EndpointProtocol::Tcp, port);
            }
            EndpointProtocol::Udp => self.transport(name, EndpointProtocol::Udp, port),
            EndpointProtocol::Any => {
                self.transport(name, EndpointProtocol::Tcp, port);
                self.transport(&format!("{name}{UDP_SUFFIX}"), EndpointProtocol::Udp, port);
            }
        }
    }

    /// The place in the document.
    fn span(&self) -> Span {
        self.source.span
    }

    fn listener(&mut self, name: &str, protocol: EndpointProtocol, port: u16) {
        let (span, endpoint) = (self.span(), self.endpoint);
        let last = match endpoint.instance_port {
            InstancePort::Range(range) if endpoint.kind == EndpointKind::Internal => {
                usize::from(port) + range.len() - 1
            }
            _ => usize::from(port),
        };
        let listener = ListenerDocument {
            address: text(addresses(endpoint.bind_address, port, last), span),
            tls: self.source.listener_tls.clone(),
            ..listener_document(name, protocol, span)
        };
        add(&mut self.document.listeners, Spanned::new(listener, span));
    }

    fn transport(&mut self, name: &str, protocol: EndpointProtocol, port: u16) {
        self.listener(name, protocol, port);
        let (span, source) = (self.span(), self.source);
        let route = TransportRouteDocument {
            key: text(name, span),
            listeners: Some(Spanned::new(vec![Spanned::new(name.to_owned(), span)], span)),
            cluster: text(self.endpoint.full_name(), span),
            access_rules: source.access_rules.clone(),
            ip_filter: source.ip_filter.clone(),
            transport: source.transport.clone(),
            ..TransportRouteDocument::default()
        };
        add(&mut self.document.transport_routes, Spanned::new(route, span));
    }

    /// An HTTP listener; without a route that names it all its requests go to the endpoint.
    fn http(&mut self, port: u16) {
        let name = self.endpoint.full_name();
        self.listener(&name, self.endpoint.protocol, port);
        let is_named = |route: &Spanned<RouteDocument>| {
            items(&route.listeners).iter().any(|listener| listener.value == name)
        };
        if items(&self.document.routes).iter().any(is_named) {
            return;
        }
        let span = self.span();
        let route = RouteDocument {
            key: text(name.clone(), span),
            client_path: text(ANY_PATH, span),
            backend_path: text(ANY_PATH, span),
            listeners: Some(Spanned::new(vec![Spanned::new(name.clone(), span)], span)),
            cluster: text(name, span),
            ..RouteDocument::default()
        };
        add(&mut self.document.routes, Spanned::new(route, span));
    }
}

/// An address, or an address with a range of ports.
fn addresses(address: IpAddr, first: u16, last: usize) -> String {
    let first_address = SocketAddr::new(address, first).to_string();
    if last == usize::from(first) { first_address } else { format!("{first_address}-{last}") }
}
