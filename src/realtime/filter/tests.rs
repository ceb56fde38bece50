use super::*;
use proptest::prelude::*;
use std::sync::Arc;

fn is_match(filter: &str, user_id: Option<&str>, groups: &[&str]) -> bool {
    let groups: Vec<Arc<str>> = groups.iter().map(|group| Arc::from(*group)).collect();
    let subject = FilterSubject { connection_id: "c-1", user_id, groups: &groups };
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    filter.matches(&subject, &mut String::from("left over"))
}

fn error(filter: &str) -> String {
    Filter::parse(filter).expect_err(filter).to_string()
}

#[test]
fn conditions_about_user_connection_and_groups() {
    for (filter, user_id, groups, expected) in [
        ("userId eq 'ann'", Some("ann"), &[][..], true),
        ("USERID eq 'ann'", Some("ben"), &[], false),
        ("userId eq 'o''neil'", Some("o'neil"), &[], true),
        ("connectionid ne 'c-2' and connectionId eq 'c-1'", None, &[], true),
        ("'g' in groups", None, &["a", "g", "z"], true),
        ("'g' in Groups", None, &["G"], false),
        ("userId in groups", Some("a"), &["a"], true),
        ("userId in ('u1', 'u2',null)", Some("u2"), &[], true),
        ("userId in ('u1','u2',null)", None, &[], true),
        ("userId in ('u1')", None, &[], false),
        ("not ('g' in groups) and (userId eq null or userId eq 'cid')", None, &[], true),
        ("not ('g' in groups) and (userId eq null or userId eq 'cid')", Some("ben"), &[], false),
        ("userId eq 'a' or userId eq 'b' and 'g' in groups", Some("a"), &[], true),
        ("(userId eq 'a' or userId eq 'b') and 'g' in groups", Some("a"), &[], false),
        ("length(groups) ge 2", None, &["a", "b"], true),
        ("true", None, &[], true),
        ("not not false", None, &[], false),
        ("not true eq false", None, &[], true),
        ("5 in (-5, +5)", None, &[], true),
        ("userId gt 'a' and userId lt 'c'", Some("b"), &[], true),
    ] {
        assert_eq!(is_match(filter, user_id, groups), expected, "{filter}");
    }
}

#[test]
fn null_equals_only_null() {
    for (filter, expected) in [
        ("userId eq null", true),
        ("userId ne null", false),
        ("userId ne 'a'", true),
        ("userId gt 'a'", false),
        ("userId le 'a'", false),
        ("null ge null", false),
        ("startswith(userId, 'a')", false),
        ("length(userId) eq 0", false),
        ("tolower(userId) eq ''", false),
        ("userId in groups", false),
    ] {
        assert_eq!(is_match(filter, None, &["a"]), expected, "{filter}");
    }
}

#[test]
fn functions_of_texts() {
    for filter in [
        "tolower(userId) eq 'ann-é'",
        "toupper(userId) eq 'ANN-É'",
        "trim(concat('  ', userId)) eq userId",
        "concat(concat(userId, '-'), userId) eq 'Ann-É-Ann-É'",
        "tolower(concat(toupper(userId), 'X')) eq 'ann-éx'",
        "substring(userId, 1) eq 'nn-É'",
        "substring(userId, 1, 2) eq 'nn'",
        "substring(userId, 9) eq ''",
        "substring(userId, -1, 1) eq 'A'",
        "substring(trim(concat(' ',userId)), 4, 99) eq 'É'",
        "indexof(userId, 'É') eq 4",
        "indexof(userId, 'x') eq -1",
        "length(userId) eq 5",
        "startswith(userId, 'Ann') and endswith(userId,'É') and contains(userId, 'n-')",
    ] {
        assert!(is_match(filter, Some("Ann-É"), &[]), "{filter}");
    }
}

