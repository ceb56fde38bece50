//! Exclusions to paste: the narrowest one for a match.

use serde_json::{Value, json};

/// The exclusion of a part for a rule on a path; none for a part that no exclusion names. `part` is in the terms of the
/// log: `query id`, `json $.items[0].text`, `header User-Agent`.
pub fn exclusion(path: &str, part: &str, is_name: bool, rule: u64) -> Option<Value> {
    let (kind, name) = match part.split_once(' ') {
        Some(("file", name)) => ("file", name.strip_prefix("name ")?),
        Some((kind, name)) => (kind, name),
        None => (part, ""),
    };
    let variable = match (kind, is_name) {
        ("query" | "form" | "json", false) => "RequestArgValues",
        ("query" | "form" | "json", true) => "RequestArgKeys",
        ("header", false) => "RequestHeaderValues",
        ("header", true) => "RequestHeaderKeys",
        ("cookie", false) => "RequestCookieValues",
        ("cookie", true) => "RequestCookieKeys",
        ("file", _) => "RequestFileNames",
        ("xml", _) => "RequestXml",
        ("body", _) => "RequestBody",
        ("path" | "uri", _) => "RequestPath",
        _ => return None,
    };
    let mut exclusion = json!({ "Path": path, "Variable": variable });
    if !name.is_empty() {
        exclusion["Selector"] = name.into();
    }
    exclusion["Rules"] = json!([rule]);
    Some(exclusion)
}
