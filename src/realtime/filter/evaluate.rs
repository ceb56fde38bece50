//! Evaluation of a filter for one connection. New texts are built in memory that the caller reuses.

use super::expression::{Comparison, Expression, Function};
use std::{cmp::Ordering, ops::Range, sync::Arc};

/// Maximum size of the texts that an evaluation builds; beyond it, the result of a function is null.
const MAX_SCRATCH_BYTES: usize = 64 << 10;

/// The connection that a filter is evaluated for.
#[derive(Clone, Copy, Debug)]
pub struct FilterSubject<'s> {
    pub connection_id: &'s str,
    pub user_id: Option<&'s str>,
    /// Sorted.
    pub groups: &'s [Arc<str>],
}

/// The value of an expression.
#[derive(Clone, Debug)]
enum Value<'v> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(&'v str),
    /// A text in the scratch memory.
    Built(Range<usize>),
}

/// An evaluation.
pub struct Evaluation<'e> {
    pub subject: &'e FilterSubject<'e>,
    pub scratch: &'e mut String,
}

impl<'e> Evaluation<'e> {
    /// Whether a boolean expression is true.
    pub fn is_true(&mut self, expression: &'e Expression) -> bool {
        match expression {
            Expression::And(parts) => parts.iter().all(|part| self.is_true(part)),
            Expression::Or(parts) => parts.iter().any(|part| self.is_true(part)),
            Expression::Not(inner) => !self.is_true(inner),
            other => matches!(self.value(other), Value::Bool(true)),
        }
    }

