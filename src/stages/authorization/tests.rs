use super::*;
use crate::pipeline::{exchange::Peer, head::Head};
use proptest::prelude::*;
use std::{sync::Arc, time::Instant};

/// A request for `/t/a%20b?q=1+2` on `/t/{tenant}?q={q}` by a caller with these claims.
fn exchange(claims: &[(&str, &str)]) -> Exchange {
    let here = ([127, 0, 0, 1], 1).into();
    let mut exchange = Exchange::new(Peer::new(here, here, false), 0, Instant::now());
    exchange.request = Head::request(b"GET", b"/t/a%20b?q=1+2");
    exchange.request.append(b"X-Two", b"a");
    exchange.request.append(b"x-two", b"b");
    exchange.routing.path_len = 8;
    exchange.routing.path_params.push_range(3, 8);
    exchange.routing.path_params.push_range(11, 14);
    let mut user = Identity::new("jwt".into());
    claims.iter().for_each(|(name, value)| user.add(name, value));
    exchange.client.user = Some(Arc::new(user));
    exchange
}

fn names() -> [Box<str>; 2] {
    ["tenant".into(), "q".into()]
}

fn refused(rules: AuthorizationRules, exchange: &mut Exchange) -> Option<ErrorCode> {
    match Authorization(rules).on_request(exchange) {
        Step::Fail(cause) => Some(cause.code),
        _ => None,
    }
}

fn scopes(ocelot: bool, claims: &[(&str, &str)]) -> Option<ErrorCode> {
    let scopes = vec!["read".into(), "write".into()];
    refused(AuthorizationRules { scopes, ocelot, ..AuthorizationRules::default() }, &mut exchange(claims))
}

#[test]
fn one_allowed_scope_is_enough_and_a_single_claim_is_split() {
    for ocelot in [true, false] {
        assert_eq!(scopes(ocelot, &[("scope", "read")]), None);
        assert_eq!(scopes(ocelot, &[("scope", "other write")]), None);
        assert_eq!(scopes(ocelot, &[("scope", "a"), ("scope", "write")]), None);
        for missing in ["", "readx", "READ", "a b", "read,write"] {
            assert_eq!(scopes(ocelot, &[("scope", missing)]), Some(ErrorCode::AccessScope), "{missing}");
        }
        assert_eq!(scopes(ocelot, &[]), Some(ErrorCode::AccessScope));
    }
}

#[test]
fn ocelot_ignores_scp_and_splits_only_a_single_claim() {
    assert_eq!(scopes(false, &[("scp", "read write")]), None);
    assert_eq!(scopes(true, &[("scp", "read")]), Some(ErrorCode::AccessScope));
    let duplicate = [("scope", "a read"), ("scope", "b")];
    assert_eq!((scopes(false, &duplicate), scopes(true, &duplicate)), (None, Some(ErrorCode::AccessScope)));
}

fn claim(claim: &str, wanted: &[&str]) -> AuthorizationRules {
    let wanted = wanted.iter().map(|text| ClaimValue::Text((*text).into())).collect();
    AuthorizationRules { claims: vec![(claim.into(), wanted)], ..AuthorizationRules::default() }
}

#[test]
fn a_claim_must_have_an_allowed_value() {
    let claims = [("role", "admin"), ("role", "dev"), ("a:b/c", "x")];
    let outcome = |rules| refused(rules, &mut exchange(&claims));
    assert_eq!(outcome(claim("role", &["dev"])), None);
    assert_eq!(outcome(claim("role", &["owner", "admin"])), None);
    assert_eq!(outcome(claim("a:b/c", &["x"])), None);
    for rules in
        [claim("role", &["Admin"]), claim("Role", &["admin"]), claim("none", &[""]), claim("role", &[])]
    {
        assert_eq!(outcome(rules), Some(ErrorCode::AccessClaim));
    }
    let mut anonymous = exchange(&[]);
    anonymous.client.user = None;
    assert_eq!(refused(claim("role", &["admin"]), &mut anonymous), Some(ErrorCode::AccessClaim));
}

#[test]
fn every_claim_is_required() {
    let mut rules = claim("role", &["admin"]);
    rules.claims.extend(claim("tenant", &["t1"]).claims);
    assert_eq!(refused(rules.clone(), &mut exchange(&[("role", "admin"), ("tenant", "t1")])), None);
    assert_eq!(refused(rules, &mut exchange(&[("role", "admin")])), Some(ErrorCode::AccessClaim));
}

#[test]
fn a_placeholder_is_compared_with_the_value_in_the_path() {
    let wanted = |index, ocelot| {
        let wanted = ClaimValue::Value { index, name: "tenant".into() };
        AuthorizationRules {
            claims: vec![("tenant".into(), vec![wanted])],
            ocelot,
            ..AuthorizationRules::default()
        }
    };
    assert_eq!(refused(wanted(Some(0), false), &mut exchange(&[("tenant", "a b")])), None);
    assert_eq!(refused(wanted(Some(1), false), &mut exchange(&[("tenant", "1 2")])), None);
    assert_eq!(refused(wanted(Some(0), true), &mut exchange(&[("tenant", "a%20b")])), None);
    assert_eq!(refused(wanted(None, true), &mut exchange(&[("tenant", "")])), Some(ErrorCode::AccessClaim));
}

