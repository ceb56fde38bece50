//! Regular expressions, in linear time.

use super::{
    super::{error::EvalError, machine::Machine, value::Value},
    function::{Function, text_of},
};
use regex::{Regex, RegexBuilder};

/// Maximum size of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

const fn pattern(
    name: &'static str,
    is_member: bool,
    arguments: usize,
    call: super::function::Call,
) -> Function {
    Function { name, is_member, min: arguments, max: arguments, pattern: Some(1), call }
}

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    pattern("matches", true, 2, |machine, a| dynamic(machine, "matches", a)),
    pattern("regex.find", false, 2, |machine, a| dynamic(machine, "regex.find", a)),
    pattern("regex.groups", false, 2, |machine, a| dynamic(machine, "regex.groups", a)),
    pattern("regex.replace", false, 3, |machine, a| dynamic(machine, "regex.replace", a)),
    pattern("regex.split", false, 2, |machine, a| dynamic(machine, "regex.split", a)),
];

/// Compiles a pattern.
pub fn compile_pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build();
    built.map_err(|error| format!("invalid regular expression: {}", error.to_string().replace('\n', " ")))
}

/// A pattern that is computed is compiled at every call.
fn dynamic(machine: &mut Machine<'_>, name: &str, a: &[Value]) -> Result<Value, EvalError> {
    machine.spend(1000)?;
    let pattern = compile_pattern(text_of(name, &a[1])?).map_err(EvalError::new)?;
    run(name, &pattern, a)
}

/// Calls a function with its compiled pattern.
pub fn call_pattern(function: &Function, pattern: &Regex, a: &[Value]) -> Result<Value, EvalError> {
    run(function.name, pattern, a)
}

fn run(name: &str, pattern: &Regex, a: &[Value]) -> Result<Value, EvalError> {
    let text = text_of(name, &a[0])?;
    Ok(match name {
        "matches" => Value::Bool(pattern.is_match(text)),
        "regex.find" => Value::text_or_null(pattern.find(text).map(|found| found.as_str())),
        "regex.groups" => pattern.captures(text).map_or(Value::Null, |groups| {
            Value::list(groups.iter().map(|group| Value::text_or_null(group.map(|group| group.as_str()))))
        }),
        "regex.replace" => Value::text(&*pattern.replace_all(text, text_of(name, &a[2])?)),
        _ => Value::list(pattern.split(text).map(Value::text)),
    })
}
