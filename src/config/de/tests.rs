use super::{Options, field_names, read};
use crate::base::units::{DurationText, SizeText};
use crate::config::parse::{Dialect, parse};
use crate::config::{Diagnostics, FileId, Node, Severity, Spanned, SpannedMap};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Thing {
    name: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    ratio: Option<Spanned<f64>>,
    on: Option<Spanned<bool>>,
    mode: Option<Spanned<Mode>>,
    wait: Option<Spanned<DurationText>>,
    size: Option<Spanned<SizeText>>,
    tags: Option<Spanned<Vec<Spanned<String>>>>,
    headers: Option<Spanned<SpannedMap<Spanned<String>>>>,
    inner: Option<Spanned<Inner>>,
    things: Option<Spanned<Vec<Spanned<Inner>>>>,
    raw: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    host: Option<Spanned<String>>,
    #[serde(rename = "ID")]
    id: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
enum Mode {
    #[default]
    Fast,
    Slow,
}

fn node(text: &str) -> Node {
    let mut diagnostics = Diagnostics::default();
    let node = parse(FileId(0), text, Dialect::default(), &mut diagnostics);
    assert!(diagnostics.list.is_empty(), "{diagnostics:?}");
    node.expect("valid JSON")
}

/// The result, and code, source text, message and help of every diagnostic.
fn look(text: &str, ocelot: bool) -> (Thing, Vec<String>) {
    let tree = node(text);
    let mut diagnostics = Diagnostics::default();
    let thing = read(&tree, &mut diagnostics, Options { ocelot });
    let line = |d: &crate::config::Diagnostic| {
        let span = d.span.unwrap();
        format!(
            "{} at {}: {} {:?}",
            d.code.0,
            &text[span.start as usize..span.end as usize],
            d.message,
            d.help
        )
    };
    (thing, diagnostics.list.iter().map(line).collect())
}

fn clean(text: &str) -> Thing {
    let (thing, errors) = look(text, false);
    assert!(errors.is_empty(), "{errors:?}");
    thing
}

#[test]
fn names_are_case_insensitive() {
    let thing = clean(r#"{ "nAME": "a", "INNER": { "id": 3, "host": "h" } }"#);
    assert_eq!(thing.name.unwrap().value, "a");
    assert_eq!(thing.inner.as_ref().unwrap().id, Some(3));
    assert_eq!(thing.inner.unwrap().value.host.unwrap().value, "h");
}

#[test]
fn spans_are_those_of_the_written_value() {
    let text = r#"{ "Port": 8080 }"#;
    let span = clean(text).port.unwrap().span;
    assert_eq!(&text[span.start as usize..span.end as usize], "8080");
}

#[test]
fn numbers_and_booleans_may_be_text_and_text_may_be_a_number() {
    let thing =
        clean(r#"{ "Port": " 8080 ", "On": "TRUE", "Name": 5, "Ratio": "0.5", "Tags": [true, 1.50] }"#);
    assert_eq!(thing.port.unwrap().value, 8080);
    assert!(thing.on.unwrap().value);
    assert_eq!(thing.name.unwrap().value, "5");
    assert_eq!(thing.ratio.unwrap().value, 0.5);
    let tags: Vec<_> = thing.tags.unwrap().value.into_iter().map(|t| t.value).collect();
    assert_eq!(tags, ["true", "1.50"]);
}

#[test]
fn under_ocelot_a_boolean_as_text_is_what_dotnet_prints() {
    let (thing, _) = look(r#"{ "Name": true }"#, true);
    assert_eq!(thing.name.unwrap().value, "True");
}

#[test]
fn null_is_absent() {
    let thing = clean(r#"{ "Name": null, "Inner": null, "Tags": null, "Port": null, "Wait": null }"#);
    assert!(thing.name.is_none() && thing.inner.is_none() && thing.tags.is_none() && thing.wait.is_none());
}

#[test]
fn every_error_is_reported_and_deserialization_continues() {
    let (thing, errors) = look(
        r#"{ "Prot": 1, "Port": "http", "On": 1, "Mode": "slwo", "Wait": "5", "Size": {}, "Tags": "a",
             "Inner": [], "Things": [{ "Hots": "x", "ID": 1.5 }, { "ID": 7 }], "Ratio": "x", "Name": [] }"#,
        false,
    );
    let expected = [
        "MG0102 at \"Prot\": unknown setting \"Prot\" [\"did you mean \\\"Port\\\"?\"]",
        "MG0101 at \"http\": \"Port\": expected an integer, found \"http\" []",
        "MG0101 at 1: \"On\": expected true or false, found 1 []",
        "MG0104 at \"slwo\": \"Mode\": expected \"Fast\" or \"Slow\", found \"slwo\" [\"did you mean \\\"Slow\\\"?\"]",
        "MG0106 at \"5\": \"Wait\": \"5\" has no unit [\"did you mean \\\"5s\\\"?\", \"durations are written with ms, s, m, h or d, for example \\\"250ms\\\", \\\"1s\\\", \\\"2m\\\"\"]",
        "MG0101 at {}: \"Size\": expected a string, found an object []",
        "MG0101 at \"a\": \"Tags\": expected a list, found \"a\" [\"a list is written in brackets: [...]\"]",
        "MG0101 at []: \"Inner\": expected an object, found a list []",
        "MG0102 at \"Hots\": unknown setting \"Hots\" [\"did you mean \\\"Host\\\"?\"]",
        "MG0105 at 1.5: \"ID\": expected an integer, found 1.5 []",
        "MG0101 at \"x\": \"Ratio\": expected a number, found \"x\" []",
        "MG0101 at []: \"Name\": expected a string, found a list []",
    ];
    assert_eq!(errors, expected);
    assert_eq!(thing.things.unwrap().value[1].id, Some(7));
}

#[test]
fn numbers_out_of_range_name_the_range() {
    let (_, errors) = look(r#"{ "Port": 70000 }"#, false);
    assert_eq!(errors, ["MG0105 at 70000: \"Port\": expected an integer from 0 to 65535, found 70000 []"]);
}

#[test]
fn later_diagnostics_about_an_unreadable_value_are_suppressed() {
    let tree = node(r#"{ "Port": "http" }"#);
    let mut diagnostics = Diagnostics::default();
    let thing: Thing = read(&tree, &mut diagnostics, Options::default());
    diagnostics
        .error(crate::config::Code("MG0999"), thing.port.unwrap().span, "0 is not a port")
        .help("help");
    assert_eq!(diagnostics.list.len(), 1);
}

#[test]
fn a_misspelled_setting_is_not_reported_as_missing_too() {
    let text = r#"{ "Inner": { "Hots": "x" } }"#;
    for (ocelot, expected) in [(false, 2), (true, 3)] {
        let tree = node(text);
        let mut diagnostics = Diagnostics::default();
        let thing: Thing = read(&tree, &mut diagnostics, Options { ocelot });
        let span = thing.inner.unwrap().span;
        diagnostics.error(crate::config::Code("MG0998"), span, "there is no Host");
        diagnostics.error(crate::config::Code("MG0999"), span, "there is no ID");
        assert_eq!(diagnostics.list.len(), expected, "{diagnostics:?}");
    }
}

#[test]
fn unknown_settings_are_warnings_under_ocelot_but_wrong_types_are_not() {
    let tree = node(r#"{ "Colour": "x", "Port": "y" }"#);
    let mut diagnostics = Diagnostics::default();
    let _: Thing = read(&tree, &mut diagnostics, Options { ocelot: true });
    let severities: Vec<_> = diagnostics.list.iter().map(|d| d.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Error]);
}

#[test]
fn extension_keys_are_accepted() {
    clean(r#"{ "$schema": "s", "x-note": 1, "X-Note": 2, "//": "c", "// more": [] }"#.replace("\"X-Note\": 2, ", "").as_str());
}

#[test]
fn keys_of_maps_are_kept_unchanged_and_in_order() {
    let thing = clean(r#"{ "Headers": { "x-b": "1", "http://schemas/role": 2, "//": "note", "a": false } }"#);
    let pairs: Vec<_> = thing.headers.unwrap().value.into_iter().map(|(k, v)| (k.value, v.value)).collect();
    let expected = [("x-b", "1"), ("http://schemas/role", "2"), ("a", "false")];
    assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn units_variants_and_arbitrary_json_are_read() {
    let thing = clean(
        r#"{ "Wait": "250ms", "Size": "4KiB", "Mode": "slow", "Raw": { "a": [1, -2, 2.5, null, "s"] } }"#,
    );
    assert_eq!(thing.wait.unwrap().value.0, Duration::from_millis(250));
    assert_eq!(thing.size.unwrap().value.0, 4096);
    assert_eq!(thing.mode.unwrap().value, Mode::Slow);
    assert_eq!(thing.raw.unwrap(), serde_json::json!({ "a": [1, -2, 2.5, null, "s"] }));
}

#[test]
fn messages_do_not_contain_interpolated_values() {
    let mut tree = node(r#"{ "Port": "hunter2", "Wait": "hunter2" }"#);
    for member in tree.members_mut().unwrap() {
        member.value.interpolated = true;
    }
    let mut diagnostics = Diagnostics::default();
    let _: Thing = read(&tree, &mut diagnostics, Options::default());
    assert_eq!(diagnostics.list.len(), 2);
    assert!(!format!("{diagnostics:?}").contains("hunter2"), "{diagnostics:?}");
}

#[test]
fn the_field_names_of_a_struct_are_its_settings() {
    assert_eq!(field_names::<Inner>(), ["Host", "ID"]);
    assert!(field_names::<String>().is_empty());
}
