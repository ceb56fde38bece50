//! Conversion of values to the types that settings expect.

use super::{
    error::EvalError,
    number::double_text,
    timestamp::{duration_seconds, format_rfc3339},
    value::{Map, Value},
    xml::write_element,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;
use std::sync::Arc;

/// The text of a value; `None` for null.
pub fn to_text(value: &Value) -> Result<Option<Arc<str>>, EvalError> {
    let text: Arc<str> = match value {
        Value::Null | Value::Optional(None) => return Ok(None),
        Value::Text(text) | Value::Digits(text) => text.clone(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Int(n) => n.to_string().into(),
        Value::Uint(n) => n.to_string().into(),
        Value::Double(n) => double_text(*n).into(),
        Value::Timestamp(at) => format_rfc3339(*at).into(),
        Value::Duration(length) => duration_seconds(*length).into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::List(items) => joined(items)?.into(),
        Value::Map(_) => to_json(value)?.to_string().into(),
        Value::Optional(Some(value)) => return to_text(value),
        Value::Xml(element) => write_element(element).into(),
        Value::Response(..) | Value::Object(_) => {
            return Err(EvalError::new(format!("{} has no text", type_name(value))));
        }
    };
    Ok(Some(text))
}

/// The items as texts, with commas between them.
fn joined(items: &[Value]) -> Result<String, EvalError> {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&to_text(item)?.unwrap_or_default());
    }
    Ok(text)
}

/// A boolean, or a text that reads as one.
pub fn to_bool(value: &Value) -> Result<bool, EvalError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Value::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        other => Err(EvalError::new(format!("expected a boolean, found {}", type_name(other)))),
    }
}

/// A number, or a text that reads as one.
pub fn to_number(value: &Value) -> Result<f64, EvalError> {
    match value {
        Value::Int(n) => Ok(*n as f64),
        Value::Uint(n) => Ok(*n as f64),
        Value::Double(n) if n.is_finite() => Ok(*n),
        Value::Digits(text) | Value::Text(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite())
            .ok_or_else(|| EvalError::new("expected a number, found another text")),
        Value::Duration(length) => Ok(*length as f64 / 1e9),
        other => Err(EvalError::new(format!("expected a number, found {}", type_name(other)))),
    }
}

/// A whole number, or a text that reads as one.
pub fn to_int(value: &Value) -> Result<i64, EvalError> {
    match value {
        Value::Int(n) => Ok(*n),
        Value::Text(text) if text.trim().parse::<i64>().is_ok() => {
            text.trim().parse().map_err(|_| EvalError::new("expected a whole number"))
        }
        other => {
            let n = to_number(other)?;
            if n.fract() != 0.0 || n.abs() > 9e15 {
                return Err(EvalError::new("expected a whole number"));
            }
            Ok(n as i64)
        }
    }
}

/// The type of a value, for messages; never its content.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Uint(_) => "an integer",
        Value::Double(_) | Value::Digits(_) => "a number",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Timestamp(_) => "a timestamp",
        Value::Duration(_) => "a duration",
        Value::Optional(_) => "an optional value",
        Value::Xml(_) => "an XML element",
        Value::Response(..) => "a response",
        Value::Object(_) => "an object of context",
    }
}

/// The value of a JSON document.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Value::Int(n),
            (None, Some(n)) => Value::Uint(n),
            (None, None) => Value::Double(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(from_json)),
        Json::Object(members) => Value::Map(Arc::new(Map(members
            .iter()
            .map(|(name, value)| (Value::text(name.as_str()), from_json(value)))
            .collect()))),
    }
}

/// The JSON document of a value.
pub fn to_json(value: &Value) -> Result<Json, EvalError> {
    Ok(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(n) => (*n).into(),
        Value::Uint(n) => (*n).into(),
        Value::Double(n) if *n == n.trunc() && n.abs() < 9e15 => (*n as i64).into(),
        Value::Double(n) => serde_json::Number::from_f64(*n).map_or(Json::Null, Json::Number),
        Value::Digits(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        Value::Text(text) => Json::from(&**text),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let mut object = serde_json::Map::new();
            for (key, value) in &map.0 {
                object.insert(key_text(key)?, to_json(value)?);
            }
            Json::Object(object)
        }
        Value::Timestamp(at) => format_rfc3339(*at).into(),
        Value::Duration(length) => duration_seconds(*length).into(),
        Value::Optional(Some(value)) => to_json(value)?,
        Value::Xml(_) => to_text(value)?.unwrap_or_default().to_string().into(),
        Value::Response(..) | Value::Object(_) => {
            return Err(EvalError::new(format!("{} has no JSON form", type_name(value))));
        }
    })
}

fn key_text(key: &Value) -> Result<String, EvalError> {
    match key {
        Value::Text(text) => Ok(text.to_string()),
        Value::Double(n) => Ok(double_text(*n)),
        other => Ok(to_text(other)?.unwrap_or_default().to_string()),
    }
}
