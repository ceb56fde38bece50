use crate::config::policies::find;
use crate::config::{Diagnostics, Environment, InMemoryFiles, Loaded, Node, Value, render};
use crate::plan::document::load_texts;
use std::fs;

fn loaded(main: &str, policies: &[(&str, &str)]) -> Loaded {
    load_texts(
        &InMemoryFiles { files: &[("gateway.json", main)], policies, ..InMemoryFiles::default() },
        Environment::of_process(),
    )
}

fn reported(loaded: &Loaded) -> String {
    render::text(&loaded.diagnostics, &loaded.sources, render::Style::default())
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.sorted().iter().map(|d| d.code.0).collect()
}

fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::String(text) => (&**text).into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => serde_json::Value::Object(
            members.iter().map(|m| (m.key.value.to_string(), plain(&m.value))).collect(),
        ),
    }
}

/// The only route, with its policies merged.
fn effective(main: &str, policies: &[(&str, &str)]) -> (serde_json::Value, Loaded) {
    let loaded = loaded(main, policies);
    let route =
        loaded.root.as_ref().and_then(|root| root.get_ignore_case("Routes")).map(|routes| &routes.items()[0]);
    (route.map(plain).unwrap_or_default(), loaded)
}

#[test]
fn objects_merge_per_property_maps_by_key_and_lists_are_replaced() {
    let main = r#"{
      "GlobalConfiguration": { "Policies": ["all"] },
      "Routes": [{
        "Policies": ["first", "second"],
        "QoSOptions": { "timeout": 1 },
        "DownstreamHeaderTransform": { "x-a": "route", "X-Gone": null },
        "AuthenticationOptions": { "AllowedScopes": ["route"] },
        "Timeout": null
      }]
    }"#;
    let policies = [
        (
            "all",
            r#"{ "QoSOptions": { "Timeout": 9, "BreakDuration": 9 }, "RequestIdKey": "all", "Timeout": 7 }"#,
        ),
        (
            "first",
            r#"{ "QoSOptions": { "BreakDuration": 5 }, "DownstreamHeaderTransform": { "X-A": "first", "X-Gone": "first", "X-B": "first" } }"#,
        ),
        (
            "second",
            r#"{ "AuthenticationOptions": { "AllowedScopes": ["second", "more"] }, "DownstreamHeaderTransform": { "X-B": "second" } }"#,
        ),
    ];
    let (route, loaded) = effective(main, &policies);
    assert!(loaded.diagnostics.list.is_empty(), "{}", reported(&loaded));
    let expected = serde_json::json!({
        "Policies": ["first", "second"],
        "QoSOptions": { "timeout": 1, "BreakDuration": 5 },
        "DownstreamHeaderTransform": { "x-a": "route", "X-Gone": null, "X-B": "second" },
        "AuthenticationOptions": { "AllowedScopes": ["route"] },
        "Timeout": 7,
        "RequestIdKey": "all",
    });
    assert_eq!(route, expected);
}

#[test]
fn an_entry_of_a_map_is_replaced_as_a_whole() {
    let main =
        r#"{ "Routes": [{ "Policies": ["a"], "UpstreamHeaderTransform": { "X-A": { "Append": "1" } } }] }"#;
    let policy = r#"{ "UpstreamHeaderTransform": { "x-a": { "Set": "2" }, "X-B": { "Set": "3" } } }"#;
    let (route, _) = effective(main, &[("a", policy)]);
    let expected = serde_json::json!({ "X-A": { "Append": "1" }, "X-B": { "Set": "3" } });
    assert_eq!(route["UpstreamHeaderTransform"], expected);
}

