//! serde access to lists, objects and spans.

use super::context::{Context, DeserializeError};
use crate::config::codes;
use crate::config::node::{Member, Node, Value};
use crate::config::span::{SPANNED, Span, Spanned};
use crate::config::suggest;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// A message about an unknown setting lists all settings of the object, up to this number.
const MAX_LISTED_SETTINGS: usize = 12;

/// A deserializer of one node, as the readers of lists and objects use it for items and members.
pub(super) trait NodeReader<'de>: Deserializer<'de, Error = DeserializeError> + Copy {
    fn with_node(self, node: &'de Node, key: Option<&'de str>) -> Self;
    fn node(&self) -> &'de Node;
    /// The name of the value, for messages.
    fn key(&self) -> Option<&'de str>;
    /// Calls a function with the context, to report an error.
    fn with_context(&self, report: impl FnOnce(&Context<'_>));
    /// Reports that a value of another type is expected.
    fn wrong_type(&self, expected: &str);

    /// Deserializes with a seed; an error is reported at the node.
    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DeserializeError> {
        seed.deserialize(self).map_err(|error| {
            self.with_context(|context| error.report(context, self.node(), self.key()));
            DeserializeError(None)
        })
    }
}

/// The items of a list.
pub(super) struct SeqReader<'de, R> {
    pub items: std::slice::Iter<'de, Node>,
    pub list: R,
}

impl<'de, R: NodeReader<'de>> SeqAccess<'de> for SeqReader<'de, R> {
    type Error = DeserializeError;

    /// An error of a type's own `Deserialize` ends the list: it was reported, and the previous items are kept.
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        let Some(node) = self.items.next() else { return Ok(None) };
        Ok(self.list.with_node(node, self.list.key()).read(seed).ok())
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The members of an object: of a map, or of a struct with known fields.
pub(super) struct MapReader<'de, R> {
    pub members: std::slice::Iter<'de, Member>,
    pub value: Option<&'de Member>,
    pub fields: Option<&'static [&'static str]>,
    /// The object itself.
    pub object: R,
}

impl<'de, R: NodeReader<'de>> MapAccess<'de> for MapReader<'de, R> {
    type Error = DeserializeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        let Some(fields) = self.fields else { return self.next_map_key(seed) };
        for member in self.members.by_ref() {
            let name = &*member.key.value;
            if let Some(field) = fields.iter().find(|field| field.eq_ignore_ascii_case(name)) {
                self.value = Some(member);
                return seed.deserialize((*field).into_deserializer()).map(Some);
            }
            if !is_extension_key(name) {
                let span = self.object.node().span;
                self.object.with_context(|context| unknown_key(context, span, &member.key, fields));
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DeserializeError> {
        let Some(member) = self.value.take() else { return Err(DeserializeError(None)) };
        self.object.with_node(&member.value, Some(&member.key.value)).read(seed)
    }
}

impl<'de, R> MapReader<'de, R> {
    fn next_map_key<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        let Some(member) = self.members.find(|m| !m.key.value.starts_with("//")) else { return Ok(None) };
        self.value = Some(member);
        seed.deserialize(KeyReader(&member.key)).map(Some)
    }
}

/// Keys without a meaning for the gateway: `x-...`, `$schema`, and comments.
pub(crate) fn is_extension_key(name: &str) -> bool {
    let has_prefix = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    has_prefix || name.eq_ignore_ascii_case("$schema") || name.starts_with("//")
}

fn unknown_key(context: &Context, object: Span, key: &Spanned<Box<str>>, fields: &'static [&'static str]) {
    let nearest = suggest::closest_match(&key.value, fields.iter().copied());
    let help = match nearest {
        _ if &*key.value == "ReverseProxy" => vec!["convert the file: margay import yarp FILE".to_owned()],
        Some(name) => vec![format!("did you mean \"{name}\"?")],
        None if fields.len() <= MAX_LISTED_SETTINGS => {
            vec![format!("the settings are {}", suggest::list(fields))]
        }
        None => vec!["docs/configuration.md lists all settings".to_owned()],
    };
    context.error_or_ocelot_warning(
        codes::UNKNOWN_KEY,
        key.span,
        format!("unknown setting \"{}\"", key.value),
        &help,
    );
    if let Some(name) = nearest.filter(|_| !context.options.ocelot) {
        context.diagnostics.borrow_mut().suppress_unknown_key(object, name);
    }
}

/// File, start, end, and the value itself, as [`Spanned`] expects.
pub(super) struct SpannedAccess<R> {
    parts: [u32; 3],
    next: usize,
    reader: R,
}

impl<R> SpannedAccess<R> {
    pub(super) fn new(span: Span, reader: R) -> Self {
        SpannedAccess { parts: [span.file.0.into(), span.start, span.end], next: 0, reader }
    }
}

impl<'de, R: Deserializer<'de, Error = DeserializeError> + Copy> SeqAccess<'de> for SpannedAccess<R> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        self.next += 1;
        match self.parts.get(self.next - 1) {
            Some(part) => seed.deserialize((*part).into_deserializer()).map(Some),
            None => seed.deserialize(self.reader).map(Some),
        }
    }
}

/// One string for a `FromText` type; no element if it was reported as invalid.
pub(super) struct ValidatedAccess<R> {
    reader: Option<R>,
}

impl<'de, R: NodeReader<'de>> ValidatedAccess<R> {
    pub(super) fn new(reader: R) -> Self {
        let is_text = matches!(reader.node().value, Value::String(_) | Value::Number(_));
        if !is_text {
            reader.wrong_type("a string");
        }
        ValidatedAccess { reader: is_text.then_some(reader) }
    }
}

impl<'de, R: NodeReader<'de>> SeqAccess<'de> for ValidatedAccess<R> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        Ok(self.reader.take().and_then(|reader| reader.read(seed).ok()))
    }
}

/// The key of a map, with its span.
#[derive(Clone, Copy)]
struct KeyReader<'de>(&'de Spanned<Box<str>>);

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_borrowed_str(&self.0.value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        match name {
            SPANNED => visitor.visit_seq(SpannedAccess::new(self.0.span, self)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
