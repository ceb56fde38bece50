//! `WafPolicies`, `WafEngine` and `Waf`: what is refused, where, and with which help.

use super::*;
use crate::config::Diagnostic;

/// A document with one policy, which inspects all requests.
fn policy(settings: &str) -> String {
    let rest =
        format!(r#""WafPolicies": {{ "p": {{ {settings} }} }}, "WafEngine": {{ "Rules": "built-in" }}"#);
    format!(r#"{{ "Routes": [{}], "GlobalConfiguration": {{ "Waf": "p" }}, {rest} }}"#, route(""))
}

/// `MG0301 text: message; first help`, where the text is the source at the span.
fn faults(text: &str) -> Vec<String> {
    let mut loaded = load(text, false);
    compile(&mut loaded);
    let line = |found: &Diagnostic| {
        let place = found.span.map_or("", |span| &text[span.start as usize..span.end as usize]);
        let help = found.help.first().map_or("", String::as_str);
        format!("{} {place}: {}; {help}", found.code.0, found.message)
    };
    loaded.diagnostics.sorted().into_iter().map(line).collect()
}

/// The only fault of a policy begins like this.
fn assert_fault(settings: &str, expected: &str) {
    let found = faults(&policy(settings));
    assert!(found.len() == 1 && found[0].starts_with(expected), "{settings}: {found:#?}");
}

fn rule(settings: &str) -> String {
    format!(r#""CustomRules": [{{ "Name": "r", "Priority": 1, {settings} }}]"#)
}

fn condition(settings: &str) -> String {
    rule(&format!(r#""Action": "Block", "Conditions": [{{ {settings} }}]"#))
}

const ANY: &str = r#""Conditions": [{ "Variables": ["RequestMethod"], "Operator": "Any" }]"#;

#[test]
fn an_unknown_word_is_reported_with_the_nearest_one() {
    assert_fault(
        r#""Mode": "Prevent""#,
        r#"MG0104 "Prevent": unknown Mode "Prevent"; did you mean "Prevention"?"#,
    );
    assert_fault(
        r#""Presets": ["Odata"]"#,
        r#"MG0104 "Odata": unknown preset "Odata"; did you mean "OData"?"#,
    );
    let blok = rule(&format!(r#""Action": "Blok", {ANY}"#));
    assert_fault(&blok, r#"MG0104 "Blok": unknown Action "Blok"; did you mean "Block"?"#);
    for (settings, meant) in [
        (r#""Variables": ["RequestPaht"], "Operator": "Any""#, "RequestPath"),
        (r#""Variables": ["RequestPath"], "Operator": "Equals", "Values": ["a"]"#, "Equal"),
        (
            r#""Variables": ["RequestPath"], "Operator": "Equal", "Values": ["a"], "Transforms": ["LowerCas"]"#,
            "Lowercase",
        ),
    ] {
        let found = faults(&policy(&condition(settings)));
        let expected = format!("; did you mean \"{meant}\"?");
        assert!(found.len() == 1 && found[0].ends_with(&expected), "{found:?}");
    }
    assert_fault(
        r#""Exclusions": [{ "Variable": "RequestArgValue", "Selector": "a" }]"#,
        r#"MG1307 "RequestArgValue": unknown Variable "RequestArgValue"; did you mean "RequestArgValues"?"#,
    );
}

#[test]
fn settings_of_custom_rules_that_have_no_effect_are_refused() {
    let log = rule(&format!(r#""Action": "Log", "Status": 404, {ANY}"#));
    assert_fault(&log, "MG1308 404: Status of a rule that does not block");
    let values = condition(r#""Variables": ["RequestPath"], "Operator": "Any", "Values": ["a"]"#);
    assert_fault(&values, r#"MG1308 "a": Values of Any"#);
    let address = r#""Variables": ["RemoteAddr"], "Operator": "IPMatch", "Values": ["10.0.0.1"], "Transforms": ["Trim"]"#;
    assert_fault(&condition(address), r#"MG1308 "Trim": Transforms of IPMatch"#);
    let body = condition(r#""Variables": ["RequestBody"], "Operator": "Contains", "Values": ["a"]"#);
    let uninspected = format!(r#"{body}, "RequestBody": {{ "Inspect": false }}"#);
    let found = faults(&policy(&uninspected));
    assert!(found.len() == 1 && found[0].contains("reads the body, which is not inspected"), "{found:?}");
    assert_eq!(faults(&policy(&body)), [""; 0]);
}

#[test]
fn settings_of_what_is_not_inspected_are_reported() {
    let cure = |section: &str| format!("set {section}.Inspect to true, or remove");
    let limit = r#""ResponseBody": { "InspectLimit": "64KiB" }"#;
    let expected =
        r#"MG1313 "64KiB": ResponseBody.InspectLimit has no effect: responses are not inspected; "#
            .to_owned();
    assert_fault(limit, &(expected + &cure("ResponseBody")));
    let types = r#""ResponseBody": { "Inspect": false, "ContentTypes": ["text/html"] }"#;
    assert_fault(types, r#"MG1313 ["text/html"]: ResponseBody.ContentTypes has no effect"#);
    let threshold = r#""OutboundThreshold": 4"#;
    assert_fault(threshold, "MG1313 4: OutboundThreshold has no effect: responses are not inspected");
    let oversize = r#""RequestBody": { "Inspect": false, "Oversize": "InspectBeginning" }"#;
    let expected = r#"MG1313 "InspectBeginning": RequestBody.Oversize has no effect: request bodies are not inspected; "#;
    assert_fault(oversize, &(expected.to_owned() + &cure("RequestBody")));
    let inspected = format!(r#"{threshold}, "ResponseBody": {{ "Inspect": true, "InspectLimit": "64KiB" }}"#);
    assert_eq!(faults(&policy(&inspected)), [""; 0]);
    assert_eq!(reported(&policy(threshold), true), ["(MG1313) 4"]);
}

#[test]
fn missing_rule_files_are_watched() {
    let settings = r#""RuleFiles": ["nope.conf"], "Plugins": ["nope-plugin"]"#;
    let mut loaded = load(&policy(settings), false);
    compile(&mut loaded);
    for name in ["nope.conf", "nope-plugin"] {
        assert!(loaded.watched.iter().any(|path| path.ends_with(name)), "{:?}", loaded.watched);
    }
}

#[test]
fn selectors_that_have_no_effect_are_refused() {
    let exclusion = |settings: &str| format!(r#""Exclusions": [{{ {settings} }}]"#);
    assert_fault(
        &exclusion(r#""Variable": "RequestPath", "Selector": "a""#),
        r#"MG1307 "a": unused "a": all parts of the variable are excluded; remove Selector and Operator"#,
    );
    assert_fault(
        &exclusion(r#""Variable": "RequestArgValues", "Operator": "EqualsAny", "Selector": "a""#),
        r#"MG1307 "a": unused "a": all parts of the variable are excluded; remove Selector"#,
    );
    assert_fault(
        r#""LogScrubbing": [{ "Variable": "RemoteAddr", "Selector": "a" }]"#,
        r#"MG1307 "a": unused "a"; remove Operator and Selector"#,
    );
    assert_fault(
        r#""Reply": { "Headers": { "a b": "c" } }"#,
        r#"MG1305 "a b": invalid header field "a b: c" in Reply"#,
    );
}

#[test]
fn missing_rule_files_are_all_reported_where_they_are_named() {
    let settings = r#""RuleFiles": ["nope-a.conf", "nope-b.conf"], "Plugins": ["nope-c"], "Mode": "Prevent""#;
    let found = faults(&policy(settings));
    let place = |text: &str| found.iter().any(|line| line.starts_with(text));
    assert_eq!(found.len(), 4, "{found:#?}");
    for (name, kind) in [
        ("nope-a.conf", "file of RuleFiles"),
        ("nope-b.conf", "file of RuleFiles"),
        ("nope-c", "directory of Plugins"),
    ] {
        assert!(place(&format!("MG1310 \"{name}\": {kind} not found: {name}")), "{found:#?}");
    }
}

#[test]
fn faults_of_rules_are_reported_at_the_setting_that_names_them() {
    let text = policy("").replace("\"built-in\"", "\"nope\"");
    let found = faults(&text);
    assert!(
        found.len() == 1 && found[0].starts_with("MG1310 \"nope\": rules cannot be loaded: nope"),
        "{found:?}"
    );
    assert!(!found[0].contains(":0"), "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.conf");
    std::fs::write(&file, "SecAction \"id:1,phase:1,pass\"\nSecNope On\n").unwrap();
    let name = file.display().to_string();
    let found = faults(&policy(&format!(r#""RuleFiles": ["{name}"]"#)));
    let expected = format!("MG1310 \"{name}\": rules cannot be loaded: {name}:2: ");
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
}

#[test]
fn a_listener_or_route_that_is_off_below_a_policy_is_reported() {
    let listeners = r#""Listeners": [{ "Name": "a", "Address": "127.0.0.1:1", "Waf": "Off" }]"#;
    let global = r#""GlobalConfiguration": { "Waf": "Prevention" }"#;
    let engine = r#""WafEngine": { "Rules": "built-in" }"#;
    let text = format!(r#"{{ "Routes": [{}], {global}, {listeners}, {engine} }}"#, route(""));
    assert_eq!(reported(&text, false), [r#"(MG1304) "Off""#]);
    let listeners = listeners.replace("Off", "Prevention");
    let text = format!(r#"{{ "Routes": [{}], {listeners}, {engine} }}"#, route(r#""Waf": "Off""#));
    assert_eq!(reported(&text, false), [r#"(MG1304) "Off""#]);
}
