//! The values of expressions.

use super::{member::Member, xml::Element};
use bytes::Bytes;
use std::sync::Arc;

/// A value. Copies are cheap: everything large is shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// A number of a JSON document whose digits do not fit the other types.
    Digits(Arc<str>),
    Text(Arc<str>),
    Bytes(Bytes),
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
    /// Nanoseconds since 1970-01-01 UTC.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
    Optional(Option<Arc<Value>>),
    Xml(Arc<Element>),
    /// The response of a call-out, or a part of it.
    Response(Arc<HeldResponse>, ResponsePart),
    /// An object of `context`, read when a member of it is read.
    Object(Member),
}

/// What a value is of a held response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponsePart {
    Whole,
    Headers,
    Body,
}

/// A response that is held as a whole.
#[derive(Clone, Debug, Default)]
pub struct HeldResponse {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl HeldResponse {
    /// The values of a header; empty without it.
    pub fn header(&self, name: &str) -> Vec<Value> {
        let lines = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| Value::text(value.as_str())).collect()
    }
}

/// A map in the order of its members.
#[derive(Clone, Debug, Default)]
pub struct Map(pub Vec<(Value, Value)>);

impl Map {
    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| matches!(name, Value::Text(name) if &**name == key)).map(|(_, v)| v)
    }

    /// The value of any key.
    pub fn lookup(&self, key: &Value) -> Option<&Value> {
        match key {
            Value::Text(key) => self.get(key),
            key => self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value),
        }
    }

    /// Sets the value of a key in its place, or at the end.
    pub fn set(&mut self, key: Value, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(Arc::new(items.into_iter().collect()))
    }

    /// A map with text keys.
    pub fn map<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
        let members = members.into_iter().map(|(name, value)| (Value::text(name), value));
        Value::Map(Arc::new(Map(members.collect())))
    }

    /// The text, or null.
    pub fn text_or_null(text: Option<impl Into<Arc<str>>>) -> Value {
        text.map_or(Value::Null, |text| Value::Text(text.into()))
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text of a text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => {
                a.0.len() == b.0.len() && a.0.iter().all(|(key, value)| b.lookup(key) == Some(value))
            }
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Optional(a), Value::Optional(b)) => a == b,
            (Value::Object(a), Value::Object(b)) => a == b,
            (Value::Digits(a), Value::Digits(b)) => a == b,
            (Value::Int(a), Value::Uint(b)) | (Value::Uint(b), Value::Int(a)) => u64::try_from(*a) == Ok(*b),
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Uint(a), Value::Uint(b)) => a == b,
            (Value::Double(a), Value::Double(b)) => a == b,
            (Value::Int(a), Value::Double(b)) | (Value::Double(b), Value::Int(a)) => *a as f64 == *b,
            (Value::Uint(a), Value::Double(b)) | (Value::Double(b), Value::Uint(a)) => *a as f64 == *b,
            _ => false,
        }
    }
}
