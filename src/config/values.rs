//! Types that many settings share: spanned values, lists, maps, durations in two notations.

use super::de::{JSON_TEXT_NEWTYPE, ONE_OR_MANY_NEWTYPE};
use super::{Spanned, SpannedMap};
use crate::base::from_text::{self, FromText};
use crate::base::units::DurationText;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use std::{borrow::Cow, fmt, time::Duration};

/// A setting that may be absent (or `null`), with its source span.
pub type Setting<T> = Option<Spanned<T>>;
/// An option group that most routes do not have: boxed, so that route documents stay small.
pub type BoxedSetting<T> = Option<Spanned<Box<T>>>;
/// A list whose items have source spans.
pub type List<T> = Option<Spanned<Vec<Spanned<T>>>>;
/// A map with free keys and string values; `null` is kept, because it means "remove" for header transforms.
pub type StringList = Option<Spanned<SpannedMap<Option<Spanned<String>>>>>;

/// A map with free keys whose values are strings or lists of strings.
pub type ListMap = Option<Spanned<SpannedMap<Option<Spanned<OneOrMany>>>>>;

/// A map with free keys; values that are objects or lists are kept as JSON text.
pub type JsonTextMap = Option<Spanned<SpannedMap<Option<Spanned<JsonText>>>>>;

/// The items of a list; empty if it is absent.
pub fn items<T>(list: &List<T>) -> &[Spanned<T>] {
    list.as_ref().map_or(&[], |list| &list.value)
}

/// The value, or the default of its type.
pub fn value_or_default<T: Copy + Default>(setting: &Setting<T>) -> T {
    setting.as_ref().map_or_else(T::default, |set| set.value)
}

/// The string, unless it is absent or blank.
pub fn non_blank(text: &Setting<String>) -> Option<&Spanned<String>> {
    text.as_ref().filter(|text| !text.trim().is_empty())
}

/// A duration as in Ocelot (whole seconds) or with a unit (`"1s"`, `"250ms"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationSetting {
    /// A bare number of seconds; signed, because Ocelot accepts negative values.
    Seconds(i32),
    /// A string with a unit.
    Text(Duration),
}

impl DurationSetting {
    /// The duration; `None` if it is zero or negative.
    pub fn non_zero(self) -> Option<Duration> {
        match self {
            DurationSetting::Seconds(n) => u64::try_from(n).ok().filter(|n| *n > 0).map(Duration::from_secs),
            DurationSetting::Text(time) => Some(time).filter(|time| !time.is_zero()),
        }
    }
}

impl Default for DurationSetting {
    fn default() -> Self {
        DurationSetting::Seconds(0)
    }
}

impl FromText for DurationSetting {
    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim().parse::<i64>() {
            Ok(seconds) => i32::try_from(seconds)
                .map(DurationSetting::Seconds)
                .map_err(|_| format!("expected at most 2147483647 seconds, found {seconds}")),
            Err(_) => DurationText::from_text(text).map(|time| DurationSetting::Text(time.0)),
        }
    }
}

impl<'de> Deserialize<'de> for DurationSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text::deserialize(deserializer)
    }
}

impl schemars::JsonSchema for DurationSetting {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Wait".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "examples": [90, "1s", "250ms"] })
    }
}

/// A string, or a list of strings.
#[derive(Clone, Debug, Default)]
pub struct OneOrMany(pub Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY_NEWTYPE, OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    /// The deserializer wraps every value that is not a list in a list of one.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = list.next_element()? {
            all.push(item);
        }
        Ok(OneOrMany(all))
    }
}

impl schemars::JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// A string; an object or a list is its JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonText(pub String);

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(JSON_TEXT_NEWTYPE, JsonTextVisitor)
    }
}

struct JsonTextVisitor;

impl Visitor<'_> for JsonTextVisitor {
    type Value = JsonText;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string, an object or a list")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<JsonText, E> {
        Ok(JsonText(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<JsonText, E> {
        Ok(JsonText(text))
    }
}

impl schemars::JsonSchema for JsonText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "JsonText".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "object", "array"] })
    }
}

/// An object whose content is opaque here: the settings of a custom stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageSettings;

impl<'de> serde::Deserialize<'de> for StageSettings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| StageSettings)
    }
}

impl schemars::JsonSchema for StageSettings {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "object" } })
    }
}
