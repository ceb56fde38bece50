//! Removes what the check of configurations refuses from the result of an import, with its reason in the report, so that
//! the result always passes.

use super::report::Report;
use crate::config::{Diagnostics, Environment, InMemoryFiles, Loaded, Severity, Sources};
use crate::plan::compile;
use crate::plan::document::load_texts;
use serde_json::Value;
use std::collections::BTreeMap;

/// Rounds of checks; a removed cluster makes its routes invalid in the next one.
const MAX_ROUNDS: usize = 4;

/// Checks the document and removes its invalid parts. Returns the diagnostics that remain.
pub fn settle(document: &mut Value, report: &mut Report) -> Loaded {
    let mut loaded = check(document);
    for _ in 0..MAX_ROUNDS {
        let invalid = invalid_parts(&loaded.diagnostics, &loaded.sources);
        if invalid.is_empty() {
            break;
        }
        remove(document, &invalid, report);
        loaded = check(document);
    }
    loaded
}

fn check(document: &Value) -> Loaded {
    let text = document.to_string();
    let files = [("gateway.json", text.as_str())];
    let mut loaded =
        load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process());
    // The blueprint is not used, only the diagnostics.
    let _ = compile(&mut loaded);
    loaded
}

/// (section, index or name) → the first error about it.
fn invalid_parts(diagnostics: &Diagnostics, sources: &Sources) -> BTreeMap<(String, String), String> {
    let mut parts = BTreeMap::new();
    let errors = diagnostics.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    for error in errors {
        let pointer = error.span.map(|span| sources.pointer_of(span)).unwrap_or_default();
        let mut steps = pointer.split('/').skip(1);
        if let (Some(section), Some(part)) = (steps.next(), steps.next()) {
            let part = part.replace("~1", "/").replace("~0", "~");
            parts.entry((section.to_owned(), part)).or_insert_with(|| error.message.clone());
        }
    }
    parts
}

fn remove(document: &mut Value, invalid: &BTreeMap<(String, String), String>, report: &mut Report) {
    for ((section, part), message) in invalid {
        let name = match document.get(section).and_then(|section| section.get(part.parse::<usize>().ok()?)) {
            Some(route) => route.get("Key").and_then(Value::as_str).unwrap_or(part).to_owned(),
            None => part.clone(),
        };
        report.skip(format!("{section}.{name}"), format!("the result would be invalid: {message}"));
    }
    for (section, content) in document.as_object_mut().into_iter().flatten() {
        let is_invalid = |part: String| invalid.contains_key(&(section.clone(), part));
        match content {
            Value::Array(items) => {
                let mut at = 0;
                items.retain(|_| {
                    at += 1;
                    !is_invalid((at - 1).to_string())
                });
            }
            Value::Object(members) => members.retain(|name, _| !is_invalid(name.clone())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn invalid_routes_and_those_of_invalid_clusters_are_removed_with_a_reason() {
        let route = |path: &str, cluster: &str| json!({ "Key": path, "UpstreamPathTemplate": path, "DownstreamPathTemplate": "/", "DownstreamCluster": cluster });
        let mut document = json!({
            "Routes": [route("/a", "good"), route("b", "good"), route("/c", "bad")],
            "Clusters": {
                "good": { "DownstreamScheme": "http", "Endpoints": [{ "Host": "a", "Port": 1 }] },
                "bad": { "DownstreamScheme": "ftp", "Endpoints": [{ "Host": "a", "Port": 1 }] }
            }
        });
        let mut report = Report::default();
        let loaded = settle(&mut document, &mut report);
        assert!(!loaded.diagnostics.has_errors());
        assert_eq!(document["Routes"].as_array().unwrap().len(), 1);
        assert!(report.to_text().contains("Clusters.bad"), "{}", report.to_text());
    }
}
