//! Settings that only one of the types of hub services has.

use super::{
    documents::{EventHandlerDocument, HubDocument, NegotiateOptions},
    event_pattern::event_pattern,
};
use crate::config::{Diagnostics, Span, Spanned, codes, ranges::RangeChecker};
use crate::plan::check::items;
use crate::realtime::{
    config::{ServiceType, SignalRHubConfig, SystemEvents, UserEventPattern},
    protocols::signalr::Transport,
};
use std::time::Duration;

/// How long a connection with stateful reconnect is kept without a socket.
pub const RECONNECT_TIME: Duration = Duration::from_secs(30);
/// The default interval of pings.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The categories of events.
const CATEGORIES: [&str; 2] = ["connections", "messages"];

/// Reports settings of the other type.
pub fn report_foreign_settings(
    service_type: ServiceType,
    hub: &Spanned<HubDocument>,
    diagnostics: &mut Diagnostics,
) {
    let foreign = match service_type {
        ServiceType::WebPubSub => of_signalr(hub),
        ServiceType::SignalR => of_web_pub_sub(hub),
    };
    for (setting, span) in foreign {
        let message = format!("{setting} has no effect on a hub service of the type {}", service_type.name());
        diagnostics.error(codes::FOREIGN_HUB_SETTING, span, message).help("remove it");
    }
}

/// Reports settings of negotiations that SignalR does not have.
pub fn report_roles(options: &NegotiateOptions, diagnostics: &mut Diagnostics) {
    let settings = [("Roles", &options.roles), ("Groups", &options.groups)];
    for (setting, span) in settings.map(|(setting, list)| (setting, list.as_ref().map(|list| list.span))) {
        let Some(span) = span else { continue };
        let message = format!("{setting} has no effect on a hub service of the type SignalR");
        diagnostics.error(codes::FOREIGN_HUB_SETTING, span, message).help("remove it");
    }
}

type Settings = Vec<(&'static str, Span)>;

fn of_signalr(hub: &HubDocument) -> Settings {
    let mut settings = vec![
        ("Transports", hub.transports.as_ref().map(|set| set.span)),
        ("HandshakeTimeout", hub.handshake_timeout.as_ref().map(|set| set.span)),
        ("ClientTimeout", hub.client_timeout.as_ref().map(|set| set.span)),
        ("PollTimeout", hub.poll_timeout.as_ref().map(|set| set.span)),
        ("PollGap", hub.poll_gap.as_ref().map(|set| set.span)),
        ("ReconnectBuffer", hub.reconnect_buffer.as_ref().map(|set| set.span)),
    ];
    for handler in items(&hub.event_handlers) {
        settings.push(("CategoryPattern", handler.category_pattern.as_ref().map(|set| set.span)));
        settings.push(("EventPattern", handler.event_pattern.as_ref().map(|set| set.span)));
    }
    present(settings)
}

fn of_web_pub_sub(hub: &HubDocument) -> Settings {
    let mut settings = vec![
        ("AnonymousConnect", hub.anonymous_connect.as_ref().map(|set| set.span)),
        ("RecoveryTime", hub.recovery_time.as_ref().map(|set| set.span)),
    ];
    for handler in items(&hub.event_handlers) {
        settings.push(("UserEventPattern", handler.user_event_pattern.as_ref().map(|set| set.span)));
        settings.push(("SystemEvents", handler.system_events.as_ref().map(|set| set.span)));
        settings.push(("Validate", handler.validate.as_ref().map(|set| set.span)));
    }
    present(settings)
}

fn present(settings: Vec<(&'static str, Option<Span>)>) -> Settings {
    settings.into_iter().filter_map(|(name, span)| Some((name, span?))).collect()
}

/// The transports of a hub; without any, all.
pub fn transports(names: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Vec<Transport> {
    let known = Transport::ALL.map(Transport::name);
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("unknown transport \"{}\"", name.value);
        let diagnostic = diagnostics.error(codes::BAD_TRANSPORT, name.span, message);
        diagnostic.expected(name, &known);
    }
    let is_listed =
        |transport: &Transport| names.is_empty() || names.iter().any(|name| name.value == transport.name());
    Transport::ALL.into_iter().filter(is_listed).collect()
}

/// The settings of a hub, without its transports.
pub fn hub_config(hub: &HubDocument, ranges: &mut RangeChecker) -> SignalRHubConfig {
    let (default, second) = (SignalRHubConfig::default(), Duration::from_secs(1));
    SignalRHubConfig {
        transports: Vec::new(),
        handshake_timeout: ranges.time(
            "HandshakeTimeout",
            &hub.handshake_timeout,
            default.handshake_timeout,
            second,
            60 * second,
        ),
        client_timeout: ranges.time(
            "ClientTimeout",
            &hub.client_timeout,
            default.client_timeout,
            second,
            600 * second,
        ),
        poll_timeout: ranges.time(
            "PollTimeout",
            &hub.poll_timeout,
            default.poll_timeout,
            second,
            300 * second,
        ),
        poll_gap: ranges.time("PollGap", &hub.poll_gap, default.poll_gap, second, 300 * second),
        reconnect_buffer_bytes: ranges.size(
            "ReconnectBuffer",
            &hub.reconnect_buffer,
            default.reconnect_buffer_bytes as u64,
            1 << 10,
            16 << 20,
        ),
    }
}

/// The methods and the events of connections that a handler receives.
pub fn events(
    handler: &EventHandlerDocument,
    diagnostics: &mut Diagnostics,
) -> (Option<UserEventPattern>, SystemEvents) {
    let mut read = |name, setting: &Option<Spanned<String>>| match setting {
        None => Some(UserEventPattern::All),
        Some(pattern) => event_pattern(name, pattern, diagnostics),
    };
    let categories = read("CategoryPattern", &handler.category_pattern);
    let events = read("EventPattern", &handler.event_pattern);
    if let (Some(UserEventPattern::Names(names)), Some(pattern)) = (&categories, &handler.category_pattern) {
        for name in names.iter().filter(|name| !CATEGORIES.contains(&&***name)) {
            diagnostics
                .error(codes::BAD_EVENT_PATTERN, pattern.span, format!("unknown category \"{name}\""))
                .expected(name, &CATEGORIES);
        }
    }
    let has = |category| categories.as_ref().is_some_and(|pattern| pattern.matches(category));
    let receives =
        |event| has("connections") && events.as_ref().is_some_and(|pattern| pattern.matches(event));
    let system_events = SystemEvents {
        connected: receives("connected"),
        disconnected: receives("disconnected"),
        ..SystemEvents::default()
    };
    (events.clone().filter(|_| has("messages")), system_events)
}
