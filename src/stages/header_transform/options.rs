//! One entry of a header transform: Ocelot's short form, or the long form.

use crate::config::de::TEXT_OR_OBJECT_NEWTYPE;
use crate::config::options::shared_settings;
use crate::config::values::Setting;
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::{borrow::Cow, fmt};

shared_settings! { $ request_header_settings {
    /// Header name → how the request header is changed before the request is sent to the backend: `value` sets it,
    /// `find,replace` edits it, `null` removes it; an object is the long form. `{placeholders}` of the route are
    /// replaced. Default: `{}`. Source: Ocelot, Headers Transformation.
    #[serde(rename = "UpstreamHeaderTransform")]
    pub request_headers: HeaderEditMap,
} }

shared_settings! { $ response_header_settings {
    /// Header name → how the response header is changed before the response is sent to the client: `value` adds it if
    /// the backend did not send it (and sets `Content-...` headers), `find,replace` edits it, `null` removes it; an
    /// object is the long form. Error responses of the gateway are not changed. Default: `{}`. Source: Ocelot, Headers
    /// Transformation.
    #[serde(rename = "DownstreamHeaderTransform")]
    pub response_headers: HeaderEditMap,
} }

/// Header name → transform; `null` is kept, because it means "remove".
pub type HeaderEditMap = Option<Spanned<SpannedMap<Option<Spanned<HeaderEditDocument>>>>>;

/// How a header is changed.
#[derive(Clone, Debug)]
pub enum HeaderEditDocument {
    /// Short form: `value`, or `find,replace`.
    Text(String),
    /// Long form.
    Form(Box<HeaderForm>),
}

/// The long form of a header transform, in which values may contain commas: one of `Set`, `Append`, `Default`, or
/// `Find` with `Replace`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct HeaderForm {
    /// The value that replaces all existing values of the header. Placeholders as in the short form.
    pub set: Setting<String>,
    /// A value that is appended as a separate field line after the existing ones.
    pub append: Setting<String>,
    /// The value that is set if the header is absent.
    #[serde(rename = "Default")]
    pub otherwise: Setting<String>,
    /// The text to find in every value of the header, case-sensitive. Requires `Replace`.
    pub find: Setting<String>,
    /// The replacement. Requires `Find`.
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
