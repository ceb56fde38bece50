use super::*;
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Peer,
    response::Response,
};
use proptest::prelude::*;
use std::time::Instant;

fn edit(name: &str, action: Action) -> HeaderEdit {
    HeaderEdit { name: name.into(), action }
}

fn replace(find: &str, with: &str, first: Option<OcelotFirstItem>) -> Action {
    Action::Replace {
        pattern: HeaderValueTemplate::literal(find),
        with: HeaderValueTemplate::literal(with),
        first,
    }
}

fn exchange(fields: &[(&str, &str)]) -> Exchange {
    let here = ([127, 0, 0, 1], 1).into();
    let mut exchange = Exchange::new(Peer::new(here, here, false), 0, Instant::now());
    exchange.request = Head::request(b"GET", b"/a/42?x=1");
    exchange.routing.path_len = 5;
    exchange.routing.path_params.push_range(3, 5);
    fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
    exchange
}

fn lines(head: &Head) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    head.fields().map(|(_, name, value)| format!("{}: {}", text(name), text(value))).collect()
}

fn sent(changes: Vec<HeaderEdit>, fields: &[(&str, &str)]) -> Vec<String> {
    let mut exchange = exchange(fields);
    let stage = Headers(HeaderEdits { request: changes, response: Vec::new() });
    assert!(matches!(stage.on_request(&mut exchange), Step::Next));
    lines(&exchange.request)
}

fn response_headers(changes: Vec<HeaderEdit>, fields: &[(&str, &str)]) -> Vec<String> {
    let mut exchange = exchange(&[("Host", "gw.test")]);
    exchange.record.endpoint = Some("10.0.0.1:80".into());
    exchange.request.rewrite_target(b"/rewritten");
    let mut head = Head::response(200, b"OK");
    fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
    let mut outcome = Ok(Response { head, ..Response::default() });
    Headers(HeaderEdits { request: Vec::new(), response: changes }).on_response(&mut exchange, &mut outcome);
    lines(&outcome.unwrap().head)
}

#[test]
fn request_headers_are_set_added_replaced_and_removed() {
    let fields = [("X-A", "1"), ("x-a", "2"), ("X-B", "aba")];
    assert_eq!(
        sent(vec![edit("x-A", Action::Set(HeaderValueTemplate::literal("3")))], &fields),
        ["X-B: aba", "x-A: 3"]
    );
    assert_eq!(sent(vec![edit("X-A", Action::Remove)], &fields), ["X-B: aba"]);
    let appended = sent(vec![edit("X-B", Action::Append(HeaderValueTemplate::literal("c, d")))], &fields);
    assert_eq!(appended, ["X-A: 1", "x-a: 2", "X-B: aba", "X-B: c, d"]);
    let sent_headers = sent(vec![edit("X-B", Action::Default(HeaderValueTemplate::literal("c")))], &fields);
    assert_eq!(sent_headers.len(), 3);
    assert_eq!(sent(vec![edit("X-B", replace("a", "A", None))], &fields)[2], "X-B: AbA");
}

#[test]
fn ocelot_retains_only_the_first_line() {
    let fields = [("X-A", "one"), ("x-a", "two")];
    let any = edit("x-A", replace("o", "0", Some(OcelotFirstItem::AnyCase)));
    assert_eq!(sent(vec![any], &fields), ["x-A: 0ne"]);
    let exact = edit("x-a", replace("o", "0", Some(OcelotFirstItem::ExactName)));
    assert_eq!(response_headers(vec![exact.clone()], &fields), ["x-a: tw0"]);
    assert_eq!(response_headers(vec![exact], &[("X-A", "one")]), ["X-A: one"]);
    let vary = edit("Vary", replace("c", "k", Some(OcelotFirstItem::ExactName)));
    assert_eq!(response_headers(vec![vary], &[("Vary", "Accept, Origin")]), ["Vary: Akkept"]);
}

#[test]
fn placeholders_have_values_of_the_exchange() {
    let text = HeaderValueTemplate(vec![
        Segment::ClientAddress,
        Segment::Literal(" ".into()),
        Segment::Host,
        Segment::Literal("/".into()),
        Segment::Value { index: 0, name: "id".into() },
    ]);
    let made = response_headers(vec![edit("X", Action::Set(text))], &[]);
    assert_eq!(made, ["X: 127.0.0.1 gw.test/42"]);
    let backend = Action::Replace {
        pattern: HeaderValueTemplate(vec![Segment::BackendUrl]),
        with: HeaderValueTemplate::literal("https://public.example/"),
        first: None,
    };
    let moved = response_headers(vec![edit("Location", backend)], &[("Location", "http://10.0.0.1/a")]);
    assert_eq!(moved, ["Location: https://public.example/a"]);
}

#[test]
fn an_unknown_value_removes_the_header() {
    let unknown = HeaderValueTemplate(vec![Segment::Literal("a".into()), Segment::TraceId]);
    assert_eq!(sent(vec![edit("X", Action::Set(unknown.clone()))], &[("X", "1")]), [""; 0]);
    assert_eq!(response_headers(vec![edit("X", Action::Default(unknown))], &[]), [""; 0]);
}

#[test]
fn errors_of_the_gateway_are_not_changed() {
    let mut exchange = exchange(&[]);
    let mut outcome = Err(GatewayError::new(ErrorCode::BackendNoEndpoint, "x"));
    let response = vec![edit("X", Action::Set(HeaderValueTemplate::literal("1")))];
    Headers(HeaderEdits { request: Vec::new(), response }).on_response(&mut exchange, &mut outcome);
    assert!(outcome.is_err_and(|cause| cause.extra.is_none()));
}

proptest! {
    #[test]
    fn replacement_equals_str_replace(
        value in "[abc]{0,12}", find in "[ab]{1,3}", with in "[abcd]{0,3}"
    ) {
        let expected = format!("X: {}", value.replace(&find, &with));
        prop_assert_eq!(sent(vec![edit("X", replace(&find, &with, None))], &[("X", &value)]), [expected.clone()]);
        let first = Some(OcelotFirstItem::AnyCase);
        prop_assert_eq!(sent(vec![edit("X", replace(&find, &with, first))], &[("X", &value)]), [expected]);
    }
}
