//! Conversions, sizes, numbers: what CEL's standard library has.

use super::{
    super::{
        convert::{to_text, type_name},
        error::EvalError,
        machine::Machine,
        member::Kind,
        number::double_text,
        operators::ordered,
        timestamp::{duration_seconds, format_rfc3339},
        value::{ResponsePart, Value},
    },
    function::{Function, free, member},
};
use std::{cmp::Ordering, sync::Arc};

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("size", 1, 1, |machine, a| size(machine, &a[0])),
    member("size", 0, 0, |machine, a| size(machine, &a[0])),
    free("int", 1, 1, |_, a| int(&a[0])),
    free("uint", 1, 1, |_, a| match int(&a[0])? {
        Value::Int(n) => u64::try_from(n)
            .map(Value::Uint)
            .map_err(|_| EvalError::new("uint needs a number that is not negative")),
        other => Ok(other),
    }),
    free("double", 1, 1, |_, a| match &a[0] {
        Value::Double(n) => Ok(Value::Double(*n)),
        Value::Int(n) => Ok(Value::Double(*n as f64)),
        Value::Uint(n) => Ok(Value::Double(*n as f64)),
        Value::Text(text) | Value::Digits(text) => {
            text.trim().parse().map(Value::Double).map_err(|_| EvalError::new("the text is not a number"))
        }
        other => Err(EvalError::types("double", &[type_name(other)])),
    }),
    free("string", 1, 1, |machine, a| string(machine, &a[0])),
    free("bool", 1, 1, |_, a| super::super::convert::to_bool(&a[0]).map(Value::Bool)),
    free("bytes", 1, 1, |_, a| match &a[0] {
        Value::Text(text) => Ok(Value::Bytes(text.as_bytes().to_vec().into())),
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
        other => Err(EvalError::types("bytes", &[type_name(other)])),
    }),
    free("dyn", 1, 1, |_, a| Ok(a[0].clone())),
    member("orValue", 1, 1, |_, a| match &a[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        Value::Optional(None) => Ok(a[1].clone()),
        other => Ok(other.clone()),
    }),
    member("or", 1, 1, |_, a| {
        Ok(if let Value::Optional(None) = &a[0] { a[1].clone() } else { a[0].clone() })
    }),
    member("hasValue", 0, 0, |_, a| Ok(Value::Bool(!matches!(&a[0], Value::Optional(None))))),
    member("value", 0, 0, |_, a| match &a[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        _ => Err(EvalError::new("the optional value is absent")),
    }),
    free("optional.of", 1, 1, |_, a| Ok(Value::Optional(Some(Arc::new(a[0].clone()))))),
    free("optional.none", 0, 0, |_, _| Ok(Value::Optional(None))),
    free("math.greatest", 1, 32, |_, a| extreme(a, Ordering::Greater)),
    free("math.least", 1, 32, |_, a| extreme(a, Ordering::Less)),
    free("math.abs", 1, 1, |_, a| match &a[0] {
        Value::Int(n) => n.checked_abs().map(Value::Int).ok_or_else(|| EvalError::new("arithmetic overflow")),
        other => Ok(Value::Double(super::super::convert::to_number(other)?.abs())),
    }),
    free("math.ceil", 1, 1, |_, a| Ok(Value::Double(super::super::convert::to_number(&a[0])?.ceil()))),
    free("math.floor", 1, 1, |_, a| Ok(Value::Double(super::super::convert::to_number(&a[0])?.floor()))),
    free("math.round", 1, 1, |_, a| Ok(Value::Double(super::super::convert::to_number(&a[0])?.round()))),
    free("math.trunc", 1, 1, |_, a| Ok(Value::Double(super::super::convert::to_number(&a[0])?.trunc()))),
    free("math.sqrt", 1, 1, |_, a| Ok(Value::Double(super::super::convert::to_number(&a[0])?.sqrt()))),
    free("random", 2, 2, |_, a| match (&a[0], &a[1]) {
        (Value::Int(min), Value::Int(max)) if min < max => Ok(Value::Int(fastrand::i64(*min..*max))),
        _ => Err(EvalError::new("random needs two integers, the second one larger")),
    }),
    free("uuid", 0, 0, |_, _| Ok(Value::text(uuid()))),
];

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let bits = fastrand::u128(..);
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn size(machine: &Machine<'_>, value: &Value) -> Result<Value, EvalError> {
    let size = match value {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.0.len(),
        Value::Object(map) if map.kind() == Kind::Map => machine.context.entries(*map)?.len(),
        Value::Response(response, ResponsePart::Headers) => response.headers.len(),
        other => return Err(EvalError::types("size", &[type_name(other)])),
    };
    Ok(Value::Int(size as i64))
}

fn int(value: &Value) -> Result<Value, EvalError> {
    match value {
        Value::Int(n) => Ok(Value::Int(*n)),
        Value::Uint(n) => {
            i64::try_from(*n).map(Value::Int).map_err(|_| EvalError::new("arithmetic overflow"))
        }
        Value::Double(n) if n.is_finite() && n.abs() < 9.2e18 => Ok(Value::Int(n.trunc() as i64)),
        Value::Text(text) => {
            text.trim().parse().map(Value::Int).map_err(|_| EvalError::new("the text is not a whole number"))
        }
        Value::Bool(value) => Ok(Value::Int(i64::from(*value))),
        Value::Timestamp(at) => Ok(Value::Int(at.div_euclid(1_000_000_000) as i64)),
        other => Err(EvalError::types("int", &[type_name(other)])),
    }
}

/// Bytes are read as UTF-8 here; the other conversions are those of `text`.
fn string(machine: &mut Machine<'_>, value: &Value) -> Result<Value, EvalError> {
    match value {
        Value::Bytes(bytes) => {
            std::str::from_utf8(bytes).map(Value::text).map_err(|_| EvalError::new("the bytes are not UTF-8"))
        }
        Value::Map(map) if map.get("Scheme").is_some() && map.get("QueryString").is_some() => {
            Ok(url_text(map))
        }
        Value::Double(n) => Ok(Value::text(double_text(*n))),
        Value::Timestamp(at) => Ok(Value::text(format_rfc3339(*at))),
        Value::Duration(length) => Ok(Value::text(format!("{}s", duration_seconds(*length)))),
        value => {
            machine.spend(1)?;
            Ok(to_text(value)?.map_or(Value::Null, Value::Text))
        }
    }
}

/// The whole of a URL.
fn url_text(map: &super::super::value::Map) -> Value {
    let part = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let scheme = part("Scheme");
    let port = match map.get("Port") {
        Some(Value::Int(port)) if (scheme, *port) != ("http", 80) && (scheme, *port) != ("https", 443) => {
            format!(":{port}")
        }
        _ => String::new(),
    };
    Value::text(format!("{scheme}://{}{port}{}{}", part("Host"), part("Path"), part("QueryString")))
}

fn extreme(a: &[Value], wanted: Ordering) -> Result<Value, EvalError> {
    let values = match a {
        [Value::List(items)] => items,
        values => values,
    };
    let mut best = values.first().ok_or_else(|| EvalError::new("there is no number"))?;
    for value in values {
        if ordered(value, best)? == Some(wanted) {
            best = value;
        }
    }
    Ok(best.clone())
}
