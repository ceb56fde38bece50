//! A serde deserializer over [`Node`] that does not stop at the first error.
//!
//! An invalid value becomes a diagnostic at its span, later diagnostics about that span are suppressed, and a harmless
//! default is returned: 0, "", false, an empty list or object, the first variant. Names are case-insensitive; numbers
//! and booleans may be written as strings and vice versa, as .NET configuration binds them.
//! Entry point: [`read`]; callers are `control`, `cli` and `policies`. It has no state.

mod access;
mod context;
mod field_names;
mod scalar;

pub(crate) use access::is_extension_key;
pub use context::{DeserializeError, Options};
pub use field_names::field_names;

use super::codes;
use super::diagnostics::{Code, Diagnostics};
use super::node::{Node, Value};
use super::span::SPANNED;
use crate::base::from_text::VALIDATED_NEWTYPE;
use access::{MapReader, NodeReader, SeqReader, SpannedAccess, ValidatedAccess};
use context::{Context, setting_name};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The newtype name with which a type requests that a single value is read as a list of one.
pub(crate) const ONE_OR_MANY_NEWTYPE: &str = "$margay::OneOrMany";

/// The newtype name with which a type requests a string; an object or a list becomes its JSON text.
pub(crate) const JSON_TEXT_NEWTYPE: &str = "$margay::JsonText";

/// The newtype name with which a type requests a string or an object.
pub(crate) const TEXT_OR_OBJECT_NEWTYPE: &str = "$margay::TextOrObject";

/// Deserializes a node; every error is added to the diagnostics.
pub fn read<'de, T: Deserialize<'de> + Default>(
    node: &'de Node,
    diagnostics: &mut Diagnostics,
    options: Options,
) -> T {
    let context = Context::new(diagnostics, options);
    let reader = NodeDeserializer { node, key: None, context: &context };
    T::deserialize(reader).unwrap_or_else(|failure| {
        failure.report(&context, node, None);
        T::default()
    })
}

/// One value to deserialize.
#[derive(Clone, Copy)]
struct NodeDeserializer<'de, 'c, 'd> {
    node: &'de Node,
    /// Its name, for messages.
    key: Option<&'de str>,
    context: &'c Context<'d>,
}

impl<'de> NodeReader<'de> for NodeDeserializer<'de, '_, '_> {
    fn with_node(self, node: &'de Node, key: Option<&'de str>) -> Self {
        NodeDeserializer { node, key, ..self }
    }

    fn node(&self) -> &'de Node {
        self.node
    }

    fn key(&self) -> Option<&'de str> {
        self.key
    }

    fn with_context(&self, report: impl FnOnce(&Context<'_>)) {
        report(self.context);
    }

    fn wrong_type(&self, expected: &str) {
        self.unexpected_value(codes::WRONG_TYPE, expected, &[]);
    }
}

impl<'de> NodeDeserializer<'de, '_, '_> {
    /// Reports "expected X, found Y" and suppresses later diagnostics about the value.
    fn unexpected_value(&self, code: Code, expected: &str, help: &[String]) {
        let found = self.describe_value();
        let message = format!("{}: expected {expected}, found {found}", setting_name(self.key));
        self.context.error(code, self.node.span, message, help);
        self.context.suppress(self.node.span);
    }

    /// The value for a message; an interpolated value is not shown, because it may be a secret.
    fn describe_value(&self) -> String {
        match &self.node.value {
            _ if self.node.interpolated => "the value of its placeholder or environment variable".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.to_string(),
            Value::String(text) if text.chars().count() <= 60 => format!("\"{text}\""),
            _ => self.node.type_name().to_owned(),
        }
    }

    fn items(self) -> SeqReader<'de, Self> {
        let items = match &self.node.value {
            Value::Array(items) => items.as_slice(),
            _ => {
                let help = "a list is written in brackets: [...]".to_owned();
                self.unexpected_value(codes::WRONG_TYPE, "a list", &[help]);
                &[]
            }
        };
        SeqReader { items: items.iter(), list: self }
    }

    /// The items of a list, or the value itself as the only item.
    fn items_or_one(self) -> SeqReader<'de, Self> {
        let items = match &self.node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(self.node),
        };
        SeqReader { items: items.iter(), list: self }
    }

    /// The members of an object; with `fields` their names are matched, without they are free keys.
    fn members(self, fields: Option<&'static [&'static str]>) -> MapReader<'de, Self> {
        let members = match &self.node.value {
            Value::Object(members) => members.as_slice(),
            _ => {
                self.wrong_type("an object");
                &[]
            }
        };
        MapReader { members: members.iter(), value: None, fields, object: self }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
            let (min, max) = (i128::from(<$type>::MIN), i128::from(<$type>::MAX));
            visitor.$visit(self.parse_integer(min, max).try_into().unwrap_or_default())
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de, '_, '_> {
    type Error = DeserializeError;

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(_) => self.number_as_any(visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(_) => visitor.visit_seq(self.items()),
            Value::Object(_) => visitor.visit_map(self.members(None)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_bool(self.node.as_bool().unwrap_or_else(|| {
            self.wrong_type("true or false");
            false
        }))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_f64(self.parse_float())
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_borrowed_str(self.parse_string())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        match name {
            SPANNED => visitor.visit_seq(SpannedAccess::new(self.node.span, self)),
            ONE_OR_MANY_NEWTYPE => visitor.visit_seq(self.items_or_one()),
            TEXT_OR_OBJECT_NEWTYPE if !matches!(self.node.value, Value::Object(_)) => {
                self.deserialize_str(visitor)
            }
            JSON_TEXT_NEWTYPE => match &self.node.value {
                Value::Array(_) | Value::Object(_) => visitor.visit_string(self.node.to_json()),
                _ => self.deserialize_str(visitor),
            },
            VALIDATED_NEWTYPE => visitor.visit_seq(ValidatedAccess::new(self)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_seq(self.items())
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_map(self.members(None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_map(self.members(Some(fields)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        use de::value::StrDeserializer;
        let word: StrDeserializer<'_, DeserializeError> =
            de::IntoDeserializer::into_deserializer(self.parse_enum(variants));
        word.deserialize_enum("", variants, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests;