    fn value(&mut self, expression: &'e Expression) -> Value<'e> {
        match expression {
            Expression::Null => Value::Null,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Integer(number) => Value::Integer(*number),
            Expression::Text(text) => Value::Text(text),
            Expression::UserId => self.subject.user_id.map_or(Value::Null, Value::Text),
            Expression::ConnectionId => Value::Text(self.subject.connection_id),
            // Only `length` and `in` accept a list, and they read it themselves.
            Expression::Groups => Value::Null,
            Expression::Not(_) | Expression::And(_) | Expression::Or(_) => {
                Value::Bool(self.is_true(expression))
            }
            Expression::Compare(comparison, operands) => {
                let [left, right] = &**operands;
                let (left, right) = (self.value(left), self.value(right));
                Value::Bool(self.compare(*comparison, &left, &right))
            }
            Expression::In(value, list) => {
                let value = self.value(value);
                Value::Bool(list.iter().any(|other| {
                    let other = self.value(other);
                    self.compare(Comparison::Equal, &value, &other)
                }))
            }
            Expression::InGroups(value) => {
                let value = self.value(value);
                Value::Bool(self.text(&value).is_some_and(|text| self.is_member(text)))
            }
            Expression::Call(function, arguments) => self.call(*function, arguments),
        }
    }

    fn text<'t>(&'t self, value: &Value<'t>) -> Option<&'t str> {
        match value {
            Value::Text(text) => Some(text),
            Value::Built(range) => self.scratch.get(range.clone()),
            _ => None,
        }
    }

    fn is_member(&self, group: &str) -> bool {
        self.subject.groups.binary_search_by(|member| (**member).cmp(group)).is_ok()
    }

    /// Null equals only null; it is neither greater nor less than anything.
    fn compare(&self, by: Comparison, left: &Value, right: &Value) -> bool {
        let ordering = match (left, right) {
            (Value::Null, Value::Null) => match by {
                Comparison::Equal => return true,
                _ => return false,
            },
            (Value::Null, _) | (_, Value::Null) => return by == Comparison::NotEqual,
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
            _ => self.text(left).cmp(&self.text(right)),
        };
        match by {
            Comparison::Equal => ordering == Ordering::Equal,
            Comparison::NotEqual => ordering != Ordering::Equal,
            Comparison::Greater => ordering == Ordering::Greater,
            Comparison::GreaterOrEqual => ordering != Ordering::Less,
            Comparison::Less => ordering == Ordering::Less,
            Comparison::LessOrEqual => ordering != Ordering::Greater,
        }
    }

    /// A function of null is null.
    fn call(&mut self, function: Function, arguments: &'e [Expression]) -> Value<'e> {
        if let [Expression::Groups] = arguments {
            return Value::Integer(self.subject.groups.len() as i64);
        }
        let mut values = [Value::Null, Value::Null, Value::Null];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = self.value(argument);
            if matches!(value, Value::Null) {
                return Value::Null;
            }
        }
        let [first, second, third] = values;
        match function {
            Function::ToLower => self.build(&[first], |char, to| to.extend(char.to_lowercase())),
            Function::ToUpper => self.build(&[first], |char, to| to.extend(char.to_uppercase())),
            Function::Concat => self.build(&[first, second], |char, to| to.push(char)),
            Function::Trim => self.part(first, |text| {
                let trimmed = text.trim_start();
                text.len() - trimmed.len()..text.len() - trimmed.len() + trimmed.trim_end().len()
            }),
            Function::Substring => self.part(first, |text| substring(text, &second, &third)),
            Function::Length => self.on_text(&first, |text| Value::Integer(text.chars().count() as i64)),
            _ => self.on_texts(function, &first, &second),
        }
    }

    fn on_text(&self, value: &Value, apply: impl FnOnce(&str) -> Value<'static>) -> Value<'e> {
        self.text(value).map_or(Value::Null, apply)
    }

    fn on_texts(&self, function: Function, first: &Value, second: &Value) -> Value<'e> {
        let (Some(text), Some(other)) = (self.text(first), self.text(second)) else { return Value::Null };
        match function {
            Function::StartsWith => Value::Bool(text.starts_with(other)),
            Function::EndsWith => Value::Bool(text.ends_with(other)),
            Function::Contains => Value::Bool(text.contains(other)),
            Function::IndexOf => {
                Value::Integer(text.find(other).map_or(-1, |at| text[..at].chars().count() as i64))
            }
            _ => Value::Null,
        }
    }

    /// A part of a text, without a copy.
    fn part(&self, value: Value<'e>, range: impl FnOnce(&str) -> Range<usize>) -> Value<'e> {
        match value {
            Value::Text(text) => Value::Text(&text[range(text)]),
            Value::Built(built) => {
                let part = range(&self.scratch[built.clone()]);
                Value::Built(built.start + part.start..built.start + part.end)
            }
            _ => Value::Null,
        }
    }

    /// A new text from the characters of others.
    fn build(&mut self, values: &[Value], mut put: impl FnMut(char, &mut String)) -> Value<'e> {
        let start = self.scratch.len();
        for value in values {
            match value {
                Value::Text(text) => text.chars().for_each(|char| put(char, self.scratch)),
                Value::Built(range) => {
                    let mut at = range.start;
                    while at < range.end {
                        let Some(char) = self.scratch[at..].chars().next() else { break };
                        at += char.len_utf8();
                        put(char, self.scratch);
                    }
                }
                _ => return Value::Null,
            }
            if self.scratch.len() > MAX_SCRATCH_BYTES {
                self.scratch.truncate(start);
                return Value::Null;
            }
        }
        Value::Built(start..self.scratch.len())
    }
}

/// The bytes of a part, by the number of its first character and its length; beyond the end it is empty.
fn substring(text: &str, start: &Value, len: &Value) -> Range<usize> {
    let Value::Integer(start) = start else { return 0..0 };
    let byte_at = |n: i64| {
        let n = usize::try_from(n).unwrap_or(0);
        text.char_indices().nth(n).map_or(text.len(), |(at, _)| at)
    };
    let start = (*start).max(0);
    let end = match len {
        Value::Integer(len) => byte_at(start.saturating_add((*len).max(0))),
        _ => text.len(),
    };
    byte_at(start)..end
}
