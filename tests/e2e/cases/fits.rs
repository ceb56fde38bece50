//! Compares JSON, XML and diagnostics with what a case expects.

use quick_xml::{Reader, events::Event};
use serde_json::Value;

/// Whether a pattern matches; `^(?!.*X)` is the absence of `X`, which the library does not support.
pub fn matches(pattern: &str, text: &str) -> bool {
    let anchored = pattern.strip_prefix("(?s)").unwrap_or(pattern);
    let absent = anchored.strip_prefix("^(?!.*").and_then(|rest| rest.strip_suffix(')'));
    regex::Regex::new(absent.unwrap_or(pattern)).expect("a pattern").is_match(text) != absent.is_some()
}

/// Objects need the members that are named, lists are compared item by item; `{"regex"}` and `{"absent"}` are conditions.
pub fn json_fits(want: &Value, found: &Value, place: &str, wrong: &mut Vec<String>) {
    match want {
        Value::Object(members) if members.len() == 1 && members.contains_key("regex") => {
            let pattern = want["regex"].as_str().expect("a pattern");
            if !found.as_str().is_some_and(|text| matches(pattern, text)) {
                wrong.push(format!("{place}: {found} does not match {pattern}"));
            }
        }
        Value::Object(members) => {
            let Some(object) = found.as_object() else {
                wrong.push(format!("{place}: expected an object, got {found}"));
                return;
            };
            for (name, value) in members {
                let place = format!("{place}/{name}");
                match object.get(name) {
                    Some(_) if value["absent"] == true => wrong.push(format!("{place} must be absent")),
                    None if value["absent"] == true => {}
                    None => wrong.push(format!("{place} is missing")),
                    Some(found) => json_fits(value, found, &place, wrong),
                }
            }
        }
        Value::Array(items) => match found.as_array() {
            Some(list) if list.len() == items.len() => {
                for (at, (want, found)) in items.iter().zip(list).enumerate() {
                    json_fits(want, found, &format!("{place}/{at}"), wrong);
                }
            }
            _ => wrong.push(format!("{place}: expected {want}, got {found}")),
        },
        Value::Number(number) if number.as_f64() == found.as_f64() => {}
        _ if want == found => {}
        _ => wrong.push(format!("{place}: expected {want}, got {found}")),
    }
}

/// The elements, sorted attributes and texts of a document; white space between elements aside.
pub fn canonical_xml(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    let mut parts = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => parts.push(format!("<{}>", element(&start))),
            Ok(Event::Empty(start)) => parts.extend([format!("<{}>", element(&start)), "</>".to_owned()]),
            Ok(Event::End(_)) => parts.push("</>".to_owned()),
            Ok(Event::Text(part)) => push_text(&mut parts, &part),
            Ok(Event::CData(part)) => push_text(&mut parts, &part),
            Ok(Event::GeneralRef(name)) => {
                push_text(&mut parts, &format!("&{};", &*name));
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => return vec![format!("invalid XML: {error}")],
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn push_text(parts: &mut Vec<String>, text: &str) {
    match parts.last_mut() {
        Some(last) if !last.starts_with('<') => last.push_str(text),
        _ => parts.push(text.to_owned()),
    }
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> String {
    let mut attributes: Vec<String> =
        start.attributes().flatten().map(|one| format!(" {}={:?}", one.key.as_ref(), one.value)).collect();
    attributes.sort();
    format!("{}{}", start.name().as_ref(), attributes.concat())
}

/// The expected diagnostics that `margay check --json` did not report.
pub fn diagnostics_fit(output: &str, expected: &Value) -> Vec<String> {
    let Ok(found) = serde_json::from_str::<Value>(output) else {
        return vec![format!("the output is no JSON: {output}")];
    };
    let list = found.as_array().or_else(|| found["diagnostics"].as_array()).cloned().unwrap_or_default();
    let missing = expected
        .as_array()
        .into_iter()
        .flatten()
        .filter(|want| !list.iter().any(|found| diagnostic_fits(want, found)));
    missing.map(|want| format!("no diagnostic {want} in {output}")).collect()
}

fn diagnostic_fits(want: &Value, found: &Value) -> bool {
    let fits = |name: &str| {
        want[name].as_str().is_none_or(|pattern| matches(pattern, found[name].as_str().unwrap_or_default()))
    };
    let severity = want["severity"].as_str().unwrap_or("error");
    let help = found["help"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let text =
        format!("{} {}", found["message"].as_str().unwrap_or_default(), help.unwrap_or_default().join(" "));
    found["severity"] == severity
        && fits("file")
        && fits("code")
        && (want["line"].is_null() || want["line"] == found["line"])
        && want["pointer"]
            .as_str()
            .is_none_or(|want| pointer_fits(want, found["pointer"].as_str().unwrap_or("")))
        && want["text"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|part| text.contains(part.as_str().unwrap_or("")))
}

/// The pointer, below it, or its parent where that has at least two parts.
fn pointer_fits(want: &str, found: &str) -> bool {
    let parent = want.rsplit_once('/').map_or("", |(parent, _)| parent);
    found == want
        || found.starts_with(&format!("{want}/"))
        || want.matches('/').count() > 2 && found == parent
}
