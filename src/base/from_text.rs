//! Settings written as text that represent another value: "250ms", "4MiB".

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use std::{fmt, marker::PhantomData};

/// The name with which a [`FromText`] type requests that our own deserializer reports an invalid value and continues.
pub const VALIDATED_NEWTYPE: &str = "$margay::Checked";

/// A type that is parsed from text. Its default replaces a value that was reported as invalid, so that reading
/// continues to the next error.
pub trait FromText: Sized + Default {
    /// Parses the text. The first line of the error is the message, every further line a suggested fix.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// The implementation of `Deserialize` for a [`FromText`] type. With any other deserializer, invalid text is an
/// ordinary error.
pub fn deserialize<'de, T: FromText, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(VALIDATED_NEWTYPE, Validated(PhantomData))
}

struct Validated<T>(PhantomData<T>);

impl<'de, T: FromText> Visitor<'de> for Validated<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    /// Our deserializer provides one element; if that is invalid, it reports the error and provides none.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        Ok(seq.next_element::<Parsed<T>>()?.map(|parsed| parsed.0).unwrap_or_default())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        Parsed::deserialize(deserializer).map(|parsed| parsed.0)
    }
}

struct Parsed<T>(T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = Parsed<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
        T::from_text(text).map(Parsed).map_err(E::custom)
    }
}
