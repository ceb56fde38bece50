//! The filters of Liquid, and the rules of its values.

use crate::base::{
    expr::{format_pattern, parse_rfc3339, xml},
    percent::{percent_decoded, percent_encoded},
};
use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Rest, ValueKind},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of items of a range.
const MAX_RANGE: i64 = 10_000;

/// The filters.
pub(super) const NAMES: [&str; 41] = [
    "upcase",
    "downcase",
    "capitalize",
    "strip",
    "lstrip",
    "rstrip",
    "escape",
    "h",
    "url_encode",
    "url_decode",
    "append",
    "prepend",
    "size",
    "replace",
    "replace_first",
    "remove",
    "remove_first",
    "split",
    "default",
    "join",
    "date",
    "plus",
    "minus",
    "times",
    "divided_by",
    "modulo",
    "round",
    "ceil",
    "floor",
    "abs",
    "slice",
    "truncate",
    "strip_html",
    "strip_newlines",
    "newline_to_br",
    "sort",
    "reverse",
    "first",
    "last",
    "map",
    "uniq",
];

/// Adds functions and filters.
pub(super) fn add(environment: &mut Environment<'static>, parses_dates: bool) {
    environment.set_formatter(|output, state, value| {
        if value.is_none() || value.is_undefined() {
            return Ok(());
        }
        minijinja::escape_formatter(output, state, &Value::from(text(value)))
    });
    environment.add_function("_items", items);
    environment.add_function("_range", range);
    environment.add_function("_member", member);
    environment.add_function("_contains", contains);
    environment.add_function("_equals", equals);
    environment.add_function("_is_true", |value: Value| {
        !is_nil(&value) && (value.kind() != ValueKind::Bool || value.is_true())
    });
    environment.add_global("_empty", Value::from(""));
    environment.add_function("_filter", move |value: Value, name: &str, arguments: Rest<Value>| {
        if name == "date" && !parses_dates {
            return Ok(value);
        }
        filter(&value, name, &arguments)
    });
}

fn is_nil(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// A value as it is written.
fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => String::new(),
        ValueKind::Seq | ValueKind::Iterable => list(value).iter().map(text).collect(),
        ValueKind::Map => serde_json::to_string(value).unwrap_or_default(),
        ValueKind::Number => {
            let written = value.to_string();
            written.strip_suffix(".0").map_or(written.clone(), str::to_owned)
        }
        _ => value.to_string(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().map(Iterator::collect).unwrap_or_default(),
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter().map(Iterator::collect).unwrap_or_default();
            keys.into_iter()
                .map(|key| Value::from(vec![key.clone(), value.get_item(&key).unwrap_or_default()]))
                .collect()
        }
        ValueKind::None | ValueKind::Undefined => Vec::new(),
        _ => vec![value.clone()],
    }
}

fn items(value: Value, limit: Option<usize>, offset: usize, is_reversed: bool) -> Vec<Value> {
    let mut all: Vec<Value> =
        list(&value).into_iter().skip(offset).take(limit.unwrap_or(usize::MAX)).collect();
    if is_reversed {
        all.reverse();
    }
    all
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..=to.min(from.saturating_add(MAX_RANGE))).collect()
}

fn member(value: Value, name: &str) -> Value {
    if value.kind() == ValueKind::Map
        && let Ok(own) = value.get_attr(name)
        && !own.is_undefined()
    {
        return own;
    }
    match name {
        "size" => Value::from(value.len().unwrap_or(0)),
        "first" => list(&value).first().cloned().unwrap_or_default(),
        _ => list(&value).last().cloned().unwrap_or_default(),
    }
}

fn contains(container: Value, item: Value) -> bool {
    match container.kind() {
        ValueKind::String => container.as_str().is_some_and(|whole| whole.contains(&text(&item))),
        ValueKind::Map => container.get_item(&item).is_ok_and(|found| !found.is_undefined()),
        _ => list(&container).contains(&item),
    }
}

