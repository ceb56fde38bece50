//! A serde deserializer over [`Node`] that never stops at the first mistake.
//!
//! A mistake becomes a diagnostic at its place, the place is muted, and a harmless default is handed on: 0, "",
//! false, an empty list or object, the first of the allowed words. Names are compared without regard to case,
//! numbers and booleans may be written as strings and the other way round, as .NET configuration binds them.

mod access;
mod field_names;
mod scalar;

pub(crate) use access::is_extension_key;
pub use field_names::field_names;

use super::codes;
use super::diagnostics::{Code, Diagnostics};
use super::node::{Node, Value};
use super::span::{SPANNED, Span};
use crate::base::from_text::VALIDATED_NEWTYPE;
use access::{MapReader, SeqReader, SpannedAccess, ValidatedAccess};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Visitor};
use std::cell::RefCell;
use std::fmt;

/// The name under which a type asks for a list of one where no list was written.
pub(crate) const ONE_OR_MANY_NEWTYPE: &str = "$margay::OneOrMany";

/// The name under which a type asks for a text or an object.
pub(crate) const TEXT_OR_OBJECT_NEWTYPE: &str = "$margay::TextOrObject";

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Ocelot compatibility: unknown settings are warnings, booleans as text are `True` and `False`.
    pub ocelot: bool,
}

/// Reads a value of any type out of a node; every mistake goes to the diagnostics.
pub fn read<'de, T: Deserialize<'de> + Default>(
    node: &'de Node,
    diagnostics: &mut Diagnostics,
    options: Options,
) -> T {
    let context = Context { diagnostics: RefCell::new(diagnostics), options };
    let reader = NodeDeserializer { node, key: None, context: &context };
    T::deserialize(reader).unwrap_or_else(|failure| {
        failure.report(&context, node, None);
        T::default()
    })
}

/// What all readers of one document share.
struct Context<'d> {
    diagnostics: RefCell<&'d mut Diagnostics>,
    options: Options,
}

impl Context<'_> {
    fn error(&self, code: Code, span: Span, message: String, help: &[String]) {
        let mut list = self.diagnostics.borrow_mut();
        list.error(code, span, message).help.extend_from_slice(help);
    }

    fn error_or_ocelot_warning(&self, code: Code, span: Span, message: String, help: &[String]) {
        let mut list = self.diagnostics.borrow_mut();
        list.error_or_ocelot_warning(self.options.ocelot, code, span, message).help.extend_from_slice(help);
    }

    fn suppress(&self, span: Span) {
        self.diagnostics.borrow_mut().suppress(span);
    }
}

/// An error of a type's own `Deserialize`; ours are diagnostics.
#[derive(Debug)]
pub struct DeserializeError(Option<String>);

impl DeserializeError {
    /// Says it at the node, once.
    fn report(&self, context: &Context, node: &Node, key: Option<&str>) {
        let Some(text) = &self.0 else { return };
        let mut lines = text.lines();
        let said = lines.next().unwrap_or_default();
        let message = match key {
            _ if node.interpolated => {
                format!("{} is malformed after its placeholder was filled in", setting_name(key))
            }
            Some(key) => format!("\"{key}\": {said}"),
            None => said.to_owned(),
        };
        let help: Vec<String> =
            if node.interpolated { Vec::new() } else { lines.map(str::to_owned).collect() };
        context.error(codes::BAD_TEXT, node.span, message, &help);
        context.suppress(node.span);
    }
}

impl fmt::Display for DeserializeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("reported"))
    }
}

impl std::error::Error for DeserializeError {}

impl de::Error for DeserializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DeserializeError(Some(message.to_string()))
    }
}

/// One value to read.
#[derive(Clone, Copy)]
struct NodeDeserializer<'de, 'c, 'd> {
    node: &'de Node,
    /// The name under which it stands, for messages.
    key: Option<&'de str>,
    context: &'c Context<'d>,
}

impl<'de, 'c, 'd> NodeDeserializer<'de, 'c, 'd> {
    /// Reports that another kind of value is wanted.
    fn wrong_type(&self, wanted: &str) {
        let message = format!("{} wants {wanted}, not {}", setting_name(self.key), self.describe_value());
        self.context.error(codes::WRONG_TYPE, self.node.span, message, &[]);
        self.context.suppress(self.node.span);
    }

    /// The value as a message shows it; what came out of a placeholder is not shown.
    fn describe_value(&self) -> String {
        match &self.node.value {
            _ if self.node.interpolated => "what its placeholder gives".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.to_string(),
            Value::String(text) if text.chars().count() <= 60 => format!("\"{text}\""),
            _ => self.node.type_name().to_owned(),
        }
    }

    fn items(&self) -> SeqReader<'de, 'c, 'd> {
        let items = match &self.node.value {
            Value::Array(items) => items.as_slice(),
            _ => {
                self.wrong_type("a list");
                &[]
            }
        };
        SeqReader { items: items.iter(), key: self.key, context: self.context }
    }

    /// The items of a list, or the value itself as the only item.
    fn items_or_one(&self) -> SeqReader<'de, 'c, 'd> {
        let items = match &self.node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(self.node),
        };
        SeqReader { items: items.iter(), key: self.key, context: self.context }
    }

    /// The members of an object; with `fields` matched to them, without taken as they are.
    fn members(&self, fields: Option<&'static [&'static str]>) -> MapReader<'de, 'c, 'd> {
        let members = match &self.node.value {
            Value::Object(members) => members.as_slice(),
            _ => {
                self.wrong_type("an object");
                &[]
            }
        };
        MapReader {
            members: members.iter(),
            value: None,
            fields,
            span: self.node.span,
            context: self.context,
        }
    }
}

fn setting_name(key: Option<&str>) -> String {
    key.map_or_else(|| "the value here".to_owned(), |key| format!("\"{key}\""))
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
            let (least, most) = (i128::from(<$type>::MIN), i128::from(<$type>::MAX));
            visitor.$visit(self.parse_integer(least, most).try_into().unwrap_or_default())
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de, '_, '_> {
    type Error = DeserializeError;

    whole_numbers! {
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

/// Reads with a seed; a failure is reported at the node.
fn read_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    reader: NodeDeserializer<'de, '_, '_>,
) -> Result<S::Value, DeserializeError> {
    seed.deserialize(reader).map_err(|failure| {
        failure.report(reader.context, reader.node, reader.key);
        DeserializeError(None)
    })
}

#[cfg(test)]
mod tests;
