//! The canonical format of configuration files: two spaces, one line where it fits, no trailing commas. Order, comments,
//! blank lines and the spelling of strings and numbers are kept; an object stays on several lines if its first member
//! is on a separate line.

mod line_diff;
mod print;
mod tokens;
mod tree;

pub use line_diff::unified_diff;
pub use tree::Annotation;

use serde_json::Value;

/// The canonical form of a text that the parser of configurations accepts; `None` if its structure cannot be read.
pub fn format_text(text: &str) -> Option<String> {
    let root = tree::parse(&tokens::tokens(text)?)?;
    Some(print::print(&root))
}

/// A value in canonical form; objects down to `depth` are on several lines.
pub fn format_value(value: &Value, depth: usize) -> String {
    format_annotated(value, depth, &|_| None)
}

/// The same with comments behind values, by their JSON pointers.
pub fn format_annotated(value: &Value, depth: usize, annotation: Annotation) -> String {
    print::print(&tree::from_value(value, depth, annotation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse::{Dialect, parse};
    use crate::config::{Diagnostics, FileId};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn order_comments_numbers_and_strings_are_kept() {
        let text = "// head\n{\n\"b\":1.50 , // one\n\n\n /* two */ \"a\" : [ 1,2 ,], 'c': {\"x\":0x1}, \"e\": {\n}, \"d\": {\n\"y\":true}}\n// end";
        let expected = "// head\n{\n  \"b\": 1.50, // one\n\n  /* two */\n  \"a\": [1, 2],\n  'c': { \"x\": 0x1 },\n  \"e\": {},\n  \"d\": {\n    \
                        \"y\": true\n  }\n}\n// end\n";
        assert_eq!(format_text(text).unwrap(), expected);
        assert_eq!(format_text(expected).unwrap(), expected);
    }

    #[test]
    fn long_lists_are_on_several_lines() {
        let value = json!({ "Routes": [{ "Key": "a", "List": vec!["x".repeat(30); 5] }], "Empty": [] });
        let text = format_value(&value, 0);
        assert!(text.lines().count() > 5 && text.lines().all(|line| line.len() <= 120), "{text}");
        assert_eq!(format_text(&text).unwrap(), text);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn the_files_of_the_repository_are_formatted() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let policies = std::fs::read_dir(root.join("policies")).unwrap().map(|entry| entry.unwrap().path());
        for path in policies.chain([root.join("gateway.json")]) {
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(format_text(&text).unwrap(), text, "{}: margay fmt", path.display());
        }
    }

    #[test]
    fn annotations_are_comments_behind_values() {
        let value = json!({ "a": 1, "b": { "c": ["x", "y"] }, "d": [] });
        let text = format_annotated(&value, 1, &|pointer| (pointer != "/d").then(|| pointer.to_owned()));
        let expected =
            "{\n  \"a\": 1, // /a\n  \"b\": {\n    \"c\": [\"x\", \"y\"] // /b/c\n  },\n  \"d\": []\n}\n";
        assert_eq!(text, expected);
        assert_eq!(format_text(&text).unwrap(), text);
    }

    fn arbitrary_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~é]{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-z/{}]{1,8}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_format_keeps_the_value_and_is_a_fixed_point(value in arbitrary_json(), depth in 0_usize..4) {
            let text = format_value(&value, depth);
            prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
            prop_assert_eq!(format_text(&text).unwrap(), text);
        }

        #[test]
        fn a_formatted_text_has_the_same_tree(text in "[{}\\[\\]:,\"a1/*\n -]{0,40}") {
            let read = |text: &str| {
                let mut diagnostics = Diagnostics::default();
                let root = parse(FileId(0), text, Dialect::default(), &mut diagnostics);
                root.filter(|_| !diagnostics.has_errors()).map(|node| format!("{:?}", without_spans(&node)))
            };
            let formatted = format_text(&text);
            if let (Some(before), Some(formatted)) = (read(&text), formatted) {
                prop_assert_eq!(Some(before), read(&formatted), "{}", formatted);
            }
        }
    }

    fn without_spans(node: &crate::config::Node) -> String {
        use crate::config::node::Value as Kind;
        match &node.value {
            Kind::Array(items) => {
                format!("[{}]", items.iter().map(without_spans).collect::<Vec<_>>().join(","))
            }
            Kind::Object(members) => {
                let member =
                    |m: &crate::config::Member| format!("{}:{}", m.key.value, without_spans(&m.value));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
            scalar => format!("{scalar:?}"),
        }
    }
}
