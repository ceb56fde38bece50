//! The schema files in `deploy/schema/`.

use crate::config::schema::{text, type_list};
use crate::plan::document::{gateway_schema, policy_schema};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Set UPDATE=1 to write the file instead.
fn holds(name: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/schema").join(name);
    let generated = text(schema);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, generated).unwrap();
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "deploy/schema/{name} is out of date: run UPDATE=1 cargo test --lib schema"
    );
}

#[test]
fn the_schema_files_match_the_types() {
    holds("gateway.schema.json", &gateway_schema());
    holds("policy.schema.json", &policy_schema());
}

#[test]
fn unknown_settings_are_refused_and_comments_are_accepted() {
    let schema = gateway_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$defs"]["RouteDocument"]["additionalProperties"], false);
    let free = schema["$defs"]["RouteDocument"]["patternProperties"].as_object().unwrap();
    let pattern = regex::Regex::new(free.keys().next().unwrap()).unwrap();
    for (name, passes) in
        [("x-note", true), ("// why", true), ("$schema", true), ("Max", false), ("Box-x-", false)]
    {
        assert_eq!(pattern.is_match(name), passes, "{name}");
    }
}

#[test]
fn numbers_and_booleans_may_be_strings() {
    let schema = gateway_schema();
    let route = &schema["$defs"]["RouteDocument"]["properties"];
    for (setting, good, bad) in [
        ("Priority", ["5", "${PRIORITY}"], ["high", ""]),
        ("RouteIsCaseSensitive", ["True", "${X:-false}"], ["yes", "1"]),
    ] {
        assert!(type_list(&route[setting]["type"]).contains(&"string".to_owned()), "{setting}");
        let pattern = regex::Regex::new(route[setting]["pattern"].as_str().unwrap()).unwrap();
        assert!(good.iter().all(|text| pattern.is_match(text)), "{setting}");
        assert!(!bad.iter().any(|text| pattern.is_match(text)), "{setting}");
    }
    let metadata = type_list(&route["Metadata"]["additionalProperties"]["type"]);
    assert_eq!(metadata, ["string", "object", "array", "null", "number", "boolean"]);
}

#[test]
fn descriptions_are_paragraphs() {
    assert!(!text(&gateway_schema()).contains("\\n"));
}
