//! One entry of a header transform: Ocelot's text, or the same said at length.

use super::values::Setting;
use crate::config::de::TEXT_OR_OBJECT_NEWTYPE;
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::{borrow::Cow, fmt};

/// Header name → what is done with it; `null` is kept, because it means "remove".
pub type HeaderEdits = Option<Spanned<SpannedMap<Option<Spanned<HeaderEditDocument>>>>>;

/// What is done with a header.
#[derive(Clone, Debug)]
pub enum HeaderEditDocument {
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
    pub set: Setting<String>,
    /// A value added on a line of its own, behind those that are there.
    pub append: Setting<String>,
    /// The value that the header gets where it is absent.
    #[serde(rename = "Default")]
    pub otherwise: Setting<String>,
    /// The text looked for in every line of the header, with regard to case. Needs `Replace`.
    pub find: Setting<String>,
    /// What stands in its place. Needs `Find`.
    pub replace: Setting<String>,
}

impl<'de> Deserialize<'de> for HeaderEditDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR_OBJECT_NEWTYPE, HeaderEditVisitor)
    }
}

struct HeaderEditVisitor;

impl<'de> Visitor<'de> for HeaderEditVisitor {
    type Value = HeaderEditDocument;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text, or an object with Set, Append, Default, or Find and Replace")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HeaderEditDocument, E> {
        Ok(HeaderEditDocument::Text(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<HeaderEditDocument, D::Error> {
        HeaderForm::deserialize(deserializer).map(|form| HeaderEditDocument::Form(Box::new(form)))
    }
}

impl JsonSchema for HeaderEditDocument {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HeaderEditDocument".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let form = generator.subschema_for::<HeaderForm>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, form] })
    }
}
