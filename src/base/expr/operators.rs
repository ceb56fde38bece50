//! Arithmetic and comparison.

use super::{
    convert::type_name,
    error::EvalError,
    machine::Machine,
    member::Kind,
    value::{ResponsePart, Value},
};
use cel::common::ast::operators as names;
use std::{cmp::Ordering, sync::Arc};

/// An operator with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Binary {
    /// The operator by its function name.
    pub fn from_name(name: &str) -> Option<Binary> {
        Some(match name {
            names::ADD => Binary::Add,
            names::SUBSTRACT => Binary::Subtract,
            names::MULTIPLY => Binary::Multiply,
            names::DIVIDE => Binary::Divide,
            names::MODULO => Binary::Remainder,
            names::EQUALS => Binary::Equal,
            names::NOT_EQUALS => Binary::NotEqual,
            names::LESS => Binary::Less,
            names::LESS_EQUALS => Binary::LessOrEqual,
            names::GREATER => Binary::Greater,
            names::GREATER_EQUALS => Binary::GreaterOrEqual,
            names::IN => Binary::In,
            _ => return None,
        })
    }

    /// The result for two values.
    pub fn apply(self, machine: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, EvalError> {
        match self {
            Binary::Equal => Ok(Value::Bool(a == b)),
            Binary::NotEqual => Ok(Value::Bool(a != b)),
            Binary::In => contains(machine, b, a).map(Value::Bool),
            Binary::Less => ordered(a, b).map(|order| Value::Bool(order == Some(Ordering::Less))),
            Binary::Greater => ordered(a, b).map(|order| Value::Bool(order == Some(Ordering::Greater))),
            Binary::LessOrEqual => {
                ordered(a, b).map(|order| Value::Bool(order.is_some_and(|order| order != Ordering::Greater)))
            }
            Binary::GreaterOrEqual => {
                ordered(a, b).map(|order| Value::Bool(order.is_some_and(|order| order != Ordering::Less)))
            }
            Binary::Add => add(machine, a, b),
            arithmetic => arithmetic.number(a, b),
        }
    }

    fn number(self, a: &Value, b: &Value) -> Result<Value, EvalError> {
        let overflow = || EvalError::new("arithmetic overflow, or division by zero");
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => {
                let n = match self {
                    Binary::Subtract => a.checked_sub(*b),
                    Binary::Multiply => a.checked_mul(*b),
                    Binary::Divide => a.checked_div(*b),
                    _ => a.checked_rem(*b),
                };
                n.map(Value::Int).ok_or_else(overflow)
            }
            (Value::Uint(a), Value::Uint(b)) => {
                let n = match self {
                    Binary::Subtract => a.checked_sub(*b),
                    Binary::Multiply => a.checked_mul(*b),
                    Binary::Divide => a.checked_div(*b),
                    _ => a.checked_rem(*b),
                };
                n.map(Value::Uint).ok_or_else(overflow)
            }
            (Value::Timestamp(a), Value::Timestamp(b)) if self == Binary::Subtract => {
                Ok(Value::Duration(a - b))
            }
            (Value::Timestamp(a), Value::Duration(b)) if self == Binary::Subtract => {
                Ok(Value::Timestamp(a - b))
            }
            (Value::Duration(a), Value::Duration(b)) if self == Binary::Subtract => {
                Ok(Value::Duration(a - b))
            }
            _ => match (self, doubles(a, b)) {
                (Binary::Subtract, Some((a, b))) => Ok(Value::Double(a - b)),
                (Binary::Multiply, Some((a, b))) => Ok(Value::Double(a * b)),
                (Binary::Divide, Some((a, b))) => Ok(Value::Double(a / b)),
                _ => Err(EvalError::types("the operator", &[type_name(a), type_name(b)])),
            },
        }
    }
}

/// Both as doubles, if one of them is one.
fn doubles(a: &Value, b: &Value) -> Option<(f64, f64)> {
    let number = |value: &Value| match value {
        Value::Int(n) => Some(*n as f64),
        Value::Uint(n) => Some(*n as f64),
        Value::Double(n) => Some(*n),
        Value::Digits(text) => text.parse().ok(),
        _ => None,
    };
    Some((number(a)?, number(b)?))
}

fn add(machine: &mut Machine<'_>, a: &Value, b: &Value) -> Result<Value, EvalError> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            a.checked_add(*b).map(Value::Int).ok_or_else(|| EvalError::new("arithmetic overflow"))
        }
        (Value::Uint(a), Value::Uint(b)) => {
            a.checked_add(*b).map(Value::Uint).ok_or_else(|| EvalError::new("arithmetic overflow"))
        }
        (Value::Text(a), Value::Text(b)) => {
            machine.spend((a.len() + b.len()) / 64)?;
            Ok(Value::text([&**a, &**b].concat()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&a[..], &b[..]].concat().into())),
        (Value::List(a), Value::List(b)) => {
            machine.spend(a.len() + b.len())?;
            Ok(Value::List(Arc::new(a.iter().chain(b.iter()).cloned().collect())))
        }
        (Value::Timestamp(a), Value::Duration(b)) | (Value::Duration(b), Value::Timestamp(a)) => {
            Ok(Value::Timestamp(a + b))
        }
        (Value::Duration(a), Value::Duration(b)) => Ok(Value::Duration(a + b)),
        _ => match doubles(a, b) {
            Some((a, b)) => Ok(Value::Double(a + b)),
            None => Err(EvalError::types("+", &[type_name(a), type_name(b)])),
        },
    }
}

/// `-x`.
pub(super) fn negate(value: &Value) -> Result<Value, EvalError> {
    match value {
        Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(|| EvalError::new("arithmetic overflow")),
        Value::Double(n) => Ok(Value::Double(-n)),
        Value::Duration(n) => Ok(Value::Duration(-n)),
        other => Err(EvalError::types("-", &[type_name(other)])),
    }
}

/// The order of two values; `None` if one of them is NaN.
pub(super) fn ordered(a: &Value, b: &Value) -> Result<Option<Ordering>, EvalError> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Some(a.cmp(b))
        }
        _ => match doubles(a, b) {
            Some((a, b)) => a.partial_cmp(&b),
            None => return Err(EvalError::types("a comparison", &[type_name(a), type_name(b)])),
        },
    })
}

/// `item in container`.
fn contains(machine: &mut Machine<'_>, container: &Value, item: &Value) -> Result<bool, EvalError> {
    match container {
        Value::List(items) => {
            machine.spend(items.len())?;
            Ok(items.contains(item))
        }
        Value::Map(map) => Ok(map.lookup(item).is_some()),
        Value::Object(map) if map.kind() == Kind::Map => match item {
            Value::Text(name) => Ok(machine.context.entry(*map, name)?.is_some()),
            _ => Ok(false),
        },
        Value::Response(response, ResponsePart::Headers) => {
            Ok(item.as_str().is_some_and(|name| !response.header(name).is_empty()))
        }
        other => Err(EvalError::types("in", &[type_name(item), type_name(other)])),
    }
}
