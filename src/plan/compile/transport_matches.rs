//! The conditions of transport routes: their listeners, server names, protocols and TLS modes, and conflicts between routes.

use super::transport_listeners::{self, DeclaredListener};
use crate::config::{Diagnostics, Span, Spanned, codes, suggest};
use crate::net::tls::sni::is_host_pattern;
use crate::plan::blueprint::ListenerProtocol;
use crate::plan::check::{items, non_blank};
use crate::plan::document::TransportRouteDocument;
use crate::plan::roles::blueprint::INTERNAL_LISTENER;
use crate::plan::transport::{RouteConditions, TransportRouteBlueprint};
use std::collections::HashMap;

/// Compiles what a route matches.
pub struct MatchCompiler<'d, 'o> {
    pub document: &'d Spanned<TransportRouteDocument>,
    pub listeners: &'d [DeclaredListener],
    pub diagnostics: &'o mut Diagnostics,
}

impl<'d> MatchCompiler<'d, '_> {
    /// The listeners that the route names.
    pub fn listeners(&mut self) -> Vec<&'d DeclaredListener> {
        let names = items(&self.document.listeners);
        if names.is_empty() {
            let span = self.document.listeners.as_ref().map_or(self.document.span, |list| list.span);
            self.diagnostics
                .error(codes::TRANSPORT_ROUTE, span, "the transport route has no Listeners")
                .help("name at least one of Listeners with Protocol Tcp or Udp");
        }
        let found: Vec<_> = names.iter().filter_map(|name| self.listener(name)).collect();
        let is_udp = |listener: &&DeclaredListener| listener.protocol == ListenerProtocol::Udp;
        if let (Some(list), true, false) =
            (&self.document.listeners, found.iter().any(is_udp), found.iter().all(is_udp))
        {
            self.diagnostics
                .error(codes::TRANSPORT_ROUTE, list.span, "the listeners of the route are of both transports")
                .help("write one route for TCP and one for UDP");
        }
        found
    }

    fn listener(&mut self, name: &Spanned<String>) -> Option<&'d DeclaredListener> {
        let found = self.listeners.iter().find(|listener| listener.name == name.value);
        if found.is_none() {
            let message = format!("unknown listener \"{}\"", name.value);
            let diagnostic = self.diagnostics.error(codes::TRANSPORT_ROUTE, name.span, message);
            let known: Vec<&str> = self.listeners.iter().map(|listener| listener.name.as_str()).collect();
            match suggest::closest_match(name, known.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
                None => diagnostic.help(format!("the listeners are {}", suggest::list(&known))),
            };
        }
        if let Some(listener) = found.filter(|listener| listener.protocol == ListenerProtocol::Http) {
            self.check_http_listener(name, listener);
        }
        found
    }

    /// An HTTP listener may pass some server names through.
    fn check_http_listener(&mut self, name: &Spanned<String>, listener: &DeclaredListener) {
        let mode = non_blank(&self.document.tls_mode);
        let passes_through = mode.is_some_and(|mode| mode.trim().eq_ignore_ascii_case("passthrough"));
        let has_names = !items(&self.document.server_names).is_empty();
        if !listener.has_tls || !passes_through || !has_names {
            let message = format!("the listener \"{}\" is for HTTP", name.value);
            self.diagnostics.error(codes::TRANSPORT_ROUTE, name.span, message).help(
                "set \"Protocol\": \"Tcp\" on the listener; an HTTP listener with Tls may pass server names through: \
                 \"TlsMode\": \"Passthrough\" with UpstreamServerNames",
            );
        }
    }

    /// The server names and protocols.
    pub fn conditions(&mut self, listeners: &[&DeclaredListener]) -> RouteConditions {
        let (names, alpn) = (items(&self.document.server_names), items(&self.document.alpn));
        let is_udp = listeners.iter().any(|listener| listener.protocol == ListenerProtocol::Udp);
        let spans = [
            ("UpstreamServerNames", names.first().map(|name| name.span)),
            ("UpstreamAlpn", alpn.first().map(|name| name.span)),
        ];
        for (setting, span) in spans.into_iter().filter(|_| is_udp) {
            if let Some(span) = span {
                let message = format!("{setting} has no effect on a UDP listener");
                self.diagnostics.error(codes::TRANSPORT_ROUTE, span, message).help("remove it");
            }
        }
        for name in names.iter().filter(|name| !is_host_pattern(name)) {
            let help = match name.ends_with('.') {
                true => "remove the dot at the end",
                false => "must be a host name, or *. and a host name for all names below",
            };
            let message = format!("invalid server name \"{}\"", name.value);
            self.diagnostics.error(codes::TRANSPORT_SERVER_NAME, name.span, message).help(help);
        }
        let alpn = transport_listeners::alpn(alpn, self.diagnostics);
        self.warn_addresses(names);
        let lower = |name: &Spanned<String>| name.to_ascii_lowercase();
        RouteConditions { server_names: names.iter().map(lower).collect(), alpn }
    }

    /// A client sends no address as the server name.
    fn warn_addresses(&mut self, names: &[Spanned<String>]) {
        let is_address = |name: &Spanned<String>| name.parse::<std::net::IpAddr>().is_ok();
        if let Some(first) = names.first().filter(|_| names.iter().all(is_address)) {
            self.diagnostics
                .warning(codes::TRANSPORT_UNREACHABLE, first.span, "the route can never match")
                .help("clients do not send addresses as server names; write a host name");
        }
    }

    /// `TlsMode`; `None`: as each listener has it.
    pub fn terminates(&mut self, listeners: &[&DeclaredListener]) -> Option<bool> {
        let mode = non_blank(&self.document.tls_mode);
        let terminates = mode.and_then(|mode| match mode.trim().to_ascii_lowercase().as_str() {
            "terminate" => Some(true),
            "passthrough" => Some(false),
            _ => {
                self.diagnostics
                    .error(codes::UNKNOWN_CHOICE, mode.span, format!("unknown TlsMode \"{}\"", mode.value))
                    .help("expected \"Terminate\" or \"Passthrough\"");
                None
            }
        });
        let span = mode.map_or(self.document.span, |mode| mode.span);
        let is_tcp = |listener: &&&DeclaredListener| listener.protocol == ListenerProtocol::Tcp;
        if let Some(listener) = listeners.iter().find(|l| !l.has_tls).filter(|_| terminates == Some(true)) {
            let message = format!("TlsMode is Terminate, and the listener \"{}\" has no Tls", listener.name);
            self.diagnostics
                .error(codes::TRANSPORT_TLS, span, message)
                .help("add Tls to the listener, or set \"TlsMode\": \"Passthrough\"");
        }
        let has_names = !items(&self.document.server_names).is_empty();
        let unnamed = listeners.iter().filter(is_tcp).find(|listener| listener.has_tls);
        if let Some(listener) = unnamed.filter(|_| terminates == Some(false) && !has_names) {
            let message =
                format!("the listener \"{}\" has Tls, and the route passes it through", listener.name);
            self.diagnostics
                .error(codes::TRANSPORT_TLS, span, message)
                .help("set the UpstreamServerNames that are passed through, or remove Tls from the listener");
        }
        terminates
    }
}