/// Equality; nothing equals nil, and an empty list equals `empty`.
fn equals(left: Value, right: Value) -> bool {
    let is_empty = |value: &Value, other: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map)
            && value.len() == Some(0)
            && other.as_str() == Some("")
    };
    (is_nil(&left) && is_nil(&right)) || left == right || is_empty(&left, &right) || is_empty(&right, &left)
}

fn filter(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let argument = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    let argument_text = |at: usize| text(&argument(at));
    Ok(match name {
        "size" => Value::from(value.len().unwrap_or(0)),
        "default" => {
            let is_unset = is_nil(value) || *value == Value::from(false) || value.as_str() == Some("");
            if is_unset { argument(0) } else { value.clone() }
        }
        "date" => Value::from(date(value, &argument_text(0))),
        "split" => Value::from(split(&text(value), &argument_text(0))),
        "slice" => slice(value, &argument(0), arguments.get(1)),
        "join" | "sort" | "reverse" | "first" | "last" | "map" | "uniq" => of_list(value, name, arguments),
        "plus" | "minus" | "times" | "divided_by" | "modulo" => arithmetic(value, name, &argument(0))?,
        "round" | "ceil" | "floor" | "abs" => rounded(value, name, &argument(0)),
        _ => Value::from(of_text(text(value), name, &argument_text(0), &argument_text(1), arguments.len())),
    })
}

fn of_text(text: String, name: &str, first: &str, second: &str, count: usize) -> String {
    match name {
        "upcase" => text.to_uppercase(),
        "downcase" => text.to_lowercase(),
        "capitalize" => {
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        }
        "strip" => text.trim().to_owned(),
        "lstrip" => text.trim_start().to_owned(),
        "rstrip" => text.trim_end().to_owned(),
        "escape" | "h" => {
            let mut escaped = String::new();
            xml::escape_into(&text, true, &mut escaped);
            escaped
        }
        "url_encode" => percent_encoded(&text),
        "url_decode" => String::from_utf8_lossy(&percent_decoded(text.as_bytes(), true)).into_owned(),
        "append" => text + first,
        "prepend" => first.to_owned() + &text,
        "replace" => text.replace(first, second),
        "replace_first" => text.replacen(first, second, 1),
        "remove" => text.replace(first, ""),
        "remove_first" => text.replacen(first, "", 1),
        "truncate" => truncated(&text, first.parse().unwrap_or(50), if count > 1 { second } else { "..." }),
        "strip_newlines" => text.replace(['\r', '\n'], ""),
        "newline_to_br" => text.replace('\n', "<br />\n"),
        "strip_html" => {
            let mut is_inside = false;
            let mut keep = |c: char| {
                is_inside |= c == '<';
                let keeps = !is_inside;
                is_inside &= c != '>';
                keeps
            };
            text.chars().filter(|c| keep(*c)).collect()
        }
        _ => text,
    }
}

fn truncated(text: &str, length: usize, end: &str) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept = length.saturating_sub(end.chars().count());
    text.chars().take(kept).collect::<String>() + end
}

fn split(text: &str, separator: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).map(str::to_owned).collect()
}

fn slice(value: &Value, from: &Value, length: Option<&Value>) -> Value {
    let from = i64::try_from(from.clone()).unwrap_or(0);
    let length = length.map_or(1, |length| usize::try_from(length.clone()).unwrap_or(0));
    let start = |count: usize| {
        if from < 0 { count.saturating_sub(from.unsigned_abs() as usize) } else { from as usize }
    };
    match value.kind() {
        ValueKind::Seq => {
            let all = list(value);
            let start = start(all.len());
            Value::from(all.into_iter().skip(start).take(length).collect::<Vec<_>>())
        }
        _ => {
            let whole = text(value);
            let start = start(whole.chars().count());
            Value::from(whole.chars().skip(start).take(length).collect::<String>())
        }
    }
}

