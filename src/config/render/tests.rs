use super::{Style, json, summary, text};
use crate::config::parse::Dialect;
use crate::config::{Code, Diagnostics, FileId, Sources, Span};
use proptest::prelude::*;

const WRONG: Code = Code("MG0101");

fn sources(text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("gateway.json", None, text.to_owned(), Dialect::default());
    sources
}

fn span(text: &str, piece: &str) -> Span {
    let start = text.find(piece).unwrap();
    Span { file: FileId(0), start: start as u32, end: (start + piece.len()) as u32 }
}

fn shown(file: &str, piece: &str, helps: &[&str]) -> String {
    let mut diagnostics = Diagnostics::default();
    let diagnostic = diagnostics.error(WRONG, span(file, piece), "something is wrong");
    for help in helps {
        diagnostic.help(*help);
    }
    text(&diagnostics, &sources(file), Style::default())
}

#[test]
fn a_diagnostic_has_its_location_source_line_caret_and_help() {
    let file = "{\n  \"Routes\": [\n    { \"Prioritty\": 1 }\n  ]\n}\n";
    let expected = "\
error[MG0101]: something is wrong
 --> gateway.json:3:7  (/Routes/0/Prioritty)
  |
3 |     { \"Prioritty\": 1 }
  |       ^^^^^^^^^^^
  = help: did you mean \"Priority\"?
  = help: paste this:
          {
            \"a\": 1
          }

1 error
";
    let helps = ["did you mean \"Priority\"?", "paste this:\n{\n  \"a\": 1\n}"];
    assert_eq!(shown(file, "\"Prioritty\"", &helps), expected);
}

#[test]
fn the_gutter_is_as_wide_as_the_line_number() {
    let file = format!("{{{}\"a\": 1 }}", "\n".repeat(11));
    let expected = "\
error[MG0101]: something is wrong
  --> gateway.json:12:1  (/a)
   |
12 | \"a\": 1 }
   | ^^^
   = help: no

1 error
";
    assert_eq!(shown(&file, "\"a\"", &["no"]), expected);
}

#[test]
fn the_caret_is_aligned_after_tabs_and_multibyte_characters() {
    let shown = shown("{\t\"é\":\t\"ü\" }", "\"ü\"", &[]);
    assert!(shown.contains("gateway.json:1:8  (/é)"), "{shown}");
    assert!(shown.contains("1 | {    \"é\":    \"ü\" }\n  |              ^^^\n"), "{shown}");
}

#[test]
fn a_long_line_is_truncated_around_the_caret() {
    let file = format!("{{ \"a\": \"{}\", \"b\": 7, \"c\": \"{}\" }}", "x".repeat(500), "y".repeat(500));
    let shown = shown(&file, "7", &[]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[3].starts_with("1 | ...xxx") && lines[3].ends_with("yyy..."), "{shown}");
    assert_eq!(lines[3].chars().nth(lines[4].find('^').unwrap()), Some('7'));
    assert!(lines[3].len() < 140);
}

#[test]
fn a_multiline_span_is_underlined_to_the_end_of_its_first_line() {
    let shown = shown("{ \"a\": [\n 1 ] }", "[\n 1 ]", &[]);
    assert!(shown.contains("1 | { \"a\": [\n  |        ^\n"), "{shown}");
}

#[test]
fn an_empty_span_has_one_caret_even_beyond_the_end_of_the_line() {
    let file = "{ \"a\": 1\n  \"b\": 2 }";
    let mut diagnostics = Diagnostics::default();
    diagnostics.error(WRONG, Span { file: FileId(0), start: 8, end: 8 }, "missing `,`");
    let shown = text(&diagnostics, &sources(file), Style::default());
    assert!(shown.contains("gateway.json:1:9\n  |\n1 | { \"a\": 1\n  |         ^\n"), "{shown}");
}

#[test]
fn control_characters_are_replaced() {
    let file = "{ \"\u{1b}[2Jx\": 1 }";
    let mut diagnostics = Diagnostics::default();
    diagnostics.error(WRONG, span(file, "1"), "bad \u{1b}[2J").help("\u{202e}x");
    let shown = text(&diagnostics, &sources(file), Style::default());
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn diagnostics_are_sorted_by_position_without_duplicates() {
    let file = "{ \"a\": 1, \"b\": 2 }";
    let mut diagnostics = Diagnostics::default();
    for piece in ["2", "1", "2"] {
        diagnostics.warning(WRONG, span(file, piece), "unusual");
    }
    diagnostics.error(WRONG, None, "without a span");
    let codes = json(&diagnostics, &sources(file));
    let columns: Vec<_> = codes.as_array().unwrap().iter().map(|d| d["column"].as_u64()).collect();
    assert_eq!(columns, [None, Some(8), Some(16)]);
    assert_eq!(summary(&diagnostics), "1 error and 2 warnings");
}

#[test]
fn json_has_every_field() {
    let file = "{\n  \"a\": { \"b\": [1] }\n}";
    let mut diagnostics = Diagnostics::default();
    diagnostics.error(WRONG, span(file, "[1]"), "m").help("h");
    let expected = serde_json::json!([{
        "code": "MG0101", "severity": "error", "message": "m", "file": "gateway.json", "line": 2, "column": 15,
        "endLine": 2, "endColumn": 18, "pointer": "/a/b", "help": ["h"],
    }]);
    assert_eq!(json(&diagnostics, &sources(file)), expected);
}

#[test]
fn colors_are_used_on_terminals_unless_disabled() {
    assert!(Style::for_output(true, None).color);
    assert!(Style::for_output(true, Some("")).color);
    assert!(!Style::for_output(true, Some("1")).color);
    assert!(!Style::for_output(false, None).color);
    let mut diagnostics = Diagnostics::default();
    diagnostics.error(WRONG, span("{}", "{}"), "m");
    let shown = text(&diagnostics, &sources("{}"), Style { color: true });
    assert!(shown.starts_with("\u{1b}[1;31merror[MG0101]\u{1b}[0m: "), "{shown:?}");
}

proptest! {
    #[test]
    fn no_span_causes_a_panic(file in ".{0,200}", start in 0u32..300, length in 0u32..300, number in 0u16..2) {
        let mut diagnostics = Diagnostics::default();
        let place = Span { file: FileId(number), start, end: start.saturating_add(length) };
        diagnostics.error(WRONG, place, "m").help("h");
        let sources = sources(&file);
        let shown = text(&diagnostics, &sources, Style::default());
        prop_assert!(shown.starts_with("error[MG0101]: m\n"));
        let place = sources.line_column(place);
        prop_assert!(place.line >= 1 && place.line <= file.lines().count().max(1) + 1);
        let _ = json(&diagnostics, &sources);
    }
}
