//! Event handlers.

use super::{
    documents::EventHandlerDocument, event_pattern::event_pattern, find_cluster::FindCluster, signalr,
};
use crate::base::{
    bytes::{is_field_value, is_token},
    secret::Secret,
    url::HttpUrl,
};
use crate::config::{Diagnostics, Spanned, codes, ranges::RangeChecker};
use crate::plan::blueprint::{ClusterBlueprint, Endpoint, Scheme};
use crate::plan::check::{items, non_blank};
use crate::realtime::{
    config::{EventHandlerConfig, ServiceType, SystemEvents, UserEventPattern},
    events::{self, UrlError},
};
use std::{sync::Arc, time::Duration};

/// The names of the system events.
const SYSTEM_EVENTS: [&str; 5] = ["connect", "connected", "disconnected", "joined", "left"];
/// The placeholders of a URL template.
const PLACEHOLDERS: [&str; 2] = ["{hub}", "{event}"];
/// Those of SignalR.
const SIGNALR_PLACEHOLDERS: [&str; 3] = ["{hub}", "{category}", "{event}"];
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// Compiles a handler, and the cluster that its requests are sent to.
pub fn compile(
    document: &Spanned<EventHandlerDocument>,
    (service, service_type): (&str, ServiceType),
    find_cluster: &FindCluster,
    diagnostics: &mut Diagnostics,
) -> Option<(EventHandlerConfig, Arc<ClusterBlueprint>)> {
    let Some(template) = non_blank(&document.url_template) else {
        diagnostics
            .error(codes::BAD_HANDLER_URL, document.span, "the event handler has no UrlTemplate")
            .help("set it, such as \"UrlTemplate\": \"https://app.example.com/events/{event}\"");
        return None;
    };
    let named = non_blank(&document.cluster);
    let authority = check_template(template, placeholders(service_type), named.is_some(), diagnostics);
    let cluster = match named {
        Some(name) => find_cluster(name, diagnostics),
        None => authority.map(|url| Arc::new(own_cluster(service, &url))),
    };
    let mut ranges = RangeChecker::for_code(codes::HUB_RANGE, diagnostics);
    let timeout = document
        .timeout
        .as_ref()
        .map(|_| ranges.time("Timeout", &document.timeout, MAX_TIMEOUT, MIN_TIMEOUT, MAX_TIMEOUT));
    let (user_events, system_events) = events(service_type, document, diagnostics);
    let validates = document.validate.as_ref().is_none_or(|set| set.value);
    let handler = EventHandlerConfig {
        url_template: template.value.as_str().into(),
        backend: 0,
        user_events,
        system_events,
        timeout,
        validate: validates && service_type == ServiceType::WebPubSub,
        headers: headers(document, diagnostics),
    };
    Some((handler, cluster?))
}

fn placeholders(service_type: ServiceType) -> &'static [&'static str] {
    match service_type {
        ServiceType::WebPubSub => &PLACEHOLDERS,
        ServiceType::SignalR => &SIGNALR_PLACEHOLDERS,
    }
}

/// What the handler receives: user events or methods, and events of the system.
fn events(
    service_type: ServiceType,
    document: &EventHandlerDocument,
    diagnostics: &mut Diagnostics,
) -> (Option<UserEventPattern>, SystemEvents) {
    match service_type {
        ServiceType::SignalR => signalr::events(document, diagnostics),
        ServiceType::WebPubSub => (
            user_events(&document.user_event_pattern, diagnostics),
            system_events(items(&document.system_events), diagnostics),
        ),
    }
}