fn of_list(value: &Value, name: &str, arguments: &[Value]) -> Value {
    let mut all = list(value);
    let first = arguments.first().cloned().unwrap_or_default();
    let of = |item: &Value| item.get_item(&first).unwrap_or_default();
    match name {
        "join" => {
            let separator = if arguments.is_empty() { " ".to_owned() } else { text(&first) };
            return Value::from(all.iter().map(text).collect::<Vec<_>>().join(&separator));
        }
        "sort" if arguments.is_empty() => all.sort(),
        "sort" => all.sort_by_key(of),
        "reverse" => all.reverse(),
        "map" => all = all.iter().map(of).collect(),
        "uniq" => {
            let mut seen: Vec<Value> = Vec::new();
            all.retain(|item| {
                !seen.contains(item) && {
                    seen.push(item.clone());
                    true
                }
            });
        }
        "first" => return all.into_iter().next().unwrap_or_default(),
        _ => return all.pop().unwrap_or_default(),
    }
    Value::from(all)
}

fn number(value: &Value) -> f64 {
    f64::try_from(value.clone()).ok().or_else(|| text(value).trim().parse().ok()).unwrap_or(0.0)
}

fn whole(value: &Value) -> Option<i64> {
    match value.kind() {
        ValueKind::Number => i64::try_from(value.clone()).ok().filter(|_| value.is_integer()),
        _ => text(value).trim().parse().ok(),
    }
}

fn arithmetic(value: &Value, name: &str, operand: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (whole(value), whole(operand)) {
        let result = match name {
            "plus" => left.checked_add(right),
            "minus" => left.checked_sub(right),
            "times" => left.checked_mul(right),
            "divided_by" => left.checked_div_euclid(right),
            _ => left.checked_rem_euclid(right),
        };
        return result.map(Value::from).ok_or_else(|| Error::from(ErrorKind::InvalidOperation));
    }
    let (left, right) = (number(value), number(operand));
    Ok(Value::from(match name {
        "plus" => left + right,
        "minus" => left - right,
        "times" => left * right,
        "divided_by" => left / right,
        _ => left % right,
    }))
}

fn rounded(value: &Value, name: &str, digits: &Value) -> Value {
    let value = number(value);
    let result = match name {
        "ceil" => value.ceil(),
        "floor" => value.floor(),
        "abs" => value.abs(),
        _ => {
            let factor = 10_f64.powi(whole(digits).unwrap_or(0).clamp(0, 15) as i32);
            (value * factor).round() / factor
        }
    };
    if result.fract() == 0.0 && result.abs() < 9e15 {
        Value::from(result as i64)
    } else {
        Value::from(result)
    }
}

/// A date by a pattern of .NET or of `strftime`.
fn date(value: &Value, pattern: &str) -> String {
    let written = text(value);
    let at = match written.as_str() {
        "now" | "today" => {
            SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos() as i128)
        }
        written => parse_rfc3339(written).or_else(|| parse_rfc3339(&format!("{written}T00:00:00Z"))),
    };
    let Some(at) = at.filter(|_| !pattern.is_empty()) else { return written };
    let pattern = match pattern.contains('%') {
        true => pattern.to_owned(),
        false => [
            ("yyyy", "%Y"),
            ("yy", "%y"),
            ("MMMM", "%B"),
            ("MMM", "%b"),
            ("MM", "%m"),
            ("dddd", "%A"),
            ("ddd", "%a"),
            ("dd", "%d"),
            ("HH", "%H"),
            ("hh", "%I"),
            ("mm", "%M"),
            ("ss", "%S"),
            ("fff", "%L"),
            ("tt", "%p"),
        ]
        .iter()
        .fold(pattern.to_owned(), |pattern, (from, to)| pattern.replace(from, to)),
    };
    format_pattern(at, &pattern).unwrap_or(written)
}
