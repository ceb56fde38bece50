//! Comparison of values, with the conversions of Json.NET.

use super::syntax::Operator;
use serde_json::{Number, Value};
use std::cmp::Ordering;

impl Operator {
    /// Whether the comparison holds.
    pub fn compare(self, left: &Value, right: &Value) -> bool {
        match self {
            Operator::Equal => loosely_equal(left, right),
            Operator::NotEqual => !loosely_equal(left, right),
            Operator::StrictEqual => strict_eq(left, right),
            Operator::StrictNotEqual => !strict_eq(left, right),
            Operator::Less => compare(left, right) == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(compare(left, right), Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => compare(left, right) == Some(Ordering::Greater),
            Operator::GreaterOrEqual => {
                matches!(compare(left, right), Some(Ordering::Greater | Ordering::Equal))
            }
        }
    }
}

fn strict_eq(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

/// A string equals the text form of a value of another type.
fn loosely_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(text), other) | (other, Value::String(text))
            if other.is_number() || other.is_boolean() =>
        {
            let shown = other.to_string();
            shown == *text
        }
        _ => strict_eq(left, right),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::String(text), Value::Number(number)) => numbers(&text.parse().ok()?, number),
        (Value::Number(number), Value::String(text)) => numbers(number, &text.parse().ok()?),
        _ => None,
    }
}

fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
