//! Routes of the services `Agents` and `DeviceStreams`.

use crate::config::{Diagnostics, Span, Spanned, codes};
use crate::plan::blueprint::{Listener, ListenerProtocol, RouteBlueprint};
use crate::plan::document::TunnelsDocument;

/// The services of tunnels.
const SERVICES: [&str; 2] = ["Agents", "DeviceStreams"];

/// Reports routes of the services without the section `Tunnels`, and routes on which tokens are sent without TLS.
pub fn check_routes(
    tunnels: Option<&Spanned<TunnelsDocument>>,
    routes: &[RouteBlueprint],
    listeners: &[Listener],
    diagnostics: &mut Diagnostics,
) {
    for route in routes {
        let Some(service) = route.service.as_ref().filter(|name| SERVICES.contains(&name.value.as_str()))
        else {
            continue;
        };
        let span = service.origin.unwrap_or(route.span);
        if tunnels.is_none() {
            let message = format!("DownstreamService \"{}\" without Tunnels", service.value);
            diagnostics.error(codes::NO_TUNNELS, span, message).help(
                "add the section: \"Tunnels\": { \"Agents\": { \"dev1\": { \"Keys\": [\"${DEV1_KEY}\"] } } }",
            );
        }
        let streams = tunnels.and_then(|tunnels| tunnels.device_streams.as_ref());
        if service.value == "DeviceStreams" && tunnels.is_some() && streams.is_none() {
            let message = "DownstreamService \"DeviceStreams\" without Tunnels.DeviceStreams";
            diagnostics
                .error(codes::NO_TUNNELS, span, message)
                .help("add it: \"DeviceStreams\": { \"HostNames\": [\"hub.example\"], \"PublicUrl\": \"wss://hub.example\" }");
        }
        report_open(span, route, listeners, diagnostics);
    }
}

/// Whether other machines reach the listener without TLS.
fn is_open(listener: &Listener) -> bool {
    listener.tls.is_none() && !listener.is_behind_tls && !listener.address.is_local()
}

/// Reports MQTT listeners without devices, and those on which tokens are sent without TLS.
pub fn check_listeners(
    tunnels: Option<&Spanned<TunnelsDocument>>,
    listeners: &[Listener],
    diagnostics: &mut Diagnostics,
) {
    let has_devices = tunnels.is_some_and(|tunnels| tunnels.device_streams.is_some());
    for listener in listeners.iter().filter(|listener| listener.protocol == ListenerProtocol::Mqtt) {
        if !has_devices {
            let message =
                format!("the listener \"{}\" has Protocol Mqtt without Tunnels.DeviceStreams", listener.name);
            diagnostics
                .error(codes::NO_TUNNELS, listener.span, message)
                .help("add it: \"DeviceStreams\": { \"HostNames\": [\"hub.example\"], \"PublicUrl\": \"wss://hub.example\" }");
        }
        if is_open(listener) {
            let message =
                format!("tokens of devices are sent without TLS to the listener \"{}\"", listener.name);
            diagnostics
                .error(codes::OPEN_TUNNEL, listener.span, message)
                .help("set Tls of the listener, or BehindTls if a proxy in front of it ends TLS");
        }
    }
}

fn report_open(span: Span, route: &RouteBlueprint, listeners: &[Listener], diagnostics: &mut Diagnostics) {
    let mut matched = listeners.iter().filter(|listener| {
        let names = &route.matcher.listeners;
        names.is_empty() || names.iter().any(|name| *name == *listener.name)
    });
    if let Some(open) = matched.find(|listener| is_open(listener)) {
        let message = format!("tokens of agents are sent without TLS to the listener \"{}\"", open.name);
        diagnostics
            .error(codes::OPEN_TUNNEL, span, message)
            .help("set Tls of the listener, restrict the route with Listeners to one that has TLS, or set BehindTls if a proxy ends TLS");
    }
}
