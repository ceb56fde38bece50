//! Access to values of an imported document, tolerant of the spellings of their formats.

use serde_json::Value;

/// The member with a name, case-insensitive, unless it is null.
pub fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let exact = members.get(name);
    let found =
        exact.or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v));
    found.filter(|value| !value.is_null())
}

/// The value at a path of members.
pub fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| get(value, name))
}

/// A string, or a number or boolean as text; `None` for blank text and for other types.
pub fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The text of a member.
pub fn text(value: &Value, name: &str) -> Option<String> {
    get(value, name).and_then(text_of)
}

/// The number of a member, also one written as a string.
pub fn number(value: &Value, name: &str) -> Option<f64> {
    let number = match get(value, name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// The boolean of a member, also one written as a string.
pub fn boolean(value: &Value, name: &str) -> Option<bool> {
    match get(value, name)? {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The items of a list. .NET also writes lists as objects with the indexes as keys, and a single value stands for itself.
pub fn items(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Object(members)) if members.keys().all(|key| key.parse::<u32>().is_ok()) => {
            members.values().collect()
        }
        Some(single) => vec![single],
    }
}

/// The texts of a list.
pub fn strings(value: &Value, name: &str) -> Vec<String> {
    items(get(value, name)).into_iter().filter_map(text_of).collect()
}

/// The named entries of a map, or of a list whose items have a name; unnamed ones are named by their index.
pub fn entries<'v>(value: Option<&'v Value>, name_key: &str) -> Vec<(String, &'v Value)> {
    match value {
        Some(Value::Object(members)) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Some(Value::Array(items)) => {
            let named = |(at, item)| (text(item, name_key).unwrap_or_else(|| format!("#{at}")), item);
            items.iter().enumerate().map(named).collect()
        }
        _ => Vec::new(),
    }
}

/// A duration as margay writes it: `250ms`, `30s`.
pub fn duration_text(seconds: f64) -> String {
    let ms = (seconds * 1000.0).round().clamp(0.0, 86_400_000_000.0) as u64;
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// A text in which every character with a meaning in regular expressions is literal.
pub fn regex_escape(text: &str) -> String {
    regex::escape(text)
}

/// A name as a key: letters, digits, `.`, `_`, `-` and `/` remain, other characters become `-`.
pub fn key_text(text: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let text: String = text.trim().chars().map(|c| if keep(c) { c } else { '-' }).collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_case_insensitive_and_null_is_absent() {
        let value = json!({ "Match": { "path": "/a" }, "Empty": null });
        assert_eq!(at(&value, &["match", "Path"]), Some(&json!("/a")));
        assert_eq!(get(&value, "empty"), None);
    }

    #[test]
    fn lists_may_be_objects_with_indexes_or_single_values() {
        assert_eq!(strings(&json!({ "a": ["x", 1] }), "a"), ["x", "1"]);
        assert_eq!(strings(&json!({ "a": { "0": "x", "1": "y" } }), "a"), ["x", "y"]);
        assert_eq!(strings(&json!({ "a": "x" }), "a"), ["x"]);
        assert!(strings(&json!({}), "a").is_empty());
    }

    #[test]
    fn durations_and_keys_are_as_margay_writes_them() {
        assert_eq!((duration_text(30.0).as_str(), duration_text(0.25).as_str()), ("30s", "250ms"));
        assert_eq!(key_text(" list pets! "), "list-pets");
    }
}
