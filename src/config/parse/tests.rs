use super::{Dialect, parse};
use crate::config::{Diagnostics, FileId, Node, Value};
use proptest::prelude::*;

const OURS: Dialect = Dialect { single_quotes: false };
const OCELOT: Dialect = Dialect { single_quotes: true };

fn look(text: &str, dialect: Dialect) -> (Option<Node>, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let node = parse(FileId(0), text, dialect, &mut diagnostics);
    let errors = diagnostics.list.iter().map(|d| {
        let span = d.span.unwrap();
        format!("{}@{}..{}: {}", d.code.0, span.start, span.end, d.message)
    });
    (node, errors.collect())
}

fn clean(text: &str, dialect: Dialect) -> Node {
    let (node, errors) = look(text, dialect);
    assert!(errors.is_empty(), "{text}: {errors:?}");
    node.expect(text)
}

/// The first error, and whether a tree was returned.
fn first_error(text: &str) -> (String, bool) {
    let (node, errors) = look(text, OURS);
    (errors.first().cloned().unwrap_or_default(), node.is_some())
}

fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::String(text) => (&**text).into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => serde_json::Value::Object(
            members.iter().map(|m| (m.key.value.to_string(), plain(&m.value))).collect(),
        ),
    }
}

#[test]
fn comments_trailing_commas_and_a_byte_order_mark_are_accepted() {
    let node = clean("\u{feff}// a\n{ /* b */ \"a\": [1, 2,], \"b\": {}, /* c */ } // d", OURS);
    assert_eq!(plain(&node), serde_json::json!({ "a": [1, 2], "b": {} }));
}

