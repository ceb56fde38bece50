//! Functions on texts.

use super::{
    super::{
        convert::{to_text, type_name},
        error::EvalError,
        machine::Machine,
        value::Value,
    },
    function::{Function, free, int_of, list_of, member, text_of},
};
use std::sync::Arc;

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    member("contains", 1, 1, |_, a| {
        Ok(Value::Bool(match &a[0] {
            Value::List(items) => items.contains(&a[1]),
            text => text_of("contains", text)?.contains(text_of("contains", &a[1])?),
        }))
    }),
    member("startsWith", 1, 1, |_, a| {
        Ok(Value::Bool(text_of("startsWith", &a[0])?.starts_with(text_of("startsWith", &a[1])?)))
    }),
    member("endsWith", 1, 1, |_, a| {
        Ok(Value::Bool(text_of("endsWith", &a[0])?.ends_with(text_of("endsWith", &a[1])?)))
    }),
    member("lower", 0, 0, |_, a| Ok(Value::text(text_of("lower", &a[0])?.to_lowercase()))),
    member("upper", 0, 0, |_, a| Ok(Value::text(text_of("upper", &a[0])?.to_uppercase()))),
    member("lowerAscii", 0, 0, |_, a| Ok(Value::text(text_of("lowerAscii", &a[0])?.to_ascii_lowercase()))),
    member("upperAscii", 0, 0, |_, a| Ok(Value::text(text_of("upperAscii", &a[0])?.to_ascii_uppercase()))),
    member("trim", 0, 0, |_, a| Ok(Value::text(text_of("trim", &a[0])?.trim()))),
    member("trimStart", 0, 1, |_, a| trim_side(a, true)),
    member("trimEnd", 0, 1, |_, a| trim_side(a, false)),
    member("padLeft", 1, 2, |machine, a| pad(machine, a, true)),
    member("padRight", 1, 2, |machine, a| pad(machine, a, false)),
    member("indexOf", 1, 2, index_of),
    member("lastIndexOf", 1, 1, |_, a| {
        let (text, part) = (text_of("lastIndexOf", &a[0])?, text_of("lastIndexOf", &a[1])?);
        Ok(Value::Int(text.rfind(part).map_or(-1, |at| text[..at].chars().count() as i64)))
    }),
    member("charAt", 1, 1, |_, a| {
        let c = usize::try_from(int_of("charAt", &a[1])?).ok().and_then(|at| a[0].as_str()?.chars().nth(at));
        Ok(Value::text(c.map(String::from).unwrap_or_default()))
    }),
    member("replace", 2, 3, replace),
    member("split", 1, 2, split),
    member("substring", 1, 2, substring),
    member("join", 0, 1, |_, a| {
        let separator = a.get(1).map_or(Ok(""), |separator| text_of("join", separator))?;
        let parts: Result<Vec<Arc<str>>, EvalError> =
            list_of("join", &a[0])?.iter().map(|item| Ok(to_text(item)?.unwrap_or_default())).collect();
        Ok(Value::text(parts?.join(separator)))
    }),
    free("text", 1, 1, |_, a| Ok(to_text(&a[0])?.map_or(Value::Null, Value::Text))),
    free("concat", 0, 64, |machine, a| {
        let mut all = String::new();
        for value in a {
            all.push_str(&to_text(value)?.unwrap_or_default());
        }
        machine.spend(all.len() / 64)?;
        Ok(Value::text(all))
    }),
    free("isBlank", 1, 1, |_, a| match &a[0] {
        Value::Null => Ok(Value::Bool(true)),
        value => Ok(Value::Bool(text_of("isBlank", value)?.trim().is_empty())),
    }),
];

fn trim_side(a: &[Value], at_start: bool) -> Result<Value, EvalError> {
    let text = text_of("trim", &a[0])?;
    let Some(set) = a.get(1) else {
        return Ok(Value::text(if at_start { text.trim_start() } else { text.trim_end() }));
    };
    let set: Vec<char> = text_of("trim", set)?.chars().collect();
    let set = set.as_slice();
    Ok(Value::text(if at_start { text.trim_start_matches(set) } else { text.trim_end_matches(set) }))
}

fn pad(machine: &mut Machine<'_>, a: &[Value], at_left: bool) -> Result<Value, EvalError> {
    let (text, width) = (text_of("pad", &a[0])?, int_of("pad", &a[1])?);
    let fill = a.get(2).map_or(Ok(" "), |fill| text_of("pad", fill))?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    machine.spend(missing)?;
    let fill: String = fill.chars().cycle().take(missing).collect();
    Ok(Value::text(if at_left { fill + text } else { format!("{text}{fill}") }))
}

fn index_of(_: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    if let Value::List(items) = &a[0] {
        return Ok(Value::Int(items.iter().position(|item| *item == a[1]).map_or(-1, |at| at as i64)));
    }
    let (text, part) = (text_of("indexOf", &a[0])?, text_of("indexOf", &a[1])?);
    let from = a.get(2).map_or(Ok(0), |from| int_of("indexOf", from))?;
    let start = byte_offset(text, from).unwrap_or(text.len());
    let found = text.get(start..).and_then(|rest| rest.find(part));
    Ok(Value::Int(found.map_or(-1, |at| text[..start + at].chars().count() as i64)))
}

fn replace(machine: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    let (text, from, to) =
        (text_of("replace", &a[0])?, text_of("replace", &a[1])?, text_of("replace", &a[2])?);
    let limit = a.get(3).map(|limit| int_of("replace", limit)).transpose()?;
    let result = match limit.and_then(|limit| usize::try_from(limit).ok()) {
        Some(limit) => text.replacen(from, to, limit),
        None => text.replace(from, to),
    };
    machine.spend(result.len() / 16)?;
    Ok(Value::text(result))
}

fn split(machine: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    let (text, separator) = (text_of("split", &a[0])?, text_of("split", &a[1])?);
    let limit = a.get(2).map(|limit| int_of("split", limit)).transpose()?;
    let parts: Vec<Value> = match limit.and_then(|limit| usize::try_from(limit).ok()) {
        Some(limit) => text.splitn(limit, separator).map(Value::text).collect(),
        None if separator.is_empty() => text.chars().map(|c| Value::text(c.to_string())).collect(),
        None => text.split(separator).map(Value::text).collect(),
    };
    machine.spend(parts.len())?;
    Ok(Value::List(Arc::new(parts)))
}

fn substring(_: &mut Machine<'_>, a: &[Value]) -> Result<Value, EvalError> {
    let Some(text) = a[0].as_str() else { return Err(EvalError::types("substring", &[type_name(&a[0])])) };
    let out = || EvalError::new("substring is out of range");
    let start = byte_offset(text, int_of("substring", &a[1])?).ok_or_else(out)?;
    let end = match a.get(2) {
        None => text.len(),
        Some(end) => byte_offset(text, int_of("substring", end)?).ok_or_else(out)?,
    };
    text.get(start..end).map(Value::text).ok_or_else(out)
}

/// The offset of a character; the length of the text is the end.
fn byte_offset(text: &str, at: i64) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    text.char_indices().map(|(offset, _)| offset).chain([text.len()]).nth(at)
}
