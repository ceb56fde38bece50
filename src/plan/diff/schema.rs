//! The settings of documents as the JSON Schema has them: names, kinds of values, defaults.

use crate::base::from_text::FromText;
use crate::base::units::{DurationText, SizeText};
use crate::config::values::DurationSetting;
use crate::plan::document::schema_lookup::{self, document_schema, resolve};
use serde_json::Value;
use std::time::Duration;

/// The beginnings of defaults that mean: without the object the feature is off, and an empty object turns it on.
const OFF: [&str; 6] = ["off", "none", "no ", "not ", "all ", "the "];

/// A setting or an object of the document. Without a schema, every name and every value is accepted as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schema {
    /// The setting, with its description.
    setting: Option<&'static Value>,
    /// The schema of its value.
    value: Option<&'static Value>,
}

/// The notation of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Bool,
    Number,
    Duration,
    /// A number of seconds, or a duration.
    Seconds,
    Size,
    /// One of a list of values.
    Choice,
    Text,
}

impl Schema {
    /// The whole document.
    pub fn of_document() -> Schema {
        Schema::of(document_schema())
    }

    /// A definition of the schema, such as `RouteDocument`.
    pub fn definition(name: &str) -> Schema {
        schema_lookup::definition(name).map_or_else(Schema::default, Schema::of)
    }

    fn of(setting: &'static Value) -> Schema {
        Schema { setting: Some(setting), value: Some(resolve(setting)) }
    }

    /// The canonical name of a setting of this object, and its schema.
    pub fn setting(self, name: &str) -> Option<(&'static str, Schema)> {
        let (name, setting) = schema_lookup::setting(self.value?, name)?;
        Some((name, Schema::of(setting)))
    }

    /// Whether the value is an object with settings, as opposed to a map.
    pub fn has_settings(self) -> bool {
        self.value.is_some_and(|value| value.get("properties").is_some())
    }

    /// The schema of the items of a list, or of the values of a map.
    pub fn element(self) -> Schema {
        let element = self.value.and_then(|value| {
            value
                .get("items")
                .or_else(|| value.get("additionalProperties"))
                .filter(|element| element.is_object())
        });
        element.map_or_else(Schema::default, Schema::of)
    }

    /// Whether the feature of this object is off without it.
    pub fn is_off_by_default(self) -> bool {
        self.has_settings()
            && self.default_words().is_some_and(|words| OFF.iter().any(|off| words.starts_with(off)))
    }

    fn default_words(self) -> Option<&'static str> {
        let description = self.setting?.get("description")?.as_str()?;
        description.split_once("Default: ").map(|(_, words)| words)
    }

    /// The default, if it is a literal; a list has several items.
    pub fn default_items(self) -> Option<Vec<String>> {
        let words = self.default_words()?;
        let Some(quoted) = words.strip_prefix('`') else { return plain_literal(words).map(|one| vec![one]) };
        let literal = quoted.split_once('`')?.0;
        match serde_json::from_str(literal) {
            Ok(Value::String(text)) => Some(vec![text]),
            Ok(Value::Array(items)) => Some(items.iter().map(item_text).collect()),
            Ok(Value::Object(_)) => Some(Vec::new()),
            _ => Some(vec![literal.to_owned()]),
        }
    }

    /// The notation of the value.
    pub fn kind(self) -> ValueKind {
        let Some(value) = self.value else { return ValueKind::Text };
        let pattern = value["pattern"].as_str().unwrap_or_default();
        let has_type = |name: &str| match &value["type"] {
            Value::Array(types) => types.iter().any(|t| t == name),
            one => one == name,
        };
        if pattern.contains("(ms|s|m|h|d)") {
            ValueKind::Duration
        } else if pattern.contains("[KMGT]") {
            ValueKind::Size
        } else if value["examples"].as_array().is_some_and(|examples| examples.iter().any(|e| e == "250ms")) {
            ValueKind::Seconds
        } else if value.get("enum").is_some() || value.get("oneOf").is_some() {
            ValueKind::Choice
        } else if has_type("boolean") {
            ValueKind::Bool
        } else if has_type("integer") || has_type("number") {
            ValueKind::Number
        } else {
            ValueKind::Text
        }
    }
}