/// Reports routes with the same conditions on one listener, and listeners that no route names.
pub fn check_routes(
    routes: &[TransportRouteBlueprint],
    listeners: &[DeclaredListener],
    diagnostics: &mut Diagnostics,
) {
    let mut seen: HashMap<(&str, Option<&str>, Option<&str>), &TransportRouteBlueprint> = HashMap::new();
    for route in routes {
        let mut reported: Option<Span> = None;
        for listener in &route.listeners {
            for (name, alpn) in condition_pairs(&route.conditions) {
                match seen.get(&(listener.as_str(), name, alpn)) {
                    Some(first) if !std::ptr::eq(*first, route) && reported.is_none() => {
                        let message =
                            format!("the route has the same conditions as {} on \"{listener}\"", first.name);
                        diagnostics
                            .error(codes::TRANSPORT_DUPLICATE, route.span, message)
                            .help("distinguish them by UpstreamServerNames or UpstreamAlpn");
                        reported = Some(route.span);
                    }
                    Some(_) => {}
                    None => drop(seen.insert((listener, name, alpn), route)),
                }
            }
        }
    }
    let is_used = |listener: &DeclaredListener| {
        listener.name == INTERNAL_LISTENER || routes.iter().any(|r| r.listeners.contains(&listener.name))
    };
    let is_transport =
        |l: &DeclaredListener| matches!(l.protocol, ListenerProtocol::Tcp | ListenerProtocol::Udp);
    let unused = listeners.iter().filter(|l| is_transport(l) && !is_used(l));
    for listener in unused {
        let message = format!("no transport route names the listener \"{}\"", listener.name);
        diagnostics
            .warning(codes::TRANSPORT_UNUSED, listener.span, message)
            .help("name it in the Listeners of a transport route, or remove it");
    }
}

/// Every pair of a server name and a protocol; `None`: any.
fn condition_pairs(conditions: &RouteConditions) -> Vec<(Option<&str>, Option<&str>)> {
    let names = optional(&conditions.server_names);
    let protocols = optional(&conditions.alpn);
    names.iter().flat_map(|name| protocols.iter().map(move |alpn| (*name, *alpn))).collect()
}

/// The texts of a list; `None` for an empty one.
fn optional(list: &[String]) -> Vec<Option<&str>> {
    if list.is_empty() { vec![None] } else { list.iter().map(|text| Some(text.as_str())).collect() }
}