#[test]
fn a_preflight_needs_no_authorization() {
    let mut exchange = exchange(&[]);
    exchange.request.set_method(b"OPTIONS");
    assert_eq!(refused(claim("role", &["admin"]), &mut exchange), None);
}

fn condition(source: &str, exchange: &mut Exchange) -> Option<ErrorCode> {
    let expression =
        Expression::compile(source, &names()).unwrap_or_else(|e| panic!("{source}: {}", e.message));
    refused(AuthorizationRules { expression: Some(expression), ..AuthorizationRules::default() }, exchange)
}

#[test]
fn a_condition_uses_the_caller_and_the_request() {
    let claims = [("role", "dev"), ("role", "admin"), ("sub", "u1"), ("scope", "read write"), ("level", "7")];
    for holds in [
        "claims.sub == 'u1'",
        "claims['role'] == 'dev' && 'admin' in claim_values.role",
        "'write' in scopes",
        "path.tenant == 'a b' && path.q == '1 2'",
        "method == 'GET' && client == '127.0.0.1'",
        "headers['x-two'] == 'a, b'",
        "has(claims.sub) && !has(claims.missing)",
        "int(claims.level) > 5 || method == 'POST'",
        "claim_values.role.exists(r, r.startsWith('adm'))",
        "claims.sub.matches('^u[0-9]+$')",
    ] {
        assert_eq!(condition(holds, &mut exchange(&claims)), None, "{holds}");
    }
}

#[test]
fn a_false_or_failing_condition_rejects() {
    for fails in
        ["claims.sub == 'u2'", "claims.missing == 'x'", "claims.sub", "1 / 0 == 1", "int(claims.sub) > 1"]
    {
        let code = condition(fails, &mut exchange(&[("sub", "u1")]));
        assert_eq!(code, Some(ErrorCode::AccessCondition), "{fails}");
    }
}

#[test]
fn invalid_conditions_do_not_compile() {
    let bad = |source: &str| Expression::compile(source, &[]).err().unwrap_or_else(|| panic!("{source}"));
    assert_eq!(bad("claim.sub == 'x'").unknown.as_deref(), Some("claim"));
    assert_eq!(bad("claims.a == 'x' && 1 =").message, "column 23: token recognition error at: '='");
    for source in ["", "claims.", "claims.sub = 'x'", "(", "'", "a b"] {
        assert!(!bad(source).message.is_empty(), "{source}");
    }
    assert!(bad(&"x".repeat(5000)).message.contains("4096"));
}

#[test]
fn the_longest_conditions_fit_into_a_small_stack() {
    let chains = [
        format!("{}1 == 1", "1 + ".repeat(1000)),
        format!("{}true", "true && ".repeat(500)),
        format!("{}true", "!".repeat(4000)),
        format!("{}1 == 1", "-".repeat(4000)),
        format!("{}true{}", "(".repeat(2000), ")".repeat(2000)),
        format!("{}true", "true ? true : ".repeat(280)),
        format!("claims{}", ".a".repeat(2000)),
        format!("claims{}", "[0]".repeat(1300)),
    ];
    let outcome = move || {
        for chain in chains {
            if let Ok(expression) = Expression::compile(&chain, &[]) {
                let _ = expression.evaluate(&exchange(&[("a", "b")]));
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(outcome).unwrap();
    thread.join().unwrap();
}

/// Fragments of conditions, valid and invalid.
const WORDS: &[&str] = &[
    "claims",
    "claim_values",
    "scopes",
    "path",
    "method",
    "headers",
    ".a",
    ".q",
    "['a']",
    "[0]",
    "[-1]",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "in",
    "?",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'a'",
    "7",
    "7.5",
    "9223372036854775807",
    "-9223372036854775808",
    "1u",
    "b'x'",
    "true",
    "null",
    "has(claims.a)",
    "size(",
    "int(",
    "uint(",
    "double(",
    "string(",
    "bytes(",
    "type(",
    ".matches('(')",
    ".matches('a+')",
    ".startsWith('b')",
    ".contains('')",
    ".size()",
    ".exists(x, x == 'b')",
    ".all(x, x)",
    ".map(x, x + x)",
    ".filter(x, true)",
    "{'a': 1}",
    "{'a': 1, 'a': 2}",
    "[1, 'a']",
    "optional",
    "dyn(",
    "cel",
    "a{b: 1}",
    ".exists_one(x, x)",
];

proptest! {
    #[test]
    fn any_text_is_compiled_or_rejected(source in "[a-z0-9 .()\\[\\]{}'\"!=<>&|?:+*/%,-]{0,40}") {
        if let Ok(expression) = Expression::compile(&source, &names()) {
            let _ = expression.evaluate(&exchange(&[("a", "b")]));
        }
    }

    #[test]
    fn any_words_of_the_language_are_compiled_or_rejected(words in proptest::collection::vec(0..WORDS.len(), 0..14)) {
        let source: String = words.into_iter().map(|at| WORDS[at]).collect::<Vec<_>>().join(" ");
        if let Ok(expression) = Expression::compile(&source, &names()) {
            let _ = expression.evaluate(&exchange(&[("a", "b"), ("a", "7")]));
        }
    }

    #[test]
    fn any_unicode_text_is_compiled_or_rejected(source in "\\PC{0,30}") {
        let _ = Expression::compile(&source, &names());
    }
}
