//! JSON: documents, maps, and the body of a message.

use super::{
    super::{
        convert::{from_json, to_json, to_text, type_name},
        digits::{Digits, parse_json},
        error::EvalError,
        machine::Machine,
        member::{Kind, Member},
        value::{Map, ResponsePart, Value},
    },
    function::{Function, free, list_of, member, text_of},
};
use crate::base::{expr::xml, json_path::JsonPath, percent::percent_decoded};
use bytes::Bytes;
use std::sync::Arc;

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("json.parse", 1, 1, |machine, a| match &a[0] {
        Value::Null => Ok(Value::Null),
        text => parse(machine, text_of("json.parse", text)?.as_bytes()),
    }),
    free("json.stringify", 1, 1, |_, a| Ok(Value::text(to_json(&a[0])?.to_string()))),
    free("json.text", 1, 1, |_, a| match &a[0] {
        Value::Null | Value::Text(_) => Ok(a[0].clone()),
        value @ (Value::Map(_) | Value::List(_)) => Ok(Value::text(to_json(value)?.to_string())),
        value => Ok(Value::text_or_null(to_text(value)?)),
    }),
    free("json.select", 2, 2, select),
    free("merge", 2, 2, |_, a| {
        let (Value::Map(under), Value::Map(over)) = (&a[0], &a[1]) else {
            return Err(EvalError::types("merge", &[type_name(&a[0]), type_name(&a[1])]));
        };
        let mut map = (**under).clone();
        over.0.iter().for_each(|(key, value)| map.set(key.clone(), value.clone()));
        Ok(Value::Map(Arc::new(map)))
    }),
    free("without", 2, 2, |_, a| {
        let (Value::Map(map), keys) = (&a[0], list_of("without", &a[1])?) else {
            return Err(EvalError::types("without", &[type_name(&a[0])]));
        };
        let kept = map.0.iter().filter(|(key, _)| !keys.contains(key)).cloned().collect();
        Ok(Value::Map(Arc::new(Map(kept))))
    }),
    member("AsString", 0, 0, |machine, a| match body(machine, &a[0])? {
        None => Ok(Value::text("")),
        Some(bytes) => utf8(&bytes).map(Value::text),
    }),
    member("AsBytes", 0, 0, |machine, a| Ok(Value::Bytes(body(machine, &a[0])?.unwrap_or_default()))),
    member("AsJson", 0, 0, |machine, a| match body(machine, &a[0])? {
        Some(bytes) if !bytes.is_empty() => parse(machine, &bytes),
        _ => Ok(Value::Null),
    }),
    member("AsForm", 0, 0, |machine, a| match body(machine, &a[0])? {
        Some(bytes) if !bytes.is_empty() => Ok(form(&bytes)),
        _ => Ok(Value::Null),
    }),
    member("AsXml", 0, 0, |machine, a| match body(machine, &a[0])? {
        Some(bytes) if !bytes.is_empty() => {
            machine.spend(bytes.len() / 256)?;
            xml::parse(&utf8(&bytes)?).map(Value::Xml).map_err(EvalError::new)
        }
        _ => Ok(Value::Null),
    }),
    member("ContainsKey", 1, 1, |machine, a| {
        let name = text_of("ContainsKey", &a[1])?.to_owned();
        Ok(Value::Bool(find(machine, &a[0], &name)?.is_some()))
    }),
    member("GetValueOrDefault", 1, 2, |machine, a| {
        let name = text_of("GetValueOrDefault", &a[1])?.to_owned();
        let default = a.get(2).cloned().unwrap_or_default();
        let found = find(machine, &a[0], &name)?;
        let is_joined = match &a[0] {
            Value::Object(map) => *map == Member::RequestHeaders || *map == Member::ResponseHeaders,
            Value::Response(..) => true,
            Value::Map(map) => map.0.iter().all(|(_, value)| is_texts(value)),
            _ => false,
        };
        Ok(match found {
            None => default,
            Some(Value::List(values)) if is_joined => join(&values),
            Some(value) => value,
        })
    }),
];

/// Whether a value is a list of texts, as the maps of query parameters, forms and claims have.
fn is_texts(value: &Value) -> bool {
    matches!(value, Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_))))
}

fn join(values: &[Value]) -> Value {
    let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    Value::text(texts.join(","))
}

/// The value of a name in a map.
fn find(machine: &Machine<'_>, map: &Value, name: &str) -> Result<Option<Value>, EvalError> {
    match map {
        Value::Map(map) => Ok(map.get(name).cloned()),
        Value::Object(object) if object.kind() == Kind::Map => machine.context.entry(*object, name),
        Value::Response(response, ResponsePart::Headers) => {
            Ok(Some(response.header(name)).filter(|values| !values.is_empty()).map(Value::list))
        }
        other => Err(EvalError::types("it", &[type_name(other)])),
    }
}

/// The bytes of a body.
fn body(machine: &Machine<'_>, value: &Value) -> Result<Option<Bytes>, EvalError> {
    match value {
        Value::Object(body) if body.kind() == Kind::Body => machine.context.body(*body),
        Value::Response(response, ResponsePart::Body) => Ok(Some(response.body.clone())),
        other => Err(EvalError::new(format!("{} is no body", type_name(other)))),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, EvalError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    String::from_utf8(bytes.to_vec()).map_err(|_| EvalError::new("the body is not UTF-8"))
}

fn parse(machine: &mut Machine<'_>, bytes: &[u8]) -> Result<Value, EvalError> {
    machine.spend(bytes.len() / 256)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    parse_json(bytes, Digits::Large).map_err(|error| EvalError::new(format!("it is not JSON: {error}")))
}

/// Name → values of `application/x-www-form-urlencoded`.
fn form(bytes: &[u8]) -> Value {
    let mut map = Map::default();
    for part in bytes.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let text =
            |bytes: &[u8]| Value::text(String::from_utf8_lossy(&percent_decoded(bytes, true)).as_ref());
        let (name, value) = (text(&part[..at]), text(part.get(at + 1..).unwrap_or_default()));
        let values = match map.lookup(&name) {
            Some(Value::List(values)) => values.iter().cloned().chain([value]).collect(),
            _ => vec![value],
        };
        map.set(name, Value::List(Arc::new(values)));
    }
    Value::Map(Arc::new(map))
}

fn select(machine: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    if a[0].is_null() {
        return Ok(Value::Null);
    }
    let path = JsonPath::parse(text_of("json.select", &a[1])?)
        .map_err(|_| EvalError::new("json.select needs a JSONPath expression"))?;
    let json = to_json(&a[0])?;
    machine.spend(100)?;
    let found = path.find(&json).map_err(|error| EvalError::new(error.to_string()))?;
    Ok(match path.is_singular() {
        true => found.first().map_or(Value::Null, |value| from_json(value)),
        false => Value::list(found.into_iter().map(from_json)),
    })
}