#[test]
fn every_value_and_key_has_its_span() {
    let text = r#"{ "a": [ 10, "x\ny" ] }"#;
    let node = clean(text, OURS);
    let piece = |span: crate::config::Span| &text[span.start as usize..span.end as usize];
    let member = &node.members()[0];
    assert_eq!(piece(node.span), text);
    assert_eq!(piece(member.key.span), "\"a\"");
    assert_eq!(piece(member.value.span), r#"[ 10, "x\ny" ]"#);
    assert_eq!(piece(member.value.items()[1].span), r#""x\ny""#);
}

#[test]
fn escape_sequences_are_decoded() {
    let node = clean(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#, OURS);
    assert_eq!(node.as_str(), Some("\"\\/\u{8}\u{c}\n\r\té😀é"));
}

#[test]
fn ocelots_dialect_accepts_single_quotes_and_unquoted_names() {
    let node = clean("{ 'a': 'it\\'s', b: \"x\", $c_1: true }", OCELOT);
    assert_eq!(plain(&node), serde_json::json!({ "a": "it's", "b": "x", "$c_1": true }));
}

#[test]
fn the_default_dialect_reports_them_and_parses_on() {
    assert_eq!(
        first_error("{ 'a': 1 }"),
        ("MG0020@2..5: expected a double-quoted string, found single quotes".into(), true)
    );
    assert_eq!(first_error("{ a: 1 }"), ("MG0017@2..3: unquoted name `a`".into(), true));
}

#[test]
fn a_missing_comma_is_reported_right_after_the_value() {
    assert_eq!(first_error("{ \"a\": 1\n  \"b\": 2 }"), ("MG0011@8..8: missing `,`".into(), true));
    assert_eq!(first_error("[1 2]"), ("MG0011@2..2: missing `,`".into(), true));
}

#[test]
fn common_errors_have_their_own_messages() {
    for (text, error, recovers) in [
        ("", "MG0004@0..0: expected a JSON value, found an empty file", false),
        ("  // nothing\n", "MG0004@0..0: expected a JSON value, found an empty file", false),
        ("{} {}", "MG0019@3..4: trailing characters after the JSON value", false),
        ("{ \"a\" 1 }", "MG0012@5..5: missing `:` after \"a\"", true),
        ("{ \"a\" = 1 }", "MG0012@6..7: expected `:` after the name, found `=`", true),
        ("{ \"a\" }", "MG0012@2..5: missing value of \"a\"", false),
        ("{ \"a\": }", "MG0010@7..8: expected a value, found `}`", false),
        ("{ \"a\": \"x }\n", "MG0013@7..11: unterminated string", false),
        ("{ \"a\": [1, 2 ", "MG0014@7..8: unclosed `[`", false),
        ("{ \"a\": [1 }", "MG0014@10..11: expected `]`, found `}`", false),
        ("[1,,2]", "MG0010@3..4: expected a value, found `,`", true),
        ("[01]", "MG0016@1..3: invalid number `01`", true),
        ("[5s]", "MG0016@1..3: invalid number `5s`", true),
        ("[True]", "MG0017@1..5: expected a value, found `True`", true),
        ("[\"\\x\"]", "MG0015@2..4: unknown escape sequence", true),
        ("[\"\\ud800\"]", "MG0015@2..9: lone surrogate", true),
        ("{ # c\n}", "MG0010@2..3: `#` does not begin a comment", true),
        ("{ /* c }", "MG0014@2..4: unclosed comment", false),
        ("[ \"a\": 1 ]", "MG0010@5..6: expected `,` or `]`, found `:`", false),
        ("{\u{a0}}", "MG0010@1..3: U+00A0 is not whitespace in JSON", true),
        ("{ \"a\": 1, \"A\": 2 }", "MG0103@10..13: duplicate setting \"A\"", true),
    ] {
        assert_eq!(first_error(text), (error.to_owned(), recovers), "{text}");
    }
}

#[test]
fn several_syntax_errors_are_reported_together() {
    let (_, errors) = look("{ \"a\": 1 \"b\": ?, \"c\": [1 2], 'd': tru }", OURS);
    let codes: Vec<_> = errors.iter().map(|s| &s[..6]).collect();
    assert_eq!(codes, ["MG0011", "MG0010", "MG0011", "MG0020", "MG0017"]);
}

#[test]
fn duplicate_names_are_found_in_large_objects_too() {
    let members: Vec<_> = (0..100).map(|n| format!("\"k{n}\": {n}")).collect();
    let (_, errors) = look(&format!("{{ {}, \"K7\": 1, \"//\": 1, \"//\": 2 }}", members.join(", ")), OURS);
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn nesting_is_bounded() {
    assert!(clean(&format!("{}{}", "[".repeat(64), "]".repeat(64)), OURS).items().len() == 1);
    let (node, errors) = look(&"[".repeat(100_000), OURS);
    assert!(node.is_none());
    assert!(errors[0].starts_with("MG0018"), "{errors:?}");
}

#[test]
fn the_number_of_reported_errors_is_bounded() {
    let (node, errors) = look(&"[1 ".repeat(10).replace('[', "[ 1 2 3 4 5 6 7 8 9 "), OURS);
    assert!(node.is_none());
    assert!(errors.len() <= super::recover::MAX_ERRORS + 1, "{}", errors.len());
    let (_, errors) = look(&format!("\"{}\"", "\u{1}".repeat(5000)), OURS);
    assert_eq!(errors.len(), super::recover::MAX_ERRORS);
}

/// Text that resembles JSON.
fn jsonish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("\\u12".to_owned()),
        Just("//".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just("\n".to_owned()),
        Just("\"a\": 1".to_owned()),
        Just("\"b\"".to_owned()),
        Just("-1.5e3".to_owned()),
        Just("true".to_owned()),
        Just("é\u{a0}".to_owned()),
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in any::<String>(), single_quotes: bool) {
        let _ = look(&text, Dialect { single_quotes });
    }

    #[test]
    fn no_json_like_text_causes_a_panic_and_spans_are_within_the_file(text in jsonish(), single_quotes: bool) {
        let mut diagnostics = Diagnostics::default();
        let node = parse(FileId(0), &text, Dialect { single_quotes }, &mut diagnostics);
        prop_assert!(node.is_some() || !diagnostics.list.is_empty());
        for diagnostic in &diagnostics.list {
            let span = diagnostic.span.unwrap();
            prop_assert!(span.start <= span.end && span.end as usize <= text.len(), "{diagnostic:?}");
        }
    }

    #[test]
    fn valid_json_is_read_as_serde_json_reads_it(text in jsonish()) {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let (node, errors) = look(&text, OURS);
            if errors.is_empty() {
                prop_assert_eq!(plain(&node.unwrap()), value);
            }
        }
    }
}
