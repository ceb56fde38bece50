//! The stage as a whole: admission, response headers and refunds.

use super::{fixed_window::FixedWindow, stage::stages, *};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::{Exchange, Peer},
    head::Head,
    identity::Identity,
    response::{Response, RouteResult},
    stage::{Stage, Step},
};
use crate::stages::partition_key::{KeyPart, format_list};
use bytes::Bytes;
use std::time::{Duration, Instant};

const S: u64 = 1_000_000_000;

fn limit(limit: u64, parts: Vec<KeyPart>) -> Limit {
    Limit {
        name: format!("{limit}/1s"),
        rule: format!("{limit}/1s/w0ms"),
        counter: format!("{limit}|{}", format_list(&parts)),
        algorithm: Algorithm::Window(FixedWindow { limit, period_ns: S, penalty_ns: 0 }),
        scope: Scope::Node,
        policy: (limit, 1),
        parts,
        exempt_clients: vec!["vip".into()],
        status: 429,
        message: "no more".into(),
        on_missing_client_id: "who?".into(),
    }
}

fn client() -> KeyPart {
    KeyPart::ClientId("Oc-Client".into())
}

struct Bench {
    state: RateLimitState,
    stages: Vec<RateLimit>,
    began: Instant,
}

impl Bench {
    fn new(limits: Vec<Limit>, fields: Fields) -> Bench {
        let (state, ocelot) = (RateLimitState::default(), fields != Fields::Both);
        let stages = stages(&RateLimitConfig { limits, fields, ocelot }, &state, None);
        Bench { state, stages, began: Instant::now() }
    }

    fn exchange(&self, client: &str, after: u64) -> Exchange {
        let from = "10.0.0.1:1".parse().expect("address");
        let mut exchange =
            Exchange::new(Peer::new(from, from, false), 0, self.began + Duration::from_nanos(after));
        exchange.request = Head::request(b"GET", b"/");
        if !client.is_empty() {
            exchange.request.append(b"Oc-Client", client.as_bytes());
        }
        exchange
    }

    /// Runs request and response through all stages.
    fn run(&self, exchange: &mut Exchange) -> RouteResult {
        let mut outcome = Ok(Response::local(200, "", Bytes::new()));
        let mut ran = 0;
        for stage in &self.stages {
            ran += 1;
            if let Step::Fail(cause) = stage.on_request(exchange) {
                outcome = Err(cause);
                break;
            }
        }
        self.stages[..ran].iter().rev().for_each(|stage| stage.on_response(exchange, &mut outcome));
        outcome
    }

    fn run_as(&self, client: &str, after: u64) -> RouteResult {
        self.run(&mut self.exchange(client, after))
    }
}

fn field(outcome: &RouteResult, name: &str) -> Option<String> {
    match outcome {
        Ok(response) => response.head.get(name.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned()),
        Err(cause) => {
            let all = cause.extra.iter().flat_map(|extra| &extra.headers);
            all.clone().find(|(n, _)| n == name).map(|(_, value)| value.clone())
        }
    }
}

fn code(outcome: &RouteResult) -> Option<ErrorCode> {
    outcome.as_ref().err().map(|cause| cause.code)
}

#[test]
fn an_admitted_request_has_ocelots_limit_remaining_and_reset_fields() {
    let bench = Bench::new(vec![limit(2, vec![client(), KeyPart::Route])], Fields::Ocelot);
    let response = bench.run_as("a", 0);
    assert_eq!(field(&response, "X-RateLimit-Limit").as_deref(), Some("2"));
    assert_eq!(field(&response, "X-RateLimit-Remaining").as_deref(), Some("1"));
    let reset = field(&response, "X-RateLimit-Reset").expect("a time");
    assert!(reset.len() == 28 && reset.ends_with('Z') && reset.as_bytes()[10] == b'T', "{reset}");
    assert_eq!(field(&response, "RateLimit"), None);
}

#[test]
fn a_rejection_has_the_message_and_retry_after_but_no_limit_fields() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::Ocelot);
    bench.run_as("a", 0).expect("admitted");
    let refused = bench.run_as("a", S / 4);
    assert_eq!(field(&refused, "Retry-After").as_deref(), Some("0.75"));
    assert_eq!(field(&refused, "X-RateLimit-Limit"), None);
    let cause = refused.expect_err("refused");
    assert_eq!((cause.code, cause.status(true)), (ErrorCode::RateLimitExceeded, 429));
    assert_eq!(cause.extra.and_then(|extra| extra.plain_body).as_deref(), Some("no more"));
}

