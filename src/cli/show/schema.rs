//! The settings of documents, as the JSON Schema has them: names, structure and defaults.

use crate::plan::document::schema_lookup::{self, document_schema, resolve};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::OnceLock;

/// The schema of an object.
#[derive(Clone, Copy)]
pub struct ObjectSchema(&'static Value);

/// How values of a setting are merged.
#[derive(Clone, Copy)]
pub enum SettingKind {
    /// A group of settings.
    Group(ObjectSchema),
    /// A map with free keys.
    Map,
    /// A value or a list, as a whole.
    Value,
}

impl ObjectSchema {
    /// The document.
    pub fn document() -> ObjectSchema {
        ObjectSchema(document_schema())
    }

    /// A definition, such as `RouteDocument`.
    pub fn definition(name: &str) -> Option<ObjectSchema> {
        schema_lookup::definition(name).map(ObjectSchema)
    }

    /// The settings with their schemas.
    pub fn settings(self) -> impl Iterator<Item = (&'static str, &'static Value)> {
        schema_lookup::settings(self.0)
    }

    /// The schema of a setting, case-insensitive.
    pub fn setting(self, name: &str) -> Option<&'static Value> {
        schema_lookup::setting(self.0, name).map(|(_, schema)| schema)
    }
}

/// How values of a setting are merged.
pub fn kind(schema: &'static Value) -> SettingKind {
    let target = resolve(schema);
    match (target.get("properties"), target.get("additionalProperties")) {
        (Some(_), _) => SettingKind::Group(ObjectSchema(target)),
        (None, Some(Value::Object(_))) => SettingKind::Map,
        _ => SettingKind::Value,
    }
}

/// The schema of the objects in a list or in a map.
pub fn element(schema: &'static Value) -> Option<ObjectSchema> {
    let target = resolve(schema);
    let element = resolve(target.get("items").or_else(|| target.get("additionalProperties"))?);
    element.get("properties").map(|_| ObjectSchema(element))
}

/// Whether a text is the name of a setting: a default that is the value of another setting is no literal.
fn is_setting_name(text: &str) -> bool {
    static NAMES: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let definitions = || {
        document_schema()
            .get("$defs")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(_, schema)| schema)
    };
    let names =
        || definitions().flat_map(|schema| ObjectSchema(schema).settings()).map(|(name, _)| name).collect();
    NAMES.get_or_init(names).contains(text)
}

/// The default of a setting, if its description states a literal one.
pub fn default_value(schema: &Value, is_ocelot: bool) -> Option<Value> {
    let description = schema.get("description")?.as_str()?;
    let (_, words) = description.rsplit_once("Default: ")?;
    let under_ocelot = words.split("; ").find(|part| part.contains("under `\"Compatibility\""));
    literal(under_ocelot.filter(|_| is_ocelot).unwrap_or(words), is_text(schema))
}

/// Whether the only values of a setting are strings.
fn is_text(schema: &Value) -> bool {
    let types = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(single)) => vec![single.as_str()],
        _ => Vec::new(),
    };
    !types.is_empty() && types.iter().all(|kind| matches!(*kind, "string" | "null"))
}

/// The value at the start of a description of a default.
fn literal(words: &str, is_text: bool) -> Option<Value> {
    let (text, rest, value) = match words.strip_prefix('`') {
        Some(quoted) => {
            let (text, rest) = quoted.split_once('`')?;
            let parsed =
                serde_json::from_str(text).ok().filter(|value: &Value| !is_text || value.is_string());
            (text, rest, parsed.unwrap_or_else(|| Value::from(text)))
        }
        None => {
            let end = words.find([';', ',', ' ']).unwrap_or(words.len());
            let text = words[..end].trim_end_matches('.');
            let value = serde_json::from_str(text).ok()?;
            let is_plain = matches!(value, Value::Bool(_) | Value::Number(_));
            (text, &words[text.len()..], Some(value).filter(|_| is_plain)?)
        }
    };
    // A default that depends on something is no literal: "`2s`, or `Interval` if that is shorter".
    let is_alone = rest.is_empty()
        || rest.starts_with(['.', ';'])
        || rest.starts_with(" under ")
        || rest.starts_with(", ") && !rest.starts_with(", or");
    Some(value).filter(|_| is_alone && !is_setting_name(text))
}

/// A member of an object, case-insensitive, with its name as written.
pub fn member<'v>(object: &'v Value, name: &str) -> Option<(&'v str, &'v Value)> {
    let members = object.as_object()?;
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(key, value)| (key.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn literal_defaults_are_read_from_descriptions() {
        for (text, expected) in [
            ("X. Default: `64KiB`.", Some(json!("64KiB"))),
            ("X. Default: 1. Source: Ocelot, Routing.", Some(json!(1))),
            ("X. Default: 0.2.", Some(json!(0.2))),
            ("X. Default: false; true under `\"Compatibility\": \"Ocelot\"`.", Some(json!(false))),
            (
                "X. Default: `[\"GET\", \"HEAD\"]`; all methods under `\"Compatibility\": \"Ocelot\"`.",
                Some(json!(["GET", "HEAD"])),
            ),
            ("X. Default: 90 seconds.", None),
            ("X. Default: 5, or none if another is set.", None),
            ("X. Default: none.", None),
            ("X. Default: `MaxPartSize`.", None),
            ("X. Default: `2s`, or `Interval` if that is shorter.", None),
            ("X. Required.", None),
        ] {
            assert_eq!(default_value(&json!({ "description": text }), false), expected, "{text}");
        }
        let version = json!({ "type": ["string", "null"], "description": "Default: `1.1`." });
        assert_eq!(default_value(&version, false), Some(json!("1.1")));
        let text = json!({ "description": "Default: false; true under `\"Compatibility\": \"Ocelot\"`." });
        assert_eq!(default_value(&text, true), Some(json!(true)));
    }
}
