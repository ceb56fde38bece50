//! Lookups in the JSON Schema of the document, which is generated once per process.

use super::gateway_schema;
use serde_json::Value;
use std::sync::OnceLock;

/// The schema of the document.
pub fn document_schema() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(gateway_schema)
}

/// A definition, such as `RouteDocument`.
pub fn definition(name: &str) -> Option<&'static Value> {
    document_schema().get("$defs")?.get(name)
}

/// The schema behind a reference, or behind an alternative with null.
pub fn resolve(schema: &'static Value) -> &'static Value {
    let alternatives = schema["anyOf"].as_array();
    let inner = alternatives.and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(schema);
    let name = inner["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(definition).unwrap_or(inner)
}

/// The settings of an object with their schemas.
pub fn settings(object: &'static Value) -> impl Iterator<Item = (&'static str, &'static Value)> {
    let properties = object.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, schema)| (name.as_str(), schema))
}

/// A setting of an object with its canonical name, case-insensitive.
pub fn setting(object: &'static Value, name: &str) -> Option<(&'static str, &'static Value)> {
    settings(object).find(|(known, _)| known.eq_ignore_ascii_case(name))
}
