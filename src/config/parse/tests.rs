use super::{Dialect, parse};
use crate::config::{Diagnostics, FileId, Node, Value};
use proptest::prelude::*;

const OURS: Dialect = Dialect { single_quotes: false };
const OCELOT: Dialect = Dialect { single_quotes: true };

fn look(text: &str, dialect: Dialect) -> (Option<Node>, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let node = parse(FileId(0), text, dialect, &mut diagnostics);
    let said = diagnostics.list.iter().map(|d| {
        let span = d.span.unwrap();
        format!("{}@{}..{}: {}", d.code.0, span.start, span.end, d.message)
    });
    (node, said.collect())
}

fn clean(text: &str, dialect: Dialect) -> Node {
    let (node, said) = look(text, dialect);
    assert!(said.is_empty(), "{text}: {said:?}");
    node.expect(text)
}

/// The first complaint, and whether the tree was given all the same.
fn complaint(text: &str) -> (String, bool) {
    let (node, said) = look(text, OURS);
    (said.first().cloned().unwrap_or_default(), node.is_some())
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
fn comments_trailing_commas_and_a_byte_order_mark_are_welcome() {
    let node = clean("\u{feff}// a\n{ /* b */ \"a\": [1, 2,], \"b\": {}, /* c */ } // d", OURS);
    assert_eq!(plain(&node), serde_json::json!({ "a": [1, 2], "b": {} }));
}

#[test]
fn every_value_and_key_knows_its_place() {
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
fn escapes_are_undone() {
    let node = clean(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#, OURS);
    assert_eq!(node.as_str(), Some("\"\\/\u{8}\u{c}\n\r\té😀é"));
}

#[test]
fn ocelots_dialect_takes_single_quotes_and_bare_names() {
    let node = clean("{ 'a': 'it\\'s', b: \"x\", $c_1: true }", OCELOT);
    assert_eq!(plain(&node), serde_json::json!({ "a": "it's", "b": "x", "$c_1": true }));
}

#[test]
fn our_dialect_refuses_them_with_a_cure_and_reads_on() {
    assert_eq!(complaint("{ 'a': 1 }"), ("MG0020@2..5: strings take double quotes".into(), true));
    assert_eq!(complaint("{ a: 1 }"), ("MG0017@2..3: the name a stands without quotes".into(), true));
}

#[test]
fn a_missing_comma_is_pointed_at_right_after_the_value() {
    assert_eq!(complaint("{ \"a\": 1\n  \"b\": 2 }"), ("MG0011@8..8: a comma is missing here".into(), true));
    assert_eq!(complaint("[1 2]"), ("MG0011@2..2: a comma is missing here".into(), true));
}

#[test]
fn common_slips_have_their_own_words() {
    for (text, said, sound) in [
        ("", "MG0004@0..0: the file holds no JSON value", false),
        ("  // nothing\n", "MG0004@0..0: the file holds no JSON value", false),
        ("{} {}", "MG0019@3..4: text follows the end of the JSON value", false),
        ("{ \"a\" 1 }", "MG0012@5..5: a colon is missing after the name \"a\"", true),
        ("{ \"a\" = 1 }", "MG0012@6..7: a name and its value are separated by a colon, not by =", true),
        ("{ \"a\" }", "MG0012@2..5: the name \"a\" has no value", false),
        ("{ \"a\": }", "MG0010@7..8: a value is due here, not }", false),
        ("{ \"a\": \"x }\n", "MG0013@7..11: the closing quote of this string is missing", false),
        ("{ \"a\": [1, 2 ", "MG0014@7..8: this '[' is never closed", false),
        ("{ \"a\": [1 }", "MG0014@10..11: '}' stands where ']' is due", false),
        ("[1,,2]", "MG0010@3..4: there is no value before this comma", true),
        ("[01]", "MG0016@1..3: 01 is not a number in JSON", true),
        ("[5s]", "MG0016@1..3: 5s is not a number in JSON", true),
        ("[True]", "MG0017@1..5: True stands without quotes", true),
        ("[\"\\x\"]", "MG0015@2..4: there is no such escape", true),
        ("[\"\\ud800\"]", "MG0015@2..9: half of a surrogate pair stands alone", true),
        ("{ # c\n}", "MG0010@2..3: JSON has no # comments", true),
        ("{ /* c }", "MG0014@2..4: this comment is never closed", false),
        ("[ \"a\": 1 ]", "MG0010@5..6: a list has values without names", false),
        ("{\u{a0}}", "MG0010@1..3: the character U+00A0 looks like a blank but is none in JSON", true),
        ("{ \"a\": 1, \"A\": 2 }", "MG0103@10..13: \"A\" is set twice in one object", true),
    ] {
        assert_eq!(complaint(text), (said.to_owned(), sound), "{text}");
    }
}

#[test]
fn several_syntax_errors_are_shown_at_once() {
    let (_, said) = look("{ \"a\": 1 \"b\": ?, \"c\": [1 2], 'd': tru }", OURS);
    let codes: Vec<_> = said.iter().map(|s| &s[..6]).collect();
    assert_eq!(codes, ["MG0011", "MG0010", "MG0011", "MG0020", "MG0017"]);
}

#[test]
fn names_given_twice_are_found_in_large_objects_too() {
    let members: Vec<_> = (0..100).map(|n| format!("\"k{n}\": {n}")).collect();
    let (_, said) = look(&format!("{{ {}, \"K7\": 1, \"//\": 1, \"//\": 2 }}", members.join(", ")), OURS);
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn nesting_is_bounded() {
    assert!(clean(&format!("{}{}", "[".repeat(64), "]".repeat(64)), OURS).items().len() == 1);
    let (node, said) = look(&"[".repeat(100_000), OURS);
    assert!(node.is_none());
    assert!(said[0].starts_with("MG0018"), "{said:?}");
}

#[test]
fn a_file_full_of_mistakes_is_not_listed_to_its_end() {
    let (node, said) = look(&"[1 ".repeat(10).replace('[', "[ 1 2 3 4 5 6 7 8 9 "), OURS);
    assert!(node.is_none());
    assert!(said.len() <= super::recover::MAX_ERRORS + 1, "{}", said.len());
    let (_, said) = look(&format!("\"{}\"", "\u{1}".repeat(5000)), OURS);
    assert_eq!(said.len(), super::recover::MAX_ERRORS);
}

/// Text that looks a little like JSON.
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
    fn no_text_makes_it_panic(text in any::<String>(), single_quotes: bool) {
        let _ = look(&text, Dialect { single_quotes });
    }

    #[test]
    fn nothing_like_json_makes_it_panic_and_places_lie_in_the_file(text in jsonish(), single_quotes: bool) {
        let mut diagnostics = Diagnostics::default();
        let node = parse(FileId(0), &text, Dialect { single_quotes }, &mut diagnostics);
        prop_assert!(node.is_some() || !diagnostics.list.is_empty());
        for diagnostic in &diagnostics.list {
            let span = diagnostic.span.unwrap();
            prop_assert!(span.start <= span.end && span.end as usize <= text.len(), "{diagnostic:?}");
        }
    }

    #[test]
    fn what_serde_json_reads_we_read_alike(text in jsonish()) {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let (node, said) = look(&text, OURS);
            if said.is_empty() {
                prop_assert_eq!(plain(&node.unwrap()), value);
            }
        }
    }
}
