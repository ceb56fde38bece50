//! SignalR: hub services of this type, and `SignalROptions` of routes.

use super::*;
use crate::backend::affinity::AffinityMode;
use crate::realtime::{config::UserEventPattern, protocols::signalr::Transport};
use std::time::Duration;

const KEY: &str = "0123456789012345678901234567890123";

/// A document with a service that has the hub `chat`, and a route to it.
fn hub(settings: &str, route: &str) -> String {
    format!(
        r#"{{ "HubServices": {{ "sr": {{ "Type": "SignalR", "Keys": ["{KEY}"], "PublicUrls": ["http://a"],
        "Hubs": {{ "chat": {{ {settings} }} }} }} }},
        "Routes": [{{ "UpstreamPathTemplate": "/{{everything}}", "DownstreamHubService": "sr"{route} }}] }}"#
    )
}

/// A document with a route to two servers.
fn servers(options: &str, route: &str) -> String {
    format!(
        r#"{{ "Routes": [{{ "UpstreamPathTemplate": "/app/{{everything}}", "DownstreamPathTemplate": "/{{everything}}",
        "DownstreamScheme": "http", "DownstreamHostAndPorts": [{{ "Host": "a", "Port": 80 }}, {{ "Host": "b", "Port": 80 }}],
        "SignalROptions": {{ {options} }}{route} }}] }}"#
    )
}

#[test]
fn a_hub_has_the_defaults_of_signalr() {
    let handler = r#""EventHandlers": [{ "UrlTemplate": "http://app/{hub}/{category}/{event}" }]"#;
    let blueprint = valid(&hub(handler, ""), false);
    let hub = blueprint.hubs.services[0].config.hub("chat").unwrap();
    assert_eq!(
        (hub.keep_alive_interval, hub.recovery_time),
        (Duration::from_secs(15), Duration::from_secs(30))
    );
    assert_eq!(hub.signalr.transports, Transport::ALL);
    let handler = &hub.event_handlers[0];
    assert_eq!(handler.user_events, Some(UserEventPattern::All));
    let events = handler.system_events;
    assert!(
        events.connected && events.disconnected && !events.connect && !events.joined && !handler.validate
    );
}

#[test]
fn patterns_select_categories_and_events() {
    let events = |patterns: &str| {
        let handler = format!(r#""EventHandlers": [{{ "UrlTemplate": "http://app/", {patterns} }}]"#);
        let blueprint = valid(&hub(&handler, ""), false);
        let handler = blueprint.hubs.services[0].config.hub("chat").unwrap().event_handlers[0].clone();
        let receives = |name| handler.user_events.as_ref().is_some_and(|events| events.matches(name));
        (receives("Echo"), receives("Other"), handler.system_events.connected)
    };
    assert_eq!(events(r#""CategoryPattern": "messages", "EventPattern": "Echo, Add""#), (true, false, false));
    assert_eq!(events(r#""CategoryPattern": "connections""#), (false, false, true));
    assert_eq!(events(r#""EventPattern": "connected""#), (false, false, true));
}

#[test]
fn mistakes_of_hubs_are_reported() {
    for (settings, route, expected) in [
        (r#""Transports": ["WebSocket"]"#, "", "MG0824 \"WebSocket\""),
        (r#""RecoveryTime": "20s""#, "", "MG0823 \"20s\""),
        (r#""PollGap": "1ms""#, "", "MG0812 \"1ms\""),
        (r#""EventHandlers": [{ "UrlTemplate": "http://a/", "CategoryPattern": "x" }]"#, "", "MG0809 \"x\""),
        (r#""EventHandlers": [{ "UrlTemplate": "http://a/", "UserEventPattern": "*" }]"#, "", "MG0823 \"*\""),
        ("", r#", "SignalROptions": { "Affinity": "Cookie" }"#, "MG0820"),
    ] {
        let reported = reported(&hub(settings, route), false);
        assert!(reported.iter().any(|line| line.starts_with(expected)), "{expected}: {reported:?}");
    }
    let text = hub(r#""PollGap": "20s""#, "").replace(r#""Type": "SignalR""#, r#""Type": "WebPubSub""#);
    assert!(reported(&text, false).iter().any(|line| line.starts_with("MG0823")));
}

#[test]
fn affinity_has_a_mode_and_a_key() {
    let mode = |options: &str| {
        let options = format!(r#"{options}, "Key": "{KEY}""#);
        let blueprint = valid(&servers(&options, ""), false);
        blueprint.routes[0].stages.signalr.clone().unwrap().mode
    };
    assert_eq!(mode(r#""Affinity": "Token""#), AffinityMode::Token);
    assert_eq!(mode(r#""Affinity": "Cookie""#), AffinityMode::Cookie("margay_signalr".into()));
    assert_eq!(mode(r#""Affinity": "Cookie", "CookieName": "at""#), AffinityMode::Cookie("at".into()));
    for (options, route, expected) in [
        (r#""Affinity": "Tokens""#, "", "MG0820 \"Tokens\""),
        (r#""Key": "short""#, "", "MG0820 \"short\""),
        (r#""CookieName": "a b""#, "", "MG0820 \"a b\""),
        (r#""Affinity": "Token""#, "", "(MG0821)"),
        (r#""Affinity": "Token""#, r#", "Timeout": "30s""#, "(MG0822) \"30s\""),
    ] {
        let reported = reported(&servers(options, route), false);
        assert!(reported.iter().any(|line| line.starts_with(expected)), "{expected}: {reported:?}");
    }
}
