//! Header transforms, claims and conditions: how they are compiled.

use super::*;
use crate::stages::header_transform::{Action, HeaderEdit};
use crate::stages::trace_context::Mode;
use proptest::prelude::*;

fn changes(setting: &str, ocelot: bool) -> Vec<HeaderEdit> {
    let text = with(setting);
    let headers = valid(&text, ocelot).routes.remove(0).stages.header_transform;
    headers.map_or_else(Vec::new, |headers| [headers.0.request, headers.0.response].concat())
}

/// The action on one header of a request or a response.
fn action(way: &str, name: &str, value: &str, ocelot: bool) -> Option<String> {
    let setting = format!(r#""{way}HeaderTransform": {{ "{name}": {value} }}"#);
    let change = changes(&setting, ocelot).pop()?;
    Some(match &change.action {
        Action::Set(text) => format!("set {text}"),
        Action::Append(text) => format!("append {text}"),
        Action::Default(text) => format!("default {text}"),
        Action::Replace { pattern: find, with, first } => {
            format!("{} {find} {with}", if first.is_some() { "first" } else { "every" })
        }
        Action::Remove => "remove".to_owned(),
    })
}

fn request(value: &str, ocelot: bool) -> Option<String> {
    action("Upstream", "X-A", value, ocelot)
}

fn answer(name: &str, value: &str, ocelot: bool) -> Option<String> {
    action("Downstream", name, value, ocelot)
}

#[test]
fn a_text_without_a_comma_is_set_on_requests_and_added_to_responses() {
    for ocelot in [false, true] {
        assert_eq!(request(r#"" Bob ""#, ocelot).as_deref(), Some(r#"set "Bob""#));
        assert_eq!(answer("X-A", r#""Bob""#, ocelot).as_deref(), Some(r#"default "Bob""#));
        assert_eq!(answer("content-type", r#""a/b""#, ocelot).as_deref(), Some(r#"set "a/b""#));
        assert_eq!(request(r#""{UpstreamHost}""#, ocelot).as_deref(), Some(r#"set "{UpstreamHost}""#));
        let base = answer("X-A", r#""{BaseUrl}""#, ocelot);
        assert_eq!(base.as_deref(), Some(r#"default "http://localhost:5000""#));
        assert_eq!(request("null", ocelot).as_deref(), Some("remove"));
    }
}

#[test]
fn a_text_with_a_comma_is_find_and_replace() {
    assert_eq!(
        request(r#""a , {BaseUrl}/x""#, true).as_deref(),
        Some(r#"first "a " "http://localhost:5000/x""#)
    );
    assert_eq!(request(r#""a,b""#, false).as_deref(), Some(r#"every "a" "b""#));
    assert_eq!(request(r#""one, two, three""#, true).as_deref(), Some(r#"first "one" "two""#));
    let moved = answer("Location", r#""{DownstreamBaseUrl}, https://x""#, true);
    assert_eq!(moved.as_deref(), Some(r#"first "{DownstreamBaseUrl}" "https://x/""#));
    let moved = answer("Location", r#""{DownstreamBaseUrl}, {BaseUrl}""#, false);
    assert_eq!(moved.as_deref(), Some(r#"every "{DownstreamBaseUrl}" "http://localhost:5000/""#));
}

#[test]
fn an_unresolved_placeholder_removes_a_request_header_and_adds_no_response_header() {
    assert_eq!(request(r#""{Unknown}""#, true).as_deref(), Some("remove"));
    assert_eq!(request(r#""""#, true).as_deref(), Some("remove"));
    assert_eq!(request(r#""a,{RemoteIpAddress}""#, true), None);
    assert_eq!(answer("X-A", r#""{Unknown}""#, true), None);
    assert_eq!(answer("X-A", r#""""#, true), None);
    assert_eq!(answer("Content-Type", r#""a,b""#, true), None);
    assert_eq!(answer("Content-Type", r#""a,b""#, false).as_deref(), Some(r#"every "a" "b""#));
}

#[test]
fn placeholders_may_be_anywhere_and_other_braces_are_literal() {
    let text = r#""{x}-{RemoteIpAddress}; {\"a\":{\"b\":1}}""#;
    let expected = r#"set "{x}-{RemoteIpAddress}; {"a":{"b":1}}""#;
    assert_eq!(request(text, false).as_deref(), Some(expected));
    assert_eq!(request(r#""{x}""#, true).as_deref(), Some("remove"));
}

#[test]
fn an_edit_may_be_an_object() {
    for (form, expected) in [
        (r#"{ "Set": "a, b" }"#, r#"set "a, b""#),
        (r#"{ "append": "{x}" }"#, r#"append "{x}""#),
        (r#"{ "Default": "a" }"#, r#"default "a""#),
        (r#"{ "Find": "a, b", "Replace": "c, d" }"#, r#"every "a, b" "c, d""#),
        (r#"{ "Find": "a", "Replace": "" }"#, r#"every "a" """#),
    ] {
        assert_eq!(request(form, false).as_deref(), Some(expected));
        assert_eq!(answer("X-A", form, true).as_deref(), Some(expected));
    }
}

#[test]
fn malformed_edits_are_reported() {
    let headers = |value: &str| format!(r#""UpstreamHeaderTransform": {{ "X-A": {value} }}"#);
    always(&headers(r#"",b""#), r#"MG0420 ",b""#);
    always(&headers(r#""é""#), r#"MG0420 "é""#);
    always(&headers(r#"{ "Set": "a\u000db" }"#), r#"MG0420 { "Set": "a\u000db" }"#);
    assert_eq!(both(&headers(r#""""#)), (vec![r#"MG0420 """#.to_owned()], vec![]));
    for value in
        [r#""{Unknown}""#, r#""a,b,c""#, r#"{ "Set": "a", "Append": "b" }"#, r#"{ "Find": "a" }"#, "{}"]
    {
        lenient(&headers(value), &format!("MG0420 {value}"));
    }
    lenient(r#""UpstreamHeaderTransform": { "a b": "x" }"#, r#"MG0420 "x""#);
    lenient(r#""DownstreamHeaderTransform": { "Content-Length": "1" }"#, r#"MG0420 "1""#);
    lenient(r#""UpstreamHeaderTransform": { "te": null }"#, r#"MG0420 "te""#);
}

#[test]
fn global_transforms_apply_to_headers_that_the_route_does_not_name() {
    let text = document(
        &route(r#""UpstreamHeaderTransform": { "X-A": null, "x-b": "1" }"#),
        r#"{ "UpstreamHeaderTransform": { "X-A": "2", "X-B": "3" }, "DownstreamHeaderTransform": { "X-C": "4" } }"#,
    );
    let headers = valid(&text, false).routes.remove(0).stages.header_transform.unwrap().0;
    let names =
        |changes: &[HeaderEdit]| changes.iter().map(|change| change.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&headers.request), ["X-A", "x-b", "X-B"]);
    assert_eq!(headers.request[0].action, Action::Remove);
    assert_eq!(names(&headers.response), ["X-C"]);
}

/// With an authentication scheme, so that the warning about claims without authentication does not occur.
fn known(settings: &str) -> String {
    let scheme = r#""AuthenticationSchemes": { "Bearer": { "Type": "JwtBearer", "Issuer": "i", "Audience": "a", "SigningKey": "0123456789abcdef0123456789abcdef" } }"#;
    let keys = r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["Bearer"] }"#;
    with(&format!("{settings}, {keys}")).replacen('{', &format!("{{ {scheme}, "), 1)
}

fn reported_with_scheme(settings: &str, ocelot: bool) -> Vec<String> {
    let mut all = reported(&known(settings), ocelot);
    all.retain(|line| !line.contains("MG09"));
    all
}

#[test]
fn malformed_claims_are_reported() {
    for setting in ["AddClaimsToRequest", "AddHeadersToRequest", "AddQueriesToRequest"] {
        let text = format!(r#""{setting}": {{ "X": "nonsense", "Y": "Claims[sub] > value" }}"#);
        assert_eq!(reported_with_scheme(&text, false), [r#"MG0409 "nonsense""#]);
        assert_eq!(reported_with_scheme(&text, true), [r#"(MG0409) "nonsense""#]);
    }
    let framing =
        r#""AddHeadersToRequest": { "Host x": "Claims[sub] > value", "Connection": "Claims[sub] > value" }"#;
    assert_eq!(reported_with_scheme(framing, true), [r#"(MG0420) "Host x""#, r#"(MG0420) "Connection""#]);
    let path = r#""ChangeDownstreamPathTemplate": { "y": "Claims[sub] > value" }"#;
    assert_eq!(reported_with_scheme(path, false), [r#"MG0423 "y""#]);
    assert_eq!(
        reported_with_scheme(r#""ChangeDownstreamPathTemplate": { "x": "Claims[sub] > value" }"#, false),
        [""; 0]
    );
    let unauthenticated = r#""AddHeadersToRequest": { "X": "Claims[sub] > value" }"#;
    assert_eq!(
        both(unauthenticated),
        (vec![r#"(MG0422) "X""#.to_owned()], vec![r#"(MG0422) "X""#.to_owned()])
    );
}

#[test]
fn required_claims_contain_values_and_placeholders_of_the_route() {
    let required = |value: &str| format!(r#""RouteClaimsRequirement": {{ "a:b": {value} }}"#);
    for value in [r#""x""#, r#"["x", "{x}"]"#, r#""{""#, "7"] {
        assert_eq!(reported_with_scheme(&required(value), false), [""; 0], "{value}");
    }
    assert_eq!(reported_with_scheme(&required(r#""{y}""#), false), [r#"MG0421 "{y}""#]);
    assert_eq!(reported_with_scheme(&required(r#""{y}""#), true), [r#"(MG0421) "{y}""#]);
    assert_eq!(reported_with_scheme(&required("[]"), false), ["MG0421 []"]);
}

#[test]
fn a_condition_is_compiled_with_the_document() {
    let condition = |source: &str| format!(r#""RouteClaimsExpression": "{source}""#);
    assert_eq!(reported_with_scheme(&condition("'a' in scopes && path.x == claims.sub"), false), [""; 0]);
    for ocelot in [false, true] {
        assert_eq!(
            reported_with_scheme(&condition("clams.sub == 'a'"), ocelot),
            [r#"MG0421 "clams.sub == 'a'""#]
        );
        assert_eq!(reported_with_scheme(&condition("claims.sub =="), ocelot), [r#"MG0421 "claims.sub ==""#]);
    }
}

#[test]
fn traces_are_continued_unless_configured_otherwise_or_under_ocelot() {
    let mode = |text: &str, ocelot: bool| -> Option<Mode> {
        valid(&format!(r#"{{ {text} "Routes": [{}] }}"#, route("")), ocelot).stages.trace_context
    };
    assert_eq!((mode("", false), mode("", true)), (Some(Mode::Continue), None));
    assert_eq!(mode(r#""TraceContext": "start","#, true), Some(Mode::Start));
    assert_eq!(mode(r#""TraceContext": "Off","#, false), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_a_header_transform_or_refused(text in "[ -#%-~é{}x,]{0,24}", way in 0usize..2, ocelot: bool) {
        let way = ["Upstream", "Downstream"][way];
        let value = serde_json::Value::from(text.clone());
        let setting = format!(r#""{way}HeaderTransform": {{ "X-A": {value}, "Content-Type": {{ "Set": {value} }} }}"#);
        let lines = reported(&with(&setting), ocelot);
        prop_assert!(lines.iter().all(|line| line.contains("MG0420")), "{:?}", lines);
        if text.is_ascii() && !text.is_empty() && !text.contains(['{', ',']) && text.trim() == text {
            prop_assert_eq!(action(way, "X-B", &format!(r#"{{ "Set": {value} }}"#), ocelot), Some(format!("set \"{text}\"")));
        }
    }
}
