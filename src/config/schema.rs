//! The JSON Schemas of `gateway.json` and of policy files, generated from the types that read them.
//!
//! schemars gives the shape; here it is brought to what the reader really takes: unknown settings are refused but
//! for `x-...`, `//...` and `$schema`, and numbers and booleans may be written as strings. JSON Schema cannot say that
//! names are matched without regard to case, so editors know the names as they are spelled here.

use super::document::{Document, PolicyDocument};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Names that every object takes beside its own.
const EXTENSION_KEY_PATTERN: &str = r"^([xX]-|//)|^\$schema$";
/// A placeholder somewhere in the string: what it becomes is not known to an editor.
const PLACEHOLDER: &str = r"\$\{";

/// The schema of `gateway.json`.
pub fn gateway_schema() -> Value {
    finish::<Document>("margay: gateway.json")
}

/// The schema of `policies/NAME.json`.
pub fn policy_schema() -> Value {
    finish::<PolicyDocument>("margay: a policy")
}

/// A schema as the text of a file.
pub fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

fn finish<T: schemars::JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    walk(&mut schema);
    // allow...: understood by the editors that share VS Code's JSON service.
    let mut first = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": schema["description"],
        "allowComments": true,
        "allowTrailingCommas": true,
    });
    if let (Value::Object(first), Value::Object(rest)) = (&mut first, schema) {
        for (key, value) in rest {
            first.entry(key).or_insert(value);
        }
    }
    first
}

/// Every schema below a schema, and the schema itself.
fn walk(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for (key, below) in object.iter_mut() {
        match (key.as_str(), below) {
            ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(walk),
            ("anyOf" | "oneOf" | "allOf", Value::Array(several)) => several.iter_mut().for_each(walk),
            ("items", one) => walk(one),
            ("additionalProperties", one) => {
                walk(one);
                scalar_as_string(one);
            }
            _ => {}
        }
    }
    one_line_description(object);
    string_or_scalar(object);
    object.shift_remove("format");
    if object.contains_key("properties") {
        object.insert("additionalProperties".to_owned(), false.into());
        object.insert("patternProperties".to_owned(), json!({ EXTENSION_KEY_PATTERN: true }));
    }
}

/// Doc comments are wrapped for the source; a description is a paragraph.
fn one_line_description(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// A number or a boolean may be written as a string, which has to look like one or hold a placeholder.
fn string_or_scalar(object: &mut Map<String, Value>) {
    let form = match object.get("type").map(type_list) {
        Some(types) if types.iter().any(|t| t == "string") => return,
        Some(types) if types.iter().any(|t| t == "integer") => r"^\s*[+-]?[0-9]+\s*$",
        Some(types) if types.iter().any(|t| t == "number") => r"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*$",
        Some(types) if types.iter().any(|t| t == "boolean") => {
            r"^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\s*$"
        }
        _ => return,
    };
    let mut all = object.get("type").map(type_list).unwrap_or_default();
    all.insert(1, "string".to_owned());
    object.insert("type".to_owned(), all.into());
    object.insert("pattern".to_owned(), format!("{form}|{PLACEHOLDER}").into());
}

/// The values of a map of texts may be numbers and booleans too.
fn scalar_as_string(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    let Some(mut all) = object.get("type").map(type_list) else { return };
    if all.first().is_some_and(|first| first == "string") {
        all.extend(["number".to_owned(), "boolean".to_owned()]);
        object.insert("type".to_owned(), all.into());
    }
}

fn type_list(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn the_schema_files_are_those_of_the_types() {
        holds("gateway.schema.json", &gateway_schema());
        holds("policy.schema.json", &policy_schema());
    }

    #[test]
    fn unknown_settings_are_refused_and_notes_pass() {
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
    fn numbers_and_booleans_may_be_strings_that_look_like_them() {
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
        assert_eq!(metadata, ["string", "null", "number", "boolean"]);
    }

    #[test]
    fn descriptions_are_paragraphs() {
        assert!(!text(&gateway_schema()).contains("\\n"));
    }
}
