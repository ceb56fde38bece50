use super::*;
use crate::pipeline::{
    error::ErrorCode,
    exchange::{Exchange, Peer},
    head::Head,
    identity::Identity,
    stage::{Stage, Step},
};
use proptest::prelude::*;
use std::{sync::Arc, time::Instant};

fn exchange(target: &str, claims: &[(&str, &str)]) -> Exchange {
    let address = ([127, 0, 0, 1], 1).into();
    let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    exchange.request = Head::request(b"GET", target.as_bytes());
    exchange.routing.path_len = target.find('?').unwrap_or(target.len());
    let mut user = Identity::new("jwt".into());
    claims.iter().for_each(|(name, value)| user.add(name, value));
    exchange.client.user = Some(Arc::new(user));
    exchange
}

fn entries(list: &[(&str, &str)]) -> Vec<ClaimMapping> {
    list.iter().map(|(name, text)| ((*name).into(), ClaimSource::parse(text).unwrap())).collect()
}

fn failed(stage: &dyn Stage, exchange: &mut Exchange) -> Option<ErrorCode> {
    match stage.on_request(exchange) {
        Step::Next => None,
        Step::Fail(cause) => Some(cause.code),
        _ => panic!("neither passed nor failed"),
    }
}

#[test]
fn expressions_are_parsed_as_in_ocelot() {
    let part = |claim: &str, index, delimiters: &str| {
        Some(ClaimSource {
            claim: claim.into(),
            part: Some(ClaimPart { index, delimiters: delimiters.into() }),
        })
    };
    let whole = |claim: &str| Some(ClaimSource { claim: claim.into(), part: None });
    for (text, expected) in [
        ("Claims[sub] > value", whole("sub")),
        ("Claims[sub] > value[1] > |", part("sub", 1, "|")),
        ("Claims[tenant]>value[1]>;", part("tenant", 1, ";")),
        ("Claims[a:b/c] > value", whole("a:b/c")),
        ("Claims[pipe] > VALUE", whole("pipe")),
        ("Claims[sub] > value[0] >  ", whole("sub")),
        ("Claims[sub] > value[0]", whole("sub")),
        ("Claims[sub] > value[-1] > |", part("sub", -1, "|")),
    ] {
        assert_eq!(ClaimSource::parse(text), expected, "{text}");
    }
    for text in [
        "",
        "nonsense",
        "Claims[sub]",
        "claims[sub] > value",
        "Claims[role] > value[a] > |",
        "Claims] > value",
        "> >",
    ] {
        assert_eq!(ClaimSource::parse(text), None, "{text}");
    }
}

fn value(text: &str, claims: &[(&str, &str)]) -> Option<String> {
    let mut out = b"before ".to_vec();
    let result =
        ClaimSource::parse(text).unwrap().write(exchange("/", claims).client.user.as_deref(), &mut out);
    result.ok().map(|()| String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned())
}

#[test]
fn a_value_has_all_claims_of_the_type_or_a_part() {
    let claims = [("sub", "a|b||c"), ("role", "x"), ("role", "y"), ("empty", "")];
    let is = |text, expected: Option<&str>| assert_eq!(value(text, &claims).as_deref(), expected, "{text}");
    is("Claims[sub] > value", Some("a|b||c"));
    is("Claims[sub] > value[1] > |", Some("b"));
    is("Claims[sub] > value[2] > ||", Some(""));
    is("Claims[sub] > value[3] > |", Some("c"));
    is("Claims[sub] > value[4] > |", None);
    is("Claims[sub] > value[-1] > |", None);
    is("Claims[role] > value", Some("x,y"));
    is("Claims[role] > value[1] > ,", Some("y"));
    is("Claims[empty] > value", Some(""));
    is("Claims[missing] > value", None);
    is("Claims[Role] > value", None);
}

#[test]
fn claims_are_added_to_a_copy_in_order() {
    let mut exchange = exchange("/", &[("role", "user"), ("sub", "u|1")]);
    let before = exchange.client.user.clone().unwrap();
    let list = [("role", "Claims[sub] > value[0] > |"), ("copy", "Claims[role] > value")];
    assert_eq!(failed(&AddClaims::new(entries(&list)), &mut exchange), None);
    let user = exchange.client.user.unwrap();
    assert_eq!((user.claim_value("role"), user.claim_value("copy")), (Some("u"), Some("user")));
    assert_eq!(before.claim_value("copy"), None);
}