impl ValueKind {
    /// The same text for the same value: `30` and `"30s"` of a timeout are both `30s`.
    pub fn canonical(self, text: &str) -> String {
        let trimmed = text.trim();
        let canonical = match self {
            ValueKind::Text => None,
            ValueKind::Bool | ValueKind::Choice => Some(trimmed.to_ascii_lowercase()),
            ValueKind::Number => trimmed.parse::<f64>().ok().map(|number| number.to_string()),
            ValueKind::Duration => DurationText::from_text(text).ok().map(|time| time.to_string()),
            ValueKind::Size => SizeText::from_text(text).ok().map(|size| size.to_string()),
            ValueKind::Seconds => match DurationSetting::from_text(text) {
                Ok(DurationSetting::Text(time)) => Some(DurationText(time).to_string()),
                Ok(DurationSetting::Seconds(seconds)) => {
                    u64::try_from(seconds).ok().map(|s| DurationText(Duration::from_secs(s)).to_string())
                }
                Err(_) => None,
            },
        };
        canonical.unwrap_or_else(|| text.to_owned())
    }
}

fn item_text(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}

/// `true`, `128` and `90 seconds`, without the words that follow.
fn plain_literal(words: &str) -> Option<String> {
    let end = words.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(words.len());
    let (literal, rest) = words.split_at(end);
    let is_number = !literal.is_empty() && literal.bytes().all(|b| b.is_ascii_digit());
    match rest.trim_start().split(|c: char| !c.is_ascii_alphanumeric() && c != '%').next() {
        Some("seconds") if is_number => Some(format!("{literal}s")),
        _ if is_number && rest.starts_with(' ') => None,
        _ => (is_number || matches!(literal, "true" | "false")).then(|| literal.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_of(definition: &str, name: &str) -> Option<Vec<String>> {
        Schema::definition(definition).setting(name).unwrap().1.default_items()
    }

    #[test]
    fn literal_defaults_are_read_from_the_descriptions() {
        let one = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(default_of("RouteDocument", "timeout"), one("90s"));
        assert_eq!(default_of("RouteDocument", "Priority"), one("1"));
        assert_eq!(default_of("RouteDocument", "PreserveHost"), one("false"));
        assert_eq!(default_of("RouteDocument", "UpstreamHttpMethod"), Some(Vec::new()));
        assert_eq!(default_of("RouteDocument", "DownstreamScheme"), None);
        assert_eq!(default_of("LimitsDocument", "StreamWindowSize"), None);
        assert_eq!(default_of("LimitsDocument", "MaxConcurrentConnections"), None);
        assert_eq!(default_of("LimitsDocument", "UnderscoresInHeaders"), one("Allow"));
    }

    #[test]
    fn values_in_other_notations_are_the_same_value() {
        let kind = |name: &str| Schema::definition("RouteDocument").setting(name).unwrap().1.kind();
        assert_eq!(kind("Timeout").canonical("30"), kind("Timeout").canonical("30000ms"));
        assert_eq!(kind("PreserveHost").canonical("True"), "true");
        assert_eq!(kind("Priority").canonical(" 01 "), "1");
        assert_eq!(kind("Key").canonical("01"), "01");
    }

    #[test]
    fn an_empty_object_of_a_feature_that_is_off_is_a_change() {
        let is_off =
            |name: &str| Schema::definition("RouteDocument").setting(name).unwrap().1.is_off_by_default();
        assert!(is_off("RetryOptions") && is_off("RateLimitOptions") && is_off("CorsOptions"));
        assert!(!is_off("LoadBalancerOptions") && !is_off("HttpHandlerOptions") && !is_off("Key"));
    }
}
