//! Aggregates: diagnostics of their entries, expressions and templates.

use super::{document, reported, route, valid};

/// Two routes and an aggregate of them with these settings: the diagnostics in our mode and under Ocelot.
fn both(settings: &str) -> (Vec<String>, Vec<String>) {
    let text = aggregate(settings);
    (reported(&text, false), reported(&text, true))
}

fn aggregate(settings: &str) -> String {
    let part = |key: &str, name: &str| {
        route(&format!(
            r#""Key": "{key}", "UpstreamPathTemplate": "/{key}/{{{name}}}", "DownstreamPathTemplate": "/{key}/{{{name}}}""#
        ))
    };
    let routes = document(&[part("list", "x"), part("item", "id")].join(", "), "{}");
    let more = if settings.is_empty() { String::new() } else { format!(", {settings}") };
    let aggregate = format!(
        r#""Aggregates": [{{ "UpstreamPathTemplate": "/all/{{x}}", "RouteKeys": ["list", "item"]{more} }}]"#
    );
    format!("{}, {aggregate} }}", routes.trim_end().strip_suffix('}').expect("an object").trim_end())
}

/// An aggregate that calls a part for the items of a list.
fn with_call(more: &str) -> (Vec<String>, Vec<String>) {
    both(&format!(
        r#""RouteKeysConfig": [{{ "RouteKey": "item", "JsonPath": "$[*].id", "Parameter": "id" }}, {more}]"#
    ))
}

/// An error in our mode, a warning under Ocelot, for the entry after the valid one.
fn bad_entry(entry: &str, place: &str) {
    let (ours, ocelots) = with_call(entry);
    assert_eq!(ours, [format!("MG0508 {place}")], "{entry}");
    assert_eq!(ocelots, [format!("(MG0508) {place}")], "{entry}");
}

#[test]
fn an_unreadable_setting_of_a_part_is_reported_once() {
    let part = r#""Key": "a", "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/a", "Timeout": "3x""#;
    let routes = document(&route(part), "{}");
    let routes = routes.trim_end().strip_suffix('}').expect("an object");
    let text =
        format!(r#"{routes}, "Aggregates": [{{ "UpstreamPathTemplate": "/all", "RouteKeys": ["a"] }}] }}"#);
    assert_eq!(reported(&text, false), [r#"MG0106 "3x""#]);
}

#[test]
fn an_entry_names_one_of_the_routes_and_each_once() {
    let only = r#""RouteKeysConfig": [{ "RouteKey": "item", "JsonPath": "$[*].id", "Parameter": "id" }]"#;
    assert_eq!(both(only), (vec![], vec![]));
    bad_entry(r#"{ "Optional": true }"#, r#"{ "Optional": true }"#);
    bad_entry(r#"{ "RouteKey": "other", "Optional": true }"#, r#""other""#);
    bad_entry(r#"{ "RouteKey": "item", "Optional": true }"#, r#""item""#);
    bad_entry(r#"{ "RouteKey": "list", "JsonPath": "$.a", "Parameter": "y" }"#, r#""$.a""#);
}

#[test]
fn a_parameter_requires_a_json_path_and_vice_versa() {
    let entry = |more: &str| both(&format!(r#""RouteKeysConfig": [{{ "RouteKey": "item"{more} }}]"#)).0;
    let of_0508 = |reported: Vec<String>| {
        reported.into_iter().filter(|line| line.contains("MG0508")).collect::<Vec<_>>()
    };
    assert_eq!(of_0508(entry(r#", "Parameter": "id""#)), [r#"MG0508 "id""#]);
    assert_eq!(of_0508(entry(r#", "JsonPath": "$[*].id""#)), [r#"MG0508 "$[*].id""#]);
    assert_eq!(of_0508(entry(r#", "JsonPath": "$[*].id", "Parameter": "x""#)), [r#"MG0508 "x""#]);
    assert_eq!(of_0508(entry("")), [r#"MG0508 { "RouteKey": "item" }"#], "it has no settings");
}

#[test]
fn an_invalid_expression_is_reported() {
    let path = |path: &str| {
        both(&format!(
            r#""RouteKeysConfig": [{{ "RouteKey": "item", "JsonPath": "{path}", "Parameter": "id" }}]"#
        ))
    };
    for refused in ["$[", "$.a[?(@.b >]", "$..", "$[*"] {
        let (ours, ocelots) = path(refused);
        assert!(ours.contains(&format!("MG0509 \"{refused}\"")), "{refused}: {ours:?}");
        assert!(ocelots.contains(&format!("(MG0509) \"{refused}\"")), "{refused}: {ocelots:?}");
    }
    for right in ["$[*].id", "$.items[?(@.price > 5)].id", "$..id", "id"] {
        assert!(!path(right).0.iter().any(|line| line.contains("MG0509")), "{right}");
    }
}

#[test]
fn templates_are_compiled_for_their_media_type() {
    let call = r#""RouteKeysConfig": [{ "RouteKey": "item", "JsonPath": "$[*].id", "Parameter": "id" }]"#;
    let all = |settings: &str| both(&format!("{call}, {settings}"));
    let refused = |settings: &str, place: &str| {
        let line = format!("MG0510 {place}");
        assert_eq!(all(settings), (vec![line.clone()], vec![line]), "{settings}");
    };
    refused(r#""Aggregator": "{ {{ parts.list }""#, r#""{ {{ parts.list }""#);
    refused(r#""Formats": { "text/html": "{% if %}" }"#, r#""{% if %}""#);
    refused(r#""Formats": { "html": "x" }"#, r#""html""#);
    refused(r#""Formats": { "*/*": "x" }"#, r#""*/*""#);
    refused(r#""Formats": { "application/json": "x" }"#, r#""application/json""#);
    let valid_templates =
        r#""Aggregator": "{ \"l\": {{ parts.list }} }", "Formats": { "text/html; charset=utf-8": "<p>" }"#;
    assert_eq!(all(valid_templates), (vec![], vec![]));
    let blueprint = valid(&aggregate(&format!("{call}, {valid_templates}")), false);
    let shape = &blueprint.routes[2].aggregate.as_ref().expect("an aggregate").shape;
    assert_eq!(
        shape.representations.iter().map(|form| &*form.media).collect::<Vec<_>>(),
        ["application/json", "text/html; charset=utf-8"]
    );
}
