//! Documents as a whole.

use super::*;

#[test]
fn aggregates_obey_ocelots_rules_and_ours() {
    let lines = |routes: &str, aggregates: &str, ocelot: bool| -> Vec<String> {
        let text = format!(r#"{{ "Routes": [{routes}], "Aggregates": [{aggregates}] }}"#);
        reported(&text, ocelot)
    };
    let k = route(
        r#""Key": "K", "UpstreamPathTemplate": "/k", "DownstreamPathTemplate": "/k", "UpstreamHttpMethod": ["POST"]"#,
    );
    let get = route(
        r#""Key": "K", "UpstreamPathTemplate": "/k", "DownstreamPathTemplate": "/k", "UpstreamHttpMethod": ["get"]"#,
    );
    let one = |keys: &str| format!(r#"{{ "RouteKeys": {keys}, "UpstreamPathTemplate": "/k" }}"#);
    assert_eq!(lines(&k, &one(r#"["K"]"#), true), [] as [&str; 0]);
    assert_eq!(lines(&get, &one(r#"["K"]"#), true), [r#"MG0501 "/k""#]);
    assert_eq!(lines(&k, &one(r#"["K", "L"]"#), true), [r#"MG0503 "L""#]);
    assert_eq!(lines(&k, &format!("{0}, {0}", one(r#"["K"]"#)), true), [r#"MG0502 "/k""#]);
    assert_eq!(lines(&k, &one("[]"), true), ["(MG0505) []"]);
    assert_eq!(lines(&k, &one("[]"), false), ["MG0505 []"]);
    let with_id = route(
        r#""Key": "K", "RequestIdKey": "Id", "UpstreamPathTemplate": "/i", "DownstreamPathTemplate": "/k""#,
    );
    assert_eq!(lines(&with_id, &one(r#"["K"]"#), true), [r#"MG0504 "Id""#]);
    let second = route(r#""Key": "K", "UpstreamPathTemplate": "/l", "DownstreamPathTemplate": "/k""#);
    let shared = format!("{k}, {second}");
    assert_eq!(lines(&shared, &one(r#"["K", "L"]"#), true), [r#"(MG0503) "K""#, r#"(MG0503) "L""#]);
    let named = r#"{ "RouteKeys": ["K"], "UpstreamPathTemplate": "/g", "Aggregator": "Mine" }"#;
    assert_eq!(lines(&k, named, true), [r#"(MG0507) "Mine""#]);
    let invalid = r#"{ "RouteKeys": ["K"], "UpstreamPathTemplate": "g" }"#;
    assert_eq!(
        (lines(&k, invalid, true), lines(&k, invalid, false)),
        (vec![r#"(MG0506) "g""#.into()], vec![r#"MG0506 "g""#.into()])
    );
}

#[test]
fn all_errors_are_reported_together() {
    let text = document(
        &route(
            r#""DownstreamPathTemplate": "b", "DownstreamHostAndPorts": [],
            "DownstreamHttpVersion": "x", "AuthenticationOptions": { "AuthenticationProviderKeys": ["No"] }"#,
        ),
        "{}",
    );
    let codes: Vec<String> = reported(&text, true).iter().map(|line| line[..6].to_owned()).collect();
    let mut sorted = codes.clone();
    sorted.sort();
    assert_eq!(sorted, ["MG0302", "MG0320", "MG0325", "MG0401"]);
}

#[test]
fn a_value_that_cannot_be_parsed_is_reported_once() {
    assert_eq!(both(r#""DownstreamHostAndPorts": 5"#).0, ["MG0101 5"]);
    assert_eq!(both(r#""Timeout": "x""#).0, [r#"MG0106 "x""#]);
}

#[test]
fn names_are_unique_and_come_from_the_configuration() {
    let routes = [
        route(r#""Key": "K""#),
        route(r#""UpstreamPathTemplate": "/p/{x}", "UpstreamHttpMethod": ["GET"]"#),
        route(r#""UpstreamPathTemplate": "/p/{x}", "UpstreamHttpMethod": ["POST"]"#),
        route(r#""UpstreamPathTemplate": "/p/{x}", "UpstreamHttpMethod": ["POST"], "UpstreamHost": "h""#),
        route(r#""Key": "K", "UpstreamPathTemplate": "/q/{x}""#),
    ];
    let names: Vec<String> =
        valid(&document(&routes.join(","), "{}"), true).routes.into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["K", "/p/{x}", "POST /p/{x}", "/p/{x} #3", "K #4"]);
}

#[test]
fn the_state_key_is_ocelots_load_balancer_key() {
    let read = valid(
        &with(r#""UpstreamHttpMethod": ["Get", "POST"], "LoadBalancerOptions": { "Type": "RoundRobin" }"#),
        true,
    );
    let expected = "Get,POST|/a/{x}|no-host|localhost:80|no-svc-ns|no-svc-name|RoundRobin|no-lb-key";
    assert_eq!(read.routes[0].state_key, expected);
}

#[test]
fn values_have_their_origin() {
    let text = document(
        &route(r#""PreserveHost": true"#),
        r#"{ "RequestIdKey": "X-Id", "Metadata": { "a": "1" } }"#,
    );
    let read = valid(&text, false);
    let route = &read.routes[0];
    let at =
        |span: Option<crate::config::Span>| span.map(|span| &text[span.start as usize..span.end as usize]);
    assert_eq!(at(route.preserve_host.origin), Some("true"));
    assert_eq!(at(route.stages.request_id.as_ref().map(|key| key.span)), Some(r#""X-Id""#));
    assert_eq!(at(route.timeout.origin), None);
    assert_eq!(route.metadata, [("a".to_owned(), "1".to_owned())]);
}