#[test]
fn errors_have_the_texts_of_the_service() {
    assert_eq!(
        error("invalid filter"),
        "Invalid syntax for 'invalid filter': Syntax error at position 14 in 'invalid filter'. (Parameter 'filter')"
    );
    assert_eq!(
        error("not length(userId) gt 5"),
        "Invalid syntax for 'not length(userId)': Type 'null', expect 'bool'. (Parameter 'filter')"
    );
    for (filter, position) in [
        ("", 0),
        ("userId eq", 9),
        ("userId eq 'é", 10),
        ("(userId eq 'é'", 14),
        ("userId # 'a'", 7),
        ("unknown", 0),
        ("userId EQ 'a'", 7),
        ("userId eq 'a')", 13),
        ("userId in ()", 11),
        ("userId in ('a' 'b')", 15),
        ("tolower(userId, 'a') eq 'a'", 14),
        ("substring(userId) eq 'a'", 16),
        ("length userId", 7),
        ("true true", 5),
        ("length('a') eq 99999999999999999999", 15),
    ] {
        let expected = format!("Syntax error at position {position} in '{filter}'");
        assert!(error(filter).contains(&expected), "{filter}: {}", error(filter));
    }
}

#[test]
fn types_are_checked() {
    for (filter, part, expected) in [
        ("userId", "userId", "bool"),
        ("'a'", "'a'", "bool"),
        ("userId and true", "userId", "bool"),
        ("true or 5", "5", "bool"),
        ("not 'g' in groups", "not 'g'", "bool"),
        ("userId eq 5", "5", "string"),
        ("5 eq 'a'", "'a'", "int"),
        ("groups eq 'a'", "groups", "string"),
        ("true gt false", "true", "string"),
        ("length(5) eq 1", "5", "string"),
        ("substring(userId, 'a') eq 'b'", "'a'", "int"),
        ("userId in ('a', 5)", "5", "string"),
        ("5 in groups", "5", "string"),
        ("'a' in userId", "userId", "list"),
        ("length(userId) eq groups", "groups", "string"),
    ] {
        let message = error(filter);
        assert!(message.starts_with(&format!("Invalid syntax for '{part}': Type '")), "{filter}: {message}");
        assert!(
            message.ends_with(&format!(", expect '{expected}'. (Parameter 'filter')")),
            "{filter}: {message}"
        );
    }
}

#[test]
fn size_clauses_and_depth_are_limited() {
    let clauses = |n: usize| vec!["userId eq 'a'"; n].join(" or ");
    assert!(Filter::parse(&clauses(100)).is_ok());
    assert!(error(&clauses(101)).contains("100 clauses"));
    let nested = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse(&nested(64)).is_ok());
    for deep in [nested(65), "not ".repeat(65) + "true", "(".repeat(8000), "tolower(".repeat(1000)] {
        assert!(error(&deep).contains("64 levels"), "{}", deep.len());
    }
    let text = |n: usize| format!("userId eq '{}'", "a".repeat(n));
    assert!(Filter::parse(&text(8192 - 12)).is_ok());
    assert!(error(&text(8192 - 11)).contains("8 KiB"));
}

#[test]
fn texts_that_grow_beyond_their_limit_are_null() {
    let user = "x".repeat(1024);
    let mut filter = "userId".to_owned();
    for _ in 0..60 {
        filter = format!("concat({filter},userId)");
    }
    assert!(!is_match(&format!("contains({filter}, 'x')"), Some(&user), &[]));
    assert!(is_match(&format!("contains({filter}, 'x')"), Some("x"), &[]));
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(filter in ".{0,60}") {
        let _ = Filter::parse(&filter);
    }

    #[test]
    fn any_sequence_of_words_is_parsed_and_evaluated(words in proptest::collection::vec(
        prop_oneof![
            Just("userId"), Just("groups"), Just("'a'"), Just("5"), Just("null"), Just("true"), Just("not"), Just("("),
            Just(")"), Just(","), Just("eq"), Just("in"), Just("and"), Just("or"), Just("tolower"), Just("concat"),
            Just("length"), Just("substring"), Just("startswith"),
        ], 0..20,
    )) {
        if let Ok(filter) = Filter::parse(&words.join(" ")) {
            let groups = [Arc::from("a")];
            for user_id in [None, Some("a")] {
                filter.matches(&FilterSubject { connection_id: "c", user_id, groups: &groups }, &mut String::new());
            }
        }
    }
}
