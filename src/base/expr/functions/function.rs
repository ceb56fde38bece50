//! What the tables of functions are made of.

use super::super::{convert::type_name, error::EvalError, machine::Machine, value::Value};

/// A function of expressions.
#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    /// Called on a value: `s.lower()`.
    pub is_member: bool,
    /// The number of arguments, with the value that it is called on.
    pub min: usize,
    pub max: usize,
    /// The argument that is a regular expression.
    pub pattern: Option<usize>,
    pub call: Call,
}

/// The evaluation of a function.
pub(in super::super) type Call = fn(&mut Machine<'_>, &[Value]) -> Result<Value, EvalError>;

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A function on a value.
pub const fn member(name: &'static str, min: usize, max: usize, call: Call) -> Function {
    Function { name, is_member: true, min: min + 1, max: max + 1, pattern: None, call }
}

/// A function that is not called on a value.
pub const fn free(name: &'static str, min: usize, max: usize, call: Call) -> Function {
    Function { name, is_member: false, min, max, pattern: None, call }
}

/// The text of an argument.
pub fn text_of<'v>(name: &str, value: &'v Value) -> Result<&'v str, EvalError> {
    value.as_str().ok_or_else(|| EvalError::types(name, &[type_name(value)]))
}

/// The whole number of an argument.
pub fn int_of(name: &str, value: &Value) -> Result<i64, EvalError> {
    match value {
        Value::Int(n) => Ok(*n),
        Value::Uint(n) => i64::try_from(*n).map_err(|_| EvalError::new("arithmetic overflow")),
        Value::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Ok(*n as i64),
        other => Err(EvalError::types(name, &[type_name(other)])),
    }
}

/// The list of an argument.
pub fn list_of<'v>(name: &str, value: &'v Value) -> Result<&'v [Value], EvalError> {
    match value {
        Value::List(items) => Ok(items),
        other => Err(EvalError::types(name, &[type_name(other)])),
    }
}

/// The bytes of a text or of bytes.
pub fn bytes_of<'v>(name: &str, value: &'v Value) -> Result<&'v [u8], EvalError> {
    match value {
        Value::Text(text) => Ok(text.as_bytes()),
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(EvalError::types(name, &[type_name(other)])),
    }
}
