//! Routes of the services `Agents` and `DeviceStreams`.

use crate::base::secret::Secret;
use crate::config::{Diagnostics, Sources, Span, Spanned, codes, values::items};
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

fn routes_of<'r>(
    routes: &'r [RouteBlueprint],
    service: &'static str,
) -> impl Iterator<Item = &'r RouteBlueprint> + Clone {
    routes.iter().filter(move |route| route.service.as_ref().is_some_and(|name| name.value == service))
}

/// Reports agents and device streams to which nothing leads, and routes without the methods that they need.
pub fn check_entrances(
    tunnels: &Spanned<TunnelsDocument>,
    routes: &[RouteBlueprint],
    listeners: &[Listener],
    diagnostics: &mut Diagnostics,
) {
    let (agents, streams) = (routes_of(routes, "Agents"), routes_of(routes, "DeviceStreams"));
    let has_mqtt = listeners.iter().any(|listener| listener.protocol == ListenerProtocol::Mqtt);
    let (has_agents, has_streams) = (agents.clone().next().is_some(), streams.clone().next().is_some());
    if let Some(entries) = tunnels.agents.as_ref().filter(|_| !has_agents && !has_streams && !has_mqtt) {
        diagnostics
            .warning(codes::NO_TUNNEL_ROUTE, entries.span, "no route accepts the connections of the agents")
            .help("add one: { \"UpstreamPathTemplate\": \"/_agents\", \"DownstreamPathTemplate\": \"/\", \"DownstreamService\": \"Agents\" }");
    }
    if let Some(document) = tunnels.device_streams.as_ref().filter(|_| !has_streams) {
        diagnostics
            .warning(codes::NO_TUNNEL_ROUTE, document.span, "no route accepts requests for device streams and their bridges")
            .help("add one: { \"UpstreamPathTemplate\": \"/{everything}\", \"DownstreamPathTemplate\": \"/{everything}\", \"UpstreamHost\": \"hub.example\", \"DownstreamService\": \"DeviceStreams\" }");
    }
    require_methods(agents, &["GET"], diagnostics);
    require_methods(streams, &["GET", "POST"], diagnostics);
}

/// The routes of a service together must accept these methods.
fn require_methods<'r>(
    routes: impl Iterator<Item = &'r RouteBlueprint> + Clone,
    required: &[&str],
    diagnostics: &mut Diagnostics,
) {
    let Some(last) = routes.clone().last() else { return };
    for method in required {
        let accepts = |route: &RouteBlueprint| {
            route.matcher.methods.is_empty() || route.matcher.methods.iter().any(|known| known == method)
        };
        if !routes.clone().any(accepts) {
            let service = last.service.as_ref();
            let span = service.and_then(|service| service.origin).unwrap_or(last.span);
            let name = service.map(|service| service.value.as_str()).unwrap_or_default();
            let message = format!("no route of DownstreamService \"{name}\" accepts {method}");
            diagnostics
                .error(codes::TUNNEL_METHOD, span, message)
                .help(format!("add \"{method}\" to UpstreamHttpMethod of the route, or remove the setting"));
        }
    }
}

/// Reports keys that are written in a file instead of a placeholder.
pub fn warn_written_keys(
    tunnels: &Spanned<TunnelsDocument>,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) {
    let policies = tunnels.policies.iter().flat_map(|policies| policies.iter());
    let agents = tunnels.agents.iter().flat_map(|agents| agents.iter());
    let lists = policies
        .map(|(name, policy)| (name, &policy.keys))
        .chain(agents.map(|(name, agent)| (name, &agent.keys)));
    for (name, keys) in lists {
        for key in items(keys).iter().filter(|key| is_written(key, sources)) {
            let message = format!("a key of \"{}\" is written in the file", name.value);
            diagnostics
                .warning(codes::WRITTEN_TUNNEL_KEY, key.span, message)
                .help("use a placeholder, such as \"${DEV1_KEY}\" or \"${file:/run/secrets/dev1}\"");
        }
    }
}

fn is_written(key: &Spanned<Secret>, sources: &Sources) -> bool {
    let source = sources.get(key.span.file).filter(|source| source.path.is_some());
    let written = source.and_then(|source| source.text.get(key.span.start as usize..key.span.end as usize));
    !key.value.reveal().trim().is_empty() && written.is_some_and(|text| !text.contains("${"))
}
