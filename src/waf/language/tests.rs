use super::lexer::directives;
use super::operator::{Condition, Network};
use super::parser::RuleText;
use super::rule::{Collection, Directive, Selector, TargetUse};
use super::{pattern::Pattern, targets, word_list::WordList};

fn parse(text: &str) -> Result<RuleText, String> {
    let mut rules = RuleText::default();
    rules.add("test.conf", text, &|_| Err("no file".to_owned())).map_err(|error| error.to_string())?;
    Ok(rules)
}

#[test]
fn continued_lines_and_quotes_become_words() {
    let found = directives("# comment\nSecRule ARGS \"@rx \\\"a\" \\\n  \"id:1\"\n\nSecMarker END\n");
    assert_eq!(found[0].words, ["SecRule", "ARGS", "@rx \"a", "id:1"]);
    assert_eq!((found[0].line, found[1].line), (2, 5));
}

#[test]
fn targets_have_members_expressions_exclusions_and_counts() {
    let targets = targets::parse("ARGS:/^a|b/|!ARGS:c|&REQUEST_HEADERS:Host|XML:/*|XML://@*").unwrap();
    let collections: Vec<_> = targets.iter().map(|target| target.collection).collect();
    assert_eq!(
        collections,
        [
            Collection::Args,
            Collection::Args,
            Collection::RequestHeaders,
            Collection::XmlText,
            Collection::XmlAttributes
        ]
    );
    assert_eq!(targets[1].usage, TargetUse::Exclude);
    assert_eq!(targets[2].usage, TargetUse::Count);
    assert!(matches!(&targets[0].selector, Selector::Pattern(pattern) if pattern.is_match(b"xb")));
}

#[test]
fn an_error_has_file_and_line() {
    for (text, expected) in [
        ("SecRule ARGS \"@foo x\" \"id:1\"", "test.conf:1: unknown operator `@foo`"),
        ("\nSecRule NOPE \"x\" \"id:1\"", "test.conf:2: unknown variable `NOPE`"),
        ("SecRule ARGS \"x\" \"id:1,t:nope\"", "test.conf:1: unknown transformation `t:nope`"),
        ("SecRule ARGS \"x\" \"id:1,exec:/bin/sh\"", "test.conf:1: unknown action `exec`"),
        ("SecRule ARGS \"x\" \"phase:1\"", "test.conf:1: expected an id"),
        ("SecFoo x", "test.conf:1: unknown directive `SecFoo`"),
        (
            "SecRule ARGS \"x\" \"id:1,chain\"",
            "test.conf:1: expected a further rule of the chain, found the end of the file",
        ),
    ] {
        assert_eq!(parse(text).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn directives_that_the_configuration_decides_are_warnings() {
    let rules = parse("SecRuleEngine On\nSecAction \"id:1,pass,nolog\"").unwrap();
    assert_eq!(rules.warnings.len(), 1);
    assert!(matches!(&rules.directives[0], Directive::Rule(rule) if rule.id == 1 && !rule.is_logged));
}

#[test]
fn an_expression_of_the_rule_language_reads_bytes_and_lines() {
    let matches = |text: &str, value: &[u8]| Pattern::new(text, false).unwrap().is_match(value);
    assert!(matches(r"a.b", b"a\nb"));
    assert!(matches(r"^b$", b"a\nb\nc"));
    assert!(matches(r"\x{bc}x", b"\xbcx"));
    assert!(matches(r"\/\'\x22", b"/'\""));
    assert!(!matches("é$", "É".as_bytes()));
}

#[test]
fn word_lists_ignore_case_and_read_bytes() {
    let words = WordList::from_argument("union |73 65|lect");
    assert_eq!(words.find(b"a SELECT"), Some((2, 8)));
    assert_eq!(WordList::from_file(b"# no\nab\r\n\n").words(), [b"ab".to_vec()]);
}

#[test]
fn networks_contain_addresses() {
    let network = Network::parse("10.0.0.0/8").unwrap();
    assert!(network.contains([10, 1, 2, 3].into()) && !network.contains([11, 0, 0, 1].into()));
    assert!(Network::parse("::/0").unwrap().contains(std::net::Ipv6Addr::LOCALHOST.into()));
    assert!(Network::parse("10.0.0.0/33").is_err());
}

#[test]
fn without_an_operator_the_text_is_an_expression() {
    let condition = Condition::parse("!^a", &|_| Ok(Vec::new())).unwrap();
    assert!(condition.is_negated);
}
