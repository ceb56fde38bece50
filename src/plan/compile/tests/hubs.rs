//! `Realtime`, `HubServices`, `DownstreamHubService` and `NegotiateOptions`.

use super::*;
use crate::realtime::config::UserEventPattern;
use std::time::Duration;

const KEY: &str = "0123456789012345678901234567890123";

/// A document with one hub service and one route to it.
fn hubs(service: &str, hub: &str, route: &str, rest: &str) -> String {
    let service = if service.is_empty() { String::new() } else { format!(", {service}") };
    let route = if route.is_empty() { String::new() } else { format!(", {route}") };
    format!(
        r#"{{ "HubServices": {{ "rt": {{ "Type": "WebPubSub", "Keys": ["{KEY}"], "PublicUrls": ["http://a"],
        "Hubs": {{ "chat": {hub} }}{service} }} }},
        "Routes": [{{ "UpstreamPathTemplate": "/rt/{{everything}}", "DownstreamPathTemplate": "/{{everything}}",
        "DownstreamHubService": "rt"{route} }}]{rest} }}"#
    )
}

fn handler(settings: &str) -> String {
    hubs("", &format!(r#"{{ "EventHandlers": [{{ {settings} }}] }}"#), "", "")
}

#[test]
fn a_hub_service_compiles_with_the_defaults() {
    let blueprint = valid(&hubs("", "{}", "", ""), false);
    let service = &blueprint.hubs.services[0].config;
    let hub = service.hub("chat").unwrap();
    assert_eq!(
        (hub.keep_alive_interval, hub.recovery_time),
        (Duration::from_secs(20), Duration::from_secs(60))
    );
    assert_eq!((hub.limits.max_queued_messages, hub.limits.max_message_bytes), (1000, 1 << 20));
    assert!(service.hub("other").is_none() && service.clock_skew == Duration::from_secs(60));
    assert_eq!(blueprint.routes[0].hub.as_ref().unwrap().service.value, "rt");
}

#[test]
fn the_path_within_the_service_defaults_to_the_path_of_the_request() {
    let text = hubs("", "{}", "", "").replace(r#""DownstreamPathTemplate": "/{everything}","#, "");
    assert_eq!(valid(&text, false).routes[0].backend_path.value, "/rt/{everything}");
}

#[test]
fn event_handlers_compile_with_their_backends() {
    let text = handler(
        r#""UrlTemplate": "http://app:81/{hub}/{event}?x=1", "UserEventPattern": "one, two", "SystemEvents": ["connect"],
        "Timeout": "2s", "Validate": false, "Headers": { "X-Secret": "s" }"#,
    );
    let blueprint = valid(&text, false);
    let service = &blueprint.hubs.services[0];
    let handler = &service.config.hub("chat").unwrap().event_handlers[0];
    assert_eq!(handler.user_events, Some(UserEventPattern::Names(vec!["one".into(), "two".into()])));
    assert!(handler.system_events.connect && !handler.system_events.connected && !handler.validate);
    assert_eq!((handler.timeout, handler.headers.len()), (Some(Duration::from_secs(2)), 1));
    let endpoint = &service.backends[handler.backend].endpoints[0];
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("app", Some(81)));
}

#[test]
fn mistakes_of_services_are_reported_with_their_place() {
    let cases = [
        (hubs("", "{}", "", "").replace(r#""Type": "WebPubSub", "#, ""), "MG0803"),
        (hubs("", "{}", "", "").replace(KEY, "short"), "MG0804 \"short\""),
        (hubs("", "{}", "", "").replace(r#"["http://a"]"#, r#"["ws://a"]"#), "MG0806 \"ws://a\""),
        (hubs("", "{}", "", "").replace("chat", "1chat"), "MG0805 \"1chat\""),
        (hubs(r#""ClockSkew": "2h""#, "{}", "", ""), "MG0812 \"2h\""),
        (hubs(r#""ServerSchemes": ["x"]"#, "{}", "", ""), "MG0813 \"x\""),
        (hubs("", r#"{ "Limits": { "MaxMessageSize": "1" } }"#, "", ""), "MG0812 \"1\""),
        (hubs("", "{}", "", r#", "Realtime": { "NodeName": "a-b" }"#), "MG0814 \"a-b\""),
        (hubs("", "{}", r#""DownstreamScheme": "http""#, ""), "MG0802 \"http\""),
        (hubs("", "{}", "", "").replace(r#"Service": "rt""#, r#"Service": "rx""#), "MG0801 \"rx\""),
    ];
    for (text, expected) in cases {
        let reported = reported(&text, false);
        assert!(reported.len() == 1 && reported[0].starts_with(expected), "{expected}: {reported:?}");
    }
    let text = hubs("", "{}", "", "").replace(r#""PublicUrls": ["http://a"],"#, "");
    assert!(reported(&text, false)[0].starts_with("(MG0807)"));
    let twice = format!(r#""{KEY}", "{KEY}""#);
    let text = hubs("", "{}", "", "").replace(&format!("\"{KEY}\""), &twice);
    assert!(reported(&text, false)[0].starts_with("MG0804"));
}

#[test]
fn mistakes_of_event_handlers_are_reported() {
    for (settings, code) in [
        (r#""UserEventPattern": "*""#, "MG0808"),
        (r#""UrlTemplate": "http://{hub}.a/x""#, "MG0808"),
        (r#""UrlTemplate": "/x""#, "MG0808"),
        (r#""UrlTemplate": "http://a/{name}""#, "MG0808"),
        (r#""UrlTemplate": "http://a/{event""#, "MG0808"),
        (r#""UrlTemplate": "http://a/", "UserEventPattern": "a,,b""#, "MG0809"),
        (r#""UrlTemplate": "http://a/", "UserEventPattern": "*", "SystemEvents": ["conect"]"#, "MG0809"),
        (r#""UrlTemplate": "http://a/", "UserEventPattern": "*", "Timeout": "1ms""#, "MG0812"),
        (r#""UrlTemplate": "http://a/", "UserEventPattern": "*", "Headers": { "ce-type": "x" }"#, "MG0811"),
        (r#""UrlTemplate": "http://a/", "UserEventPattern": "*", "DownstreamCluster": "c""#, "MG0808"),
    ] {
        let reported = reported(&handler(settings), false);
        assert!(reported.iter().any(|line| line.starts_with(code)), "{settings}: {reported:?}");
    }
    let two = r#"{ "EventHandlers": [{ "UrlTemplate": "http://a/", "UserEventPattern": "*" },
        { "UrlTemplate": "http://b/", "UserEventPattern": "one" }] }"#;
    let reported = reported(&hubs("", two, "", ""), false);
    assert!(reported.len() == 1 && reported[0].starts_with("(MG0810)"), "{reported:?}");
}

#[test]
fn a_negotiation_needs_a_hub_and_should_be_authenticated() {
    let options = |options: &str| hubs("", "{}", &format!(r#""NegotiateOptions": {{ {options} }}"#), "");
    let blueprint = valid(&options(r#""Hub": "Chat", "Roles": ["r.{claim:sub}"], "Expiry": "10m""#), false);
    let negotiate = blueprint.routes[0].hub.as_ref().unwrap().negotiate.clone().unwrap();
    assert_eq!((&*negotiate.hub, negotiate.expiry), ("chat", Duration::from_secs(600)));
    for (settings, expected) in [
        (r#""Hub": "chat""#, "(MG0816)"),
        (r#""UserIdClaim": "sub""#, "MG0815"),
        (r#""Hub": "other""#, "MG0815"),
        (r#""Hub": "chat", "Groups": ["{claim:}"]"#, "MG0815"),
        (r#""Hub": "chat", "Expiry": "1s""#, "MG0812"),
    ] {
        let reported = reported(&options(settings), false);
        assert!(reported.iter().any(|line| line.starts_with(expected)), "{settings}: {reported:?}");
    }
}

#[test]
fn a_hub_is_no_part_of_an_aggregate() {
    let text = hubs(
        "",
        "{}",
        r#""Key": "a""#,
        r#", "Aggregates": [{ "RouteKeys": ["a", "b"], "UpstreamPathTemplate": "/x/{everything}" }]"#,
    )
    .replace(
        r#""Routes": ["#,
        r#""Routes": [{ "Key": "b", "UpstreamPathTemplate": "/b", "DownstreamPathTemplate": "/b",
            "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "localhost", "Port": 80 }] }, "#,
    );
    let reported = reported(&text, false);
    assert!(reported.iter().any(|line| line.starts_with("MG0817")), "{reported:?}");
}
