//! Parses the text of an import: JSON, JSON with comments, or YAML, within bounds of size, depth and aliases.

use crate::config::parse::{Dialect, parse};
use crate::config::render::{self, Style};
use crate::config::{Diagnostics, FileId, Node, Sources, node};
use serde_json::{Map, Number, Value};

/// Maximum size of an imported file in bytes.
pub const MAX_SOURCE_BYTES: u64 = 64 << 20;
/// YAML: maximum number of values, those of expanded aliases included.
const MAX_YAML_NODES: usize = 4_000_000;
/// YAML: maximum nesting depth.
const MAX_YAML_DEPTH: usize = 128;
/// YAML: maximum number of bytes in all scalars together.
const MAX_YAML_SCALAR_BYTES: usize = 128 << 20;

/// The value of a text; the error contains the position and a fix.
pub fn parse_source(name: &str, text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(format!("{name}: expected JSON or YAML, found an empty file"));
    }
    if !text.trim_start().starts_with(['{', '[', '/']) {
        return parse_yaml(text).map_err(|error| format!("{name}: {error}"));
    }
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    parse_commented_json(name, text).or_else(|error| parse_yaml(text).map_err(|_| error))
}

/// JSON with comments and trailing commas, as .NET reads `appsettings.json`.
fn parse_commented_json(name: &str, text: &str) -> Result<Value, String> {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let id = sources.add(name, None, text.to_owned(), Dialect::default());
    let root = parse(FileId(id.0), text, Dialect::default(), &mut diagnostics);
    match root.filter(|_| !diagnostics.has_errors()) {
        Some(root) => Ok(value_of(&root)),
        None => Err(render::text(&diagnostics, &sources, Style::default()).trim_end().to_owned()),
    }
}

fn value_of(node: &Node) -> Value {
    match &node.value {
        node::Value::Null => Value::Null,
        node::Value::Bool(value) => Value::Bool(*value),
        node::Value::Number(text) => text.parse::<Number>().map_or(Value::Null, Value::Number),
        node::Value::String(text) => Value::String(text.to_string()),
        node::Value::Array(items) => items.iter().map(value_of).collect(),
        node::Value::Object(members) => {
            let members =
                members.iter().map(|member| (member.key.value.to_string(), value_of(&member.value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn parse_yaml(text: &str) -> Result<Value, String> {
    let budget = serde_saphyr::budget! {
        max_events: 2 * MAX_YAML_NODES,
        max_nodes: MAX_YAML_NODES,
        max_depth: MAX_YAML_DEPTH,
        max_total_scalar_bytes: MAX_YAML_SCALAR_BYTES,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn json_json_with_comments_and_yaml_are_accepted() {
        let expected = json!({ "a": [1, "2", true, null], "200": "ok" });
        for text in [
            r#"{ "a": [1, "2", true, null], "200": "ok" }"#,
            "// comment\n{ \"a\": [1, \"2\", true, null,], /* and */ \"200\": \"ok\", }",
            "a: [1, '2', true, null]\n200: ok\n",
            "{a: [1, '2', true, null], 200: ok}",
            "\u{feff}---\na:\n- 1\n- '2'\n- true\n-\n200: ok\n",
        ] {
            assert_eq!(parse_source("x", text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_error_contains_the_position() {
        let error = parse_source("spec.json", "{ \"a\": [1, }").unwrap_err();
        assert!(error.contains("spec.json:1:12"), "{error}");
        let error = parse_source("spec.yaml", "a: 1\nb: [").unwrap_err();
        assert!(error.contains("spec.yaml:") && error.contains("line 2"), "{error}");
        assert!(parse_source("x", " \n").unwrap_err().contains("empty file"));
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(parse_source("bomb.yaml", &bomb).is_err());
        assert!(parse_source("deep.yaml", &format!("a: {}", "[".repeat(10_000))).is_err());
        assert!(parse_source("deep.json", &"[".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[\\[\\]{}:,\"'a&*\\-#\n 0-9]{0,60}") {
            let _ = parse_source("x", &text);
        }
    }
}
