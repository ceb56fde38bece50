//! One entry of a header transform: Ocelot's text, or the same said at length.

use super::values::Set;
use crate::config::de::TEXT_OR_OBJECT;
use crate::config::{Map, Spanned};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::{borrow::Cow, fmt};

/// Header name → what is done with it; `null` is kept, because it means "remove".
pub type HeaderEdits = Option<Spanned<Map<Option<Spanned<HeaderEdit>>>>>;

/// What is done with a header.
#[derive(Clone, Debug)]
pub enum HeaderEdit {
    /// `value`, or `find,replace`.
    Text(String),
    /// Said at length.
    Form(Box<HeaderForm>),
}

/// A header transform said at length, where a value may hold commas: one of `Set`, `Append`, `Default`, or `Find` with
/// `Replace`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HeaderForm {
    /// The one value that the header has from then on, whatever there was. Placeholders as in the text form.
    pub set: Set<String>,
    /// A value added on a line of its own, behind those that are there.
    pub append: Set<String>,
    /// The value that the header gets where it is absent.
    #[serde(rename = "Default")]
    pub otherwise: Set<String>,
    /// The text looked for in every line of the header, with regard to case. Needs `Replace`.
    pub find: Set<String>,
    /// What stands in its place. Needs `Find`.
    pub replace: Set<String>,
}

impl<'de> Deserialize<'de> for HeaderEdit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR_OBJECT, HeaderEditVisitor)
    }
}

struct HeaderEditVisitor;

impl<'de> Visitor<'de> for HeaderEditVisitor {
    type Value = HeaderEdit;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text, or an object with Set, Append, Default, or Find and Replace")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HeaderEdit, E> {
        Ok(HeaderEdit::Text(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<HeaderEdit, D::Error> {
        HeaderForm::deserialize(deserializer).map(|form| HeaderEdit::Form(Box::new(form)))
    }
}

impl JsonSchema for HeaderEdit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HeaderEdit".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let form = generator.subschema_for::<HeaderForm>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, form] })
    }
}
