//! How serde walks lists, objects and places.

use super::{Context, DeserializeError, NodeDeserializer, read_seed};
use crate::config::codes;
use crate::config::node::{Member, Node};
use crate::config::span::{SPANNED, Span, Spanned};
use crate::config::suggest;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// Up to so many settings an object's message lists them all.
const MAX_LISTED_SETTINGS: usize = 12;

/// The items of a list.
pub(super) struct SeqReader<'de, 'c, 'd> {
    pub items: std::slice::Iter<'de, Node>,
    pub key: Option<&'de str>,
    pub context: &'c Context<'d>,
}

impl<'de> SeqAccess<'de> for SeqReader<'de, '_, '_> {
    type Error = DeserializeError;

    /// A failure of a type's own ends the list: it was reported, and the others are kept.
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        let Some(node) = self.items.next() else { return Ok(None) };
        Ok(read_seed(seed, NodeDeserializer { node, key: self.key, context: self.context }).ok())
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The members of an object: of a map, or of a struct, whose fields are then known.
pub(super) struct MapReader<'de, 'c, 'd> {
    pub members: std::slice::Iter<'de, Member>,
    pub value: Option<&'de Member>,
    pub fields: Option<&'static [&'static str]>,
    /// The object itself.
    pub span: Span,
    pub context: &'c Context<'d>,
}

impl<'de> MapAccess<'de> for MapReader<'de, '_, '_> {
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
                unknown_key(self.context, self.span, &member.key, fields);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DeserializeError> {
        let Some(member) = self.value.take() else { return Err(DeserializeError(None)) };
        read_seed(
            seed,
            NodeDeserializer { node: &member.value, key: Some(&member.key.value), context: self.context },
        )
    }
}

impl<'de> MapReader<'de, '_, '_> {
    fn next_map_key<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        let Some(member) = self.members.find(|m| !m.key.value.starts_with("//")) else { return Ok(None) };
        self.value = Some(member);
        seed.deserialize(KeyReader(&member.key)).map(Some)
    }
}

/// Keys that mean nothing to us and never will: `x-...`, `$schema`, and comments.
pub(crate) fn is_extension_key(name: &str) -> bool {
    let x = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    x || name.eq_ignore_ascii_case("$schema") || name.starts_with("//")
}

fn unknown_key(context: &Context, object: Span, key: &Spanned<Box<str>>, fields: &'static [&'static str]) {
    let nearest = suggest::closest_match(&key.value, fields.iter().copied());
    let help = match nearest {
        Some(name) => vec![format!("did you mean \"{name}\"?")],
        None if fields.len() <= MAX_LISTED_SETTINGS => {
            vec![format!("the settings here are {}", suggest::list(fields))]
        }
        None => Vec::new(),
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

/// File, start, end, and the value itself: what [`Spanned`] asks for.
pub(super) struct SpannedAccess<R> {
    parts: [u32; 3],
    given: usize,
    reader: R,
}

impl<R> SpannedAccess<R> {
    pub(super) fn new(span: Span, reader: R) -> Self {
        SpannedAccess { parts: [span.file.0.into(), span.start, span.end], given: 0, reader }
    }
}

impl<'de, R: Deserializer<'de, Error = DeserializeError> + Copy> SeqAccess<'de> for SpannedAccess<R> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        self.given += 1;
        match self.parts.get(self.given - 1) {
            Some(part) => seed.deserialize((*part).into_deserializer()).map(Some),
            None => seed.deserialize(self.reader).map(Some),
        }
    }
}

/// One text for a `FromText` type; none when it was reported as bad.
pub(super) struct ValidatedAccess<'de, 'c, 'd> {
    reader: Option<NodeDeserializer<'de, 'c, 'd>>,
}

impl<'de, 'c, 'd> ValidatedAccess<'de, 'c, 'd> {
    pub(super) fn new(reader: NodeDeserializer<'de, 'c, 'd>) -> Self {
        let written_as_text = matches!(reader.node.value, super::Value::String(_) | super::Value::Number(_));
        if !written_as_text {
            reader.wrong_type("a string");
        }
        ValidatedAccess { reader: written_as_text.then_some(reader) }
    }
}

impl<'de> SeqAccess<'de> for ValidatedAccess<'de, '_, '_> {
    type Error = DeserializeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        Ok(self.reader.take().and_then(|reader| read_seed(seed, reader).ok()))
    }
}

/// The key of a map, with its place.
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