/// Checks a template; returns the URL of its authority, unless it is only a path.
fn check_template(
    template: &Spanned<String>,
    placeholders: &[&str],
    is_path_only: bool,
    diagnostics: &mut Diagnostics,
) -> Option<HttpUrl> {
    let mut report = |problem: &str, help: &str| {
        let message = format!("invalid UrlTemplate \"{}\": {problem}", template.value);
        diagnostics.error(codes::BAD_HANDLER_URL, template.span, message).help(help.to_owned());
    };
    const PATH_HELP: &str = "with DownstreamCluster it must be a path, such as /events/{event}";
    const URL_HELP: &str = "must be an absolute http or https URL; {hub}, {event} and for SignalR {category} may be in path and query";
    let (authority, target) = split_authority(template);
    if is_path_only && (!authority.is_empty() || !target.starts_with('/')) {
        report("the cluster has the host", PATH_HELP);
        return None;
    }
    if authority.contains(['{', '}']) {
        report("a placeholder in scheme, host or port", URL_HELP);
        return None;
    }
    if let Some(problem) = placeholder_problem(target, placeholders) {
        report(&problem, URL_HELP);
    }
    if target.contains('#') {
        report("it has a fragment", URL_HELP);
    }
    let problem = match events::check_template(template, placeholders) {
        Ok(None) if !is_path_only => "it has no host",
        Ok(url) => return url.filter(|_| !is_path_only),
        Err(UrlError::Malformed(problem)) => problem,
        // Reported above.
        Err(UrlError::PlaceholderInAuthority | UrlError::UnknownPlaceholder(_)) => return None,
    };
    report(problem, if is_path_only { PATH_HELP } else { URL_HELP });
    None
}

/// The scheme and authority of a URL, and what follows.
fn split_authority(template: &str) -> (&str, &str) {
    let Some(start) = template.find("://").map(|at| at + 3) else { return ("", template) };
    let end = template[start..].find(['/', '?', '#']).map_or(template.len(), |at| start + at);
    template.split_at(end)
}

/// What is wrong with the placeholders, if anything.
fn placeholder_problem(target: &str, placeholders: &[&str]) -> Option<String> {
    let mut rest = target;
    while let Some(open) = rest.find(['{', '}']) {
        let Some(inner) = rest[open..].strip_prefix('{') else { return Some("unbalanced braces".to_owned()) };
        let Some((name, after)) = inner.split_once('}') else { return Some("unbalanced braces".to_owned()) };
        if !placeholders.iter().any(|known| known[1..known.len() - 1] == *name) {
            return Some(format!("unknown placeholder {{{name}}}"));
        }
        rest = after;
    }
    None
}

/// The cluster of one endpoint: the host of the URL.
fn own_cluster(service: &str, url: &HttpUrl) -> ClusterBlueprint {
    let scheme = if url.tls { Scheme::Https } else { Scheme::Http };
    ClusterBlueprint {
        key: format!(
            "hub service {service}: {}://{}:{}",
            if url.tls { "https" } else { "http" },
            url.host,
            url.port
        ),
        scheme,
        endpoints: vec![Endpoint { host: url.host.clone(), port: Some(url.port), weight: 1 }],
        ..ClusterBlueprint::none()
    }
}

fn user_events(setting: &Option<Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<UserEventPattern> {
    event_pattern("UserEventPattern", setting.as_ref()?, diagnostics)
}

fn system_events(names: &[Spanned<String>], diagnostics: &mut Diagnostics) -> SystemEvents {
    let mut events = SystemEvents::default();
    for name in names {
        match name.value.as_str() {
            "connect" => events.connect = true,
            "connected" => events.connected = true,
            "disconnected" => events.disconnected = true,
            "joined" => events.joined = true,
            "left" => events.left = true,
            unknown => {
                let message = format!("unknown system event \"{unknown}\"");
                let diagnostic = diagnostics.error(codes::BAD_EVENT_PATTERN, name.span, message);
                diagnostic.expected(unknown, &SYSTEM_EVENTS);
            }
        }
    }
    events
}

fn headers(document: &EventHandlerDocument, diagnostics: &mut Diagnostics) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for (name, value) in document.headers.iter().flat_map(|map| map.iter()) {
        let Some(value) = value else { continue };
        if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) || is_reserved(name) {
            diagnostics
                .error(codes::BAD_HANDLER_HEADER, name.span, format!("invalid header \"{}\"", name.value))
                .help("must be a valid name and value; Host, Content-*, ce-*, WebHook-* and X-ASRS-* are set by the gateway");
        }
        headers.push((name.value.clone(), Secret::new(value.value.clone())));
    }
    headers
}

/// Whether the gateway sets this field itself.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const NAMES: [&str; 4] = ["host", "connection", "transfer-encoding", "upgrade"];
    NAMES.contains(&&*name)
        || ["content-", "ce-", "webhook-", "x-asrs-"].iter().any(|start| name.starts_with(start))
}