#[test]
fn every_value_retains_its_source_span() {
    let main = r#"{ "Routes": [{ "Policies": ["a"], "QoSOptions": { "Timeout": 1 } }] }"#;
    let (_, loaded) = effective(main, &[("a", r#"{ "QoSOptions": { "BreakDuration": 5 } }"#)]);
    let qos = loaded.root.as_ref().unwrap().get_ignore_case("Routes").unwrap().items()[0]
        .get_ignore_case("QoSOptions")
        .unwrap();
    assert_eq!(loaded.sources.name(qos.get_ignore_case("Timeout").unwrap().span.file), "gateway.json");
    let place = loaded.sources.location(qos.get_ignore_case("BreakDuration").unwrap().span);
    assert_eq!(place, "policies/a.json:1:36");
}

#[test]
fn unknown_policies_suggest_the_closest_name_and_unused_ones_are_warnings() {
    let main = r#"{ "Routes": [{ "Policies": ["partnr", "zzz", "a/b"] }] }"#;
    let (_, loaded) = effective(main, &[("partner", "{}")]);
    let reported = reported(&loaded);
    assert_eq!(codes(&loaded), ["MG0220", "MG0220", "MG0220", "MG0221"]);
    assert!(reported.contains("expected the name of a file in policies/"), "{reported}");
    assert!(reported.contains("gateway.json:1:29  (/Routes/0/Policies/0)"), "{reported}");
    assert!(
        reported.contains("did you mean \"partner\"?") && reported.contains("create policies/zzz.json"),
        "{reported}"
    );
}

#[test]
fn a_policy_contains_only_inheritable_settings() {
    let policy = r#"{ "UpstreamPathTemplate": "/x", "Key": "k", "Compatibility": "Ocelot", "Policies": [], "Tmeout": 3, "x-note": 1 }"#;
    let (route, loaded) = effective(r#"{ "Routes": [{ "Policies": ["a"] }] }"#, &[("a", policy)]);
    assert_eq!(codes(&loaded), ["MG0222", "MG0222", "MG0222", "MG0222", "MG0102"]);
    assert_eq!(route, serde_json::json!({ "Policies": ["a"] }));
}

#[test]
fn an_error_in_a_policy_is_reported_once_and_in_the_policy() {
    let main = r#"{ "Routes": [{ "Policies": ["a"] }, { "Policies": ["a"] }] }"#;
    let (_, mut loaded) = effective(main, &[("a", r#"{ "QoSOptions": { "Timeout": "x" } }"#)]);
    let options = loaded.options();
    let _: crate::plan::document::Document =
        crate::config::de::read(loaded.root.as_ref().unwrap(), &mut loaded.diagnostics, options);
    assert_eq!(codes(&loaded), ["MG0101"]);
    assert!(
        reported(&loaded).contains("policies/a.json:1:30  (/QoSOptions/Timeout)"),
        "{}",
        reported(&loaded)
    );
}

#[test]
fn a_broken_policy_is_not_unknown() {
    let (route, loaded) = effective(r#"{ "Routes": [{ "Policies": ["a"] }] }"#, &[("a", "{ \"Timeout\": ")]);
    assert_eq!(codes(&loaded), ["MG0014"]);
    assert_eq!(route, serde_json::json!({ "Policies": ["a"] }));
}

#[test]
fn a_file_with_a_section_is_a_policy_document() {
    for section in ["inbound", "Backend", "outbound", "on-error"] {
        let (_, loaded) = effective("{}", &[("a", &format!("{{ \"{section}\": [] }}"))]);
        let names: Vec<_> = loaded.policies.documents.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a"], "{section}");
    }
}

#[test]
fn documents_of_scopes_are_found_in_their_directories() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["products", "apis", "other", "..data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in
        ["global.json", "edge.json", "notes.txt", ".hidden.json", "apis/orders.xml", "products/gold.json"]
    {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    let mut diagnostics = Diagnostics::default();
    let files = find(folder.path(), true, &mut Vec::new(), &mut diagnostics);
    let mut names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["apis/orders.xml", "edge", "global", "products/gold"]);
    let codes: Vec<_> = diagnostics.list.iter().map(|d| d.code.0).collect();
    assert_eq!(codes, ["MG0212"]);
}

#[test]
fn a_later_layer_that_disables_a_protection_is_a_warning() {
    let on = r#"{ "AuthenticationOptions": { "AuthenticationProviderKeys": ["k"] }, "RateLimitOptions": { "Limit": 1 } }"#;
    let off = r#"{ "AuthenticationOptions": { "AllowAnonymous": true }, "RateLimitOptions": { "EnableRateLimiting": "false" } }"#;
    let by_policy = r#"{ "Routes": [{ "Policies": ["on", "off"] }] }"#;
    let (_, loaded) = effective(by_policy, &[("on", on), ("off", off)]);
    assert_eq!(codes(&loaded), ["MG0224", "MG0224"]);
    assert!(reported(&loaded).contains("this disables the authentication that the policy \"on\" enables"));
    let by_route = format!(r#"{{ "Routes": [{{ "Policies": ["on"], {} }}] }}"#, &off[1..off.len() - 1]);
    assert_eq!(codes(&effective(&by_route, &[("on", on)]).1), ["MG0224", "MG0224"]);
    let over_global = format!(r#"{{ "GlobalConfiguration": {on}, "Routes": [{{ "Policies": ["off"] }}] }}"#);
    assert_eq!(codes(&effective(&over_global, &[("off", off)]).1), ["MG0224", "MG0224"]);
}

#[test]
fn a_route_may_disable_global_authentication_without_a_warning() {
    let main = r#"{
      "GlobalConfiguration": { "AuthenticationOptions": { "AuthenticationProviderKeys": ["k"] } },
      "Routes": [{ "Policies": ["a"], "AuthenticationOptions": { "AllowAnonymous": true } }]
    }"#;
    assert_eq!(codes(&effective(main, &[("a", "{ \"Timeout\": 1 }")]).1), Vec::<&str>::new());
}

#[test]
fn dynamic_routes_refuse_foreign_settings_unless_the_policy_is_global() {
    let policy = [("a", r#"{ "RequestIdKey": "x", "Timeout": 3 }"#)];
    let named = loaded(r#"{ "DynamicRoutes": [{ "Policies": ["a"] }] }"#, &policy);
    assert_eq!(codes(&named), ["MG0225"]);
    let global = r#"{ "GlobalConfiguration": { "Policies": ["a"] }, "DynamicRoutes": [{}], "Routes": [{}] }"#;
    let global = loaded(global, &policy);
    assert!(global.diagnostics.list.is_empty(), "{}", reported(&global));
    let root = global.root.unwrap();
    assert_eq!(
        plain(&root.get_ignore_case("DynamicRoutes").unwrap().items()[0]),
        serde_json::json!({ "Timeout": 3 })
    );
    let route = serde_json::json!({ "RequestIdKey": "x", "Timeout": 3 });
    assert_eq!(plain(&root.get_ignore_case("Routes").unwrap().items()[0]), route);
}