#[test]
fn a_request_without_a_client_id_is_rejected_with_503_and_retry_after_minus_one() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::Ocelot);
    let refused = bench.run_as("", 0);
    assert_eq!(field(&refused, "Retry-After").as_deref(), Some("-1"));
    assert_eq!(refused.expect_err("refused").status(true), 503);
    let silent = Bench::new(vec![limit(1, vec![client()])], Fields::None);
    assert_eq!(field(&silent.run_as("", 0), "Retry-After"), None);
}

#[test]
fn an_exempt_client_passes_without_fields_and_its_id_is_case_sensitive() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::Ocelot);
    for _ in 0..3 {
        assert_eq!(field(&bench.run_as("vip", 0), "X-RateLimit-Limit"), None);
    }
    assert!(bench.run_as("VIP", 0).is_ok());
    assert_eq!(code(&bench.run_as("VIP", 0)), Some(ErrorCode::RateLimitExceeded));
}

#[test]
fn disabled_fields_are_not_sent() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::None);
    assert_eq!(field(&bench.run_as("a", 0), "X-RateLimit-Limit"), None);
    assert_eq!(field(&bench.run_as("a", 0), "Retry-After"), None);
}

#[test]
fn a_rejection_by_a_later_stage_has_the_limit_fields_too() {
    let bench = Bench::new(vec![limit(2, vec![client()])], Fields::Ocelot);
    let mut exchange = bench.exchange("a", 0);
    assert!(matches!(bench.stages[0].on_request(&mut exchange), Step::Next));
    let mut outcome = Err(GatewayError::new(ErrorCode::AccessIpDenied, "no"));
    bench.stages[0].on_response(&mut exchange, &mut outcome);
    assert_eq!(field(&outcome, "X-RateLimit-Remaining").as_deref(), Some("1"));
}

#[test]
fn limits_by_claim_are_a_separate_stage_and_the_tightest_limit_is_reported() {
    let bench = Bench::new(
        vec![limit(9, vec![KeyPart::Ip]), limit(2, vec![KeyPart::Claim("sub".into())])],
        Fields::Both,
    );
    assert_eq!(bench.stages.iter().map(|stage| stage.name()).collect::<Vec<_>>(), [NAME, NAME_BY_CLAIM]);
    let run_as = |sub: &str| {
        let mut exchange = bench.exchange("", 0);
        let mut user = Identity::new("jwt".into());
        user.add("sub", sub);
        exchange.client.user = Some(Arc::new(user));
        bench.run(&mut exchange)
    };
    let response = run_as("a").expect("admitted");
    let reported: Vec<_> = response.head.get_all(b"RateLimit").collect();
    assert_eq!(reported, [&b"\"2/1s\";r=1;t=1"[..], b"\"9/1s\";r=8;t=1"]);
    assert_eq!(response.head.get_all(b"X-RateLimit-Limit").collect::<Vec<_>>(), [b"2"]);
    assert!(run_as("a").is_ok());
    let refused = run_as("a");
    assert_eq!(code(&refused), Some(ErrorCode::RateLimitExceeded));
    assert_eq!(field(&refused, "RateLimit").as_deref(), Some("\"2/1s\";r=0;t=1"));
    assert!(run_as("b").is_ok());
}

#[test]
fn a_rejection_by_one_limit_refunds_the_others() {
    let bench = Bench::new(vec![limit(5, vec![KeyPart::Ip]), limit(1, vec![client()])], Fields::None);
    assert!(bench.run_as("a", 0).is_ok());
    for _ in 0..50 {
        assert_eq!(code(&bench.run_as("a", 1)), Some(ErrorCode::RateLimitExceeded));
    }
    assert!(["b", "c", "d", "e"].iter().all(|client| bench.run_as(client, 2).is_ok()));
    assert_eq!(code(&bench.run_as("f", 3)), Some(ErrorCode::RateLimitExceeded));
}

#[test]
fn a_dry_run_counts_nothing() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::None);
    let mut exchange = bench.exchange("a", 0);
    exchange.is_dry_run = true;
    assert!(bench.run(&mut exchange).is_ok() && bench.run(&mut exchange).is_ok());
    assert!(bench.state.counters.is_empty());
}

#[test]
fn a_new_plan_continues_the_counts_of_the_previous_one() {
    let bench = Bench::new(vec![limit(1, vec![client()])], Fields::None);
    assert!(bench.run_as("a", 0).is_ok());
    let settings =
        RateLimitConfig { limits: vec![limit(1, vec![client()])], fields: Fields::None, ocelot: false };
    let new = Bench { stages: stages(&settings, &bench.state, None), ..bench };
    assert_eq!(code(&new.run_as("a", 1)), Some(ErrorCode::RateLimitExceeded));
}
