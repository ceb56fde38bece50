//! JSON Schemas of documents, generated from the types that read them.
//!
//! The schemas of schemars are adapted to what the deserializer accepts: unknown settings are errors except `x-...`,
//! `//...` and `$schema`, and numbers and booleans may be written as strings. JSON Schema cannot express case-insensitive
//! names, so editors accept only the documented spelling.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Names that every object accepts in addition to its settings.
const EXTENSION_KEY_PATTERN: &str = r"^([xX]-|//)|^\$schema$";
/// A placeholder within the string, whose value an editor does not know.
const PLACEHOLDER: &str = r"\$\{";

/// The text of a schema file.
pub fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema of a document.
pub fn schema<T: schemars::JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    walk(&mut schema);
    // allow...: supported by editors that use VS Code's JSON service.
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

/// Adapts a schema and all schemas nested in it.
fn walk(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for (key, subschema) in object.iter_mut() {
        match (key.as_str(), subschema) {
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

/// A number or a boolean may be written as a string that has its form or contains a placeholder.
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

/// The values of a map of strings may be numbers and booleans too.
fn scalar_as_string(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    let Some(mut all) = object.get("type").map(type_list) else { return };
    if all.first().is_some_and(|first| first == "string") {
        all.extend(["number".to_owned(), "boolean".to_owned()]);
        object.insert("type".to_owned(), all.into());
    }
}

/// The types in `type` of a schema, which is one name or a list of names.
pub fn type_list(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}
