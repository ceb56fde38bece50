//! `format` of texts, the names of types, and what is left of the extensions of CEL for numbers.

use super::{
    super::{
        convert::{to_json, to_text, type_name},
        error::EvalError,
        machine::Machine,
        value::Value,
    },
    function::{Function, free, int_of, member, text_of},
};
use crate::base::hex;

/// The names of types, which expressions compare with `type(x)`.
pub const TYPE_NAMES: [&str; 10] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "optional_type"];

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("type", 1, 1, |_, a| Ok(Value::text(name_of_type(&a[0])))),
    member("format", 1, 1, format),
    free("strings.quote", 1, 1, |_, a| Ok(Value::text(to_json(&a[0])?.to_string()))),
    free("math.sign", 1, 1, |_, a| match &a[0] {
        Value::Double(number) => Ok(Value::Double(if *number == 0.0 { 0.0 } else { number.signum() })),
        number => Ok(Value::Int(int_of("math.sign", number)?.signum())),
    }),
    free("math.isNaN", 1, 1, |_, a| {
        Ok(Value::Bool(matches!(&a[0], Value::Double(number) if number.is_nan())))
    }),
    free("math.isInf", 1, 1, |_, a| {
        Ok(Value::Bool(matches!(&a[0], Value::Double(number) if number.is_infinite())))
    }),
    free("math.isFinite", 1, 1, |_, a| {
        Ok(Value::Bool(!matches!(&a[0], Value::Double(number) if !number.is_finite())))
    }),
    free("math.bitAnd", 2, 2, |_, a| bits(a, |one, other| one & other)),
    free("math.bitOr", 2, 2, |_, a| bits(a, |one, other| one | other)),
    free("math.bitXor", 2, 2, |_, a| bits(a, |one, other| one ^ other)),
    free("math.bitShiftLeft", 2, 2, |_, a| bits(a, |one, other| shifted(one, other, i64::wrapping_shl))),
    free("math.bitShiftRight", 2, 2, |_, a| {
        bits(a, |one, other| shifted(one, other, |one, by| ((one as u64) >> by) as i64))
    }),
];

fn bits(a: &[Value], join: impl Fn(i64, i64) -> i64) -> Result<Value, EvalError> {
    Ok(Value::Int(join(int_of("math.bit", &a[0])?, int_of("math.bit", &a[1])?)))
}

/// A shift by 64 bits or more leaves nothing.
fn shifted(number: i64, by: i64, shift: impl Fn(i64, u32) -> i64) -> i64 {
    u32::try_from(by).ok().filter(|by| *by < 64).map_or(0, |by| shift(number, by))
}

fn name_of_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null_type",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Double(_) | Value::Digits(_) => "double",
        Value::Text(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
        Value::Timestamp(_) => "google.protobuf.Timestamp",
        Value::Duration(_) => "google.protobuf.Duration",
        Value::Optional(_) => "optional_type",
        _ => "map",
    }
}

/// `'%s has %d'.format([name, count])`.
fn format(machine: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    let template = text_of("format", &a[0])?;
    let Value::List(values) = &a[1] else { return Err(EvalError::types("format", &[type_name(&a[1])])) };
    let (mut text, mut values) = (String::new(), values.iter());
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut verb = chars.next();
        let mut precision = None;
        if verb == Some('.') {
            let digits: String = chars.as_str().chars().take_while(char::is_ascii_digit).collect();
            precision = digits.parse::<usize>().ok().filter(|digits| *digits <= 64);
            verb = chars.nth(digits.len());
        }
        if verb == Some('%') {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| EvalError::new("format has fewer values than verbs"))?;
        text.push_str(&formatted(verb, precision, value)?);
    }
    machine.spend(text.len() / 16)?;
    Ok(Value::text(text))
}

fn formatted(verb: Option<char>, precision: Option<usize>, value: &Value) -> Result<String, EvalError> {
    let number = || match value {
        Value::Double(number) => Ok(*number),
        value => int_of("format", value).map(|number| number as f64),
    };
    let digits = precision.unwrap_or(6);
    Ok(match verb {
        Some('s') => match value {
            Value::Null => "null".to_owned(),
            Value::List(_) | Value::Map(_) => to_json(value)?.to_string(),
            value => to_text(value)?.map_or_else(String::new, |text| text.to_string()),
        },
        Some('d') => int_of("format", value)?.to_string(),
        Some('f') => format!("{:.digits$}", number()?),
        Some('e') => format!("{:.digits$e}", number()?),
        Some('b') => match value {
            Value::Bool(value) => i32::from(*value).to_string(),
            value => format!("{:b}", int_of("format", value)?),
        },
        Some('o') => format!("{:o}", int_of("format", value)?),
        Some(verb @ ('x' | 'X')) => {
            let text = match value {
                Value::Text(text) => hex::encode(text.as_bytes()),
                Value::Bytes(bytes) => hex::encode(bytes),
                value => format!("{:x}", int_of("format", value)?),
            };
            if verb == 'X' { text.to_uppercase() } else { text }
        }
        _ => {
            return Err(EvalError::new(
                "format has an unknown verb: expected %s, %d, %f, %e, %b, %o, %x or %X",
            ));
        }
    })
}