#[test]
fn headers_replace_those_of_the_client() {
    let mut exchange = exchange("/", &[("sub", " u1 "), ("bad", "a\r\nX: y")]);
    exchange.request.append(b"x-user", b"forged");
    exchange.request.append(b"X-User", b"forged");
    assert_eq!(failed(&AddHeaders::new(entries(&[("X-User", "Claims[sub] > value")])), &mut exchange), None);
    assert_eq!(exchange.request.get_all(b"x-user").collect::<Vec<_>>(), [b"u1"]);
    let bad = AddHeaders::new(entries(&[("X-Bad", "Claims[bad] > value")]));
    assert_eq!(failed(&bad, &mut exchange), Some(ErrorCode::AccessClaim));
}

fn query(target: &str, ocelot: bool, list: &[(&str, &str)]) -> String {
    let mut exchange = exchange(target, &[("sub", "u1"), ("odd", "q&r=s +é#%/")]);
    assert_eq!(failed(&AddQueries::new(entries(list), ocelot), &mut exchange), None);
    String::from_utf8(exchange.routing.query).unwrap()
}

#[test]
fn parameters_are_set_in_place_or_appended_by_name() {
    let list = [("who", "Claims[sub] > value"), ("a", "Claims[sub] > value")];
    assert_eq!(query("/", false, &list), "?a=u1&who=u1");
    assert_eq!(query("/?", false, &list), "?a=u1&who=u1");
    assert_eq!(query("/?x=%26&who=me&y&wh%6f=z", false, &list), "?x=%26&who=u1&y&a=u1");
    assert_eq!(query("/?flag&x=a+b%2Fc%26", true, &list), "?flag=&x=a%20b/c%26&a=u1&who=u1");
    assert_eq!(query("/", false, &[("x y=", "Claims[odd] > value")]), "?x%20y%3D=q%26r=s%20%2B%C3%A9%23%25/");
}

#[test]
fn path_values_are_overridden_and_a_missing_placeholder_is_a_404() {
    let mut exchange = exchange("/t/1", &[("sub", "u/1")]);
    let list = entries(&[("who", "Claims[sub] > value")]);
    assert_eq!(failed(&ChangePath::new(list.clone(), "/d/{who}"), &mut exchange), None);
    assert_eq!(exchange.routing.path_params.get_override("who").unwrap().bytes, b"u/1");
    assert_eq!(failed(&ChangePath::new(list, "/d"), &mut exchange), Some(ErrorCode::RouteUnsupported));
    let missing = entries(&[("who", "Claims[none] > value")]);
    assert_eq!(failed(&ChangePath::new(missing, "/d"), &mut exchange), Some(ErrorCode::AccessClaim));
}

#[test]
fn an_unauthenticated_request_has_no_claims() {
    let list = || entries(&[("X", "Claims[sub] > value")]);
    let stages: [Box<dyn Stage>; 4] = [
        Box::new(AddClaims::new(list())),
        Box::new(AddHeaders::new(list())),
        Box::new(AddQueries::new(list(), false)),
        Box::new(ChangePath::new(list(), "/{X}")),
    ];
    for stage in stages {
        let mut exchange = exchange("/", &[("sub", "u1")]);
        exchange.client.user = None;
        assert_eq!(failed(&*stage, &mut exchange), Some(ErrorCode::AccessClaim));
    }
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_not(text in "\\PC{0,30}") {
        let _ = ClaimSource::parse(&text);
    }

    #[test]
    fn an_expression_selects_the_part(
        claim in "[a-z:/.]{1,8}", index in 0i32..6, delimiter in "[|;, é]{0,2}", value_text in "[ab|;,é ]{0,12}"
    ) {
        let text = format!("Claims[{claim}] > value[{index}] > {delimiter}");
        let trimmed = delimiter.trim();
        let expected = match trimmed {
            "" => Some(value_text.clone()),
            _ => value_text.split(|c| trimmed.contains(c)).nth(index as usize).map(str::to_owned),
        };
        prop_assert_eq!(value(&text, &[(&claim, &value_text)]), expected);
    }
}
