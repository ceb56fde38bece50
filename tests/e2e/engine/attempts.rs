//! Failing backends: retries, circuit breakers, timeouts.

use super::{document, over, to};
use crate::support::client::{RESPONSE_TIMEOUT, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen, read};
use crate::support::ports::Closed;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A route that balances these endpoints round robin.
fn balanced(ports: &[u16], settings: &Value) -> Value {
    let endpoints: Vec<Value> = ports.iter().map(|p| json!({ "Host": "127.0.0.1", "Port": p })).collect();
    let route =
        json!({ "DownstreamHostAndPorts": endpoints, "LoadBalancerOptions": { "Type": "RoundRobin" } });
    json!({ "Routes": [over(over(to(1), &route), settings)], "AccessLog": true })
}

/// Retries with a short backoff.
fn retry(more: &Value) -> Value {
    json!({ "RetryOptions": over(json!({ "MinBackoff": "1ms", "MaxBackoff": "5ms" }), more) })
}

fn start(document: &Value) -> Gateway {
    Gateway::with(document)
}

/// A backend that responds with this status to the first `bad` requests.
fn fails_first(bad: usize, status: u16) -> Origin {
    let calls = AtomicUsize::new(0);
    Origin::with(move |seen: &Seen| {
        let status = if calls.fetch_add(1, Ordering::SeqCst) < bad { status } else { 200 };
        StubResponse::new(status, &seen.body)
    })
}

#[test]
fn a_listed_status_is_retried_on_another_endpoint() {
    let (bad, good) = (Origin::with(|_| StubResponse::new(503, "no")), Origin::hello());
    let gateway = start(&balanced(&[bad.port(), good.port()], &retry(&json!({}))));
    for _ in 0..6 {
        assert_eq!(gateway.get("/").text(), "hello");
    }
    assert!(bad.calls() >= 2 && good.calls() == 6, "{} {}", bad.calls(), good.calls());
    let line = gateway.logged(|line| line["attempts"] == json!(2)).expect("a line with two attempts");
    assert_eq!(line["status"], json!(200));
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_retries_total{reason=\"status\",route=\"/{everything}\"}"), "{metrics}");
}

#[test]
fn a_refused_connection_counts_as_an_attempt() {
    let (closed, good) = (Closed::reserve(), Origin::hello());
    let gateway = start(&balanced(&[closed.port, good.port()], &retry(&json!({}))));
    (0..6).for_each(|_| assert_eq!(gateway.get("/").status, 200));
}

#[test]
fn the_last_response_is_relayed_when_attempts_are_exhausted() {
    let origin = Origin::with(|_| StubResponse::new(503, "still no"));
    let gateway = start(&document(origin.port(), &retry(&json!({ "Attempts": 3 })), &json!({})));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str(), origin.calls()), (503, "still no", 3));
}

#[test]
fn a_post_is_retried_only_when_listed_and_with_its_whole_body() {
    let once = fails_first(1, 502);
    let gateway = start(&document(once.port(), &retry(&json!({})), &json!({})));
    assert_eq!(gateway.ask(&Request::new("POST", "/").body("x")).status, 502);
    assert_eq!(once.calls(), 1);
    let twice = fails_first(2, 502);
    let gateway = start(&document(twice.port(), &retry(&json!({ "Methods": ["post"] })), &json!({})));
    let body = "0123456789".repeat(3000);
    for request in [Request::new("POST", "/").body(&body), Request::new("POST", "/").chunks(&["abc", "defg"])]
    {
        let answer = gateway.ask(&request);
        assert_eq!(answer.status, 200);
    }
    let bodies: Vec<_> = twice.seen().iter().map(|seen| seen.length).collect();
    assert_eq!(bodies, [30_000, 30_000, 30_000, 7]);
}

#[test]
fn a_body_above_the_replay_limit_is_sent_once() {
    let origin = fails_first(1, 503);
    let options = retry(&json!({ "Methods": ["PUT"], "MaxReplaySize": "1KiB" }));
    let gateway = start(&document(origin.port(), &options, &json!({})));
    let long = Request::new("PUT", "/").chunks(&[&"a".repeat(900), &"b".repeat(900), &"c".repeat(900)]);
    assert_eq!(gateway.ask(&long).status, 503);
    assert_eq!((origin.calls(), origin.last().length), (1, 2700));
    assert_eq!(gateway.ask(&long).text().len(), 2700);
}

#[test]
fn a_per_try_timeout_starts_another_attempt() {
    let slow = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_secs(2)));
    let good = Origin::hello();
    let settings = over(retry(&json!({ "PerTryTimeout": "200ms" })), &json!({ "Timeout": "3s" }));
    let gateway = start(&balanced(&[slow.port(), good.port()], &settings));
    for _ in 0..4 {
        let start = Instant::now();
        assert_eq!(gateway.get("/").text(), "hello");
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    }
}

#[test]
fn the_route_timeout_covers_all_attempts() {
    let slow = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_secs(5)));
    let settings =
        over(retry(&json!({ "Attempts": 9, "PerTryTimeout": "300ms" })), &json!({ "Timeout": "1s" }));
    let gateway = start(&document(slow.port(), &settings, &json!({})));
    let start = Instant::now();
    let answer = gateway.get("/");
    let took = start.elapsed();
    assert_eq!((answer.status, &answer.json()["code"]), (504, &json!("backend.timeout")));
    assert!(took >= Duration::from_millis(850) && took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn a_retry_after_beyond_the_timeout_prevents_a_retry() {
    let origin = Origin::with(|_| StubResponse::new(503, "later").header("Retry-After", "30"));
    let gateway = start(&document(
        origin.port(),
        &retry(&json!({})),
        &json!({ "GlobalConfiguration": { "Timeout": 5 } }),
    ));
    let start = Instant::now();
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.header("retry-after"), origin.calls()), (503, Some("30"), 1));
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_retry_budget_limits_the_added_load() {
    let origin = Origin::with(|_| StubResponse::new(503, ""));
    let options = retry(&json!({ "BudgetRatio": 0, "BudgetMinimum": 3 }));
    let gateway = start(&document(origin.port(), &options, &json!({})));
    (0..5).for_each(|_| assert_eq!(gateway.get("/").status, 503));
    assert_eq!(origin.calls(), 8);
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_retry_budget_exhausted_total{route=\"/{everything}\"} 4"), "{metrics}");
}

#[test]
fn a_failed_grpc_call_is_retried() {
    let calls = AtomicUsize::new(0);
    let origin = Origin::with(move |_| {
        let status = if calls.fetch_add(1, Ordering::SeqCst) == 0 { "14" } else { "0" };
        StubResponse::new(200, "").header("grpc-status", status)
    });
    let options = retry(&json!({ "OnGrpcStatus": ["UNAVAILABLE"], "Methods": ["POST"] }));
    let gateway = start(&document(origin.port(), &options, &json!({})));
    let answer = gateway.ask(&Request::new("POST", "/s/m").body("x"));
    assert_eq!((answer.header("grpc-status"), origin.calls()), (Some("0"), 2));
}

#[test]
fn the_backend_gets_the_remaining_time() {
    let origin = fails_first(1, 503);
    let settings = over(
        retry(&json!({ "MinBackoff": "60ms", "MaxBackoff": "60ms" })),
        &json!({ "Timeout": "2s", "DeadlineHeader": "X-Left" }),
    );
    let gateway = start(&document(origin.port(), &settings, &json!({})));
    assert_eq!(gateway.ask(&Request::get("/").header("X-Left", "forged")).status, 200);
    let left: Vec<u64> =
        origin.seen().iter().map(|s| s.header("x-left").expect("told").parse().expect("ms")).collect();
    assert!(left.len() == 2 && left[0] <= 2000 && left[0] > 500 && left[1] <= left[0], "{left:?}");
    let gateway = start(&document(
        origin.port(),
        &json!({ "Timeout": "2s", "DeadlineHeader": "grpc-timeout" }),
        &json!({}),
    ));
    assert_eq!(gateway.get("/").status, 200);
    assert!(origin.last().header("grpc-timeout").is_some_and(|value| value.ends_with('m')));
    for (sent, suffix) in [("100m", "100m"), ("9S", "m"), ("soon", "m")] {
        assert_eq!(gateway.ask(&Request::get("/").header("grpc-timeout", sent)).status, 200);
        let seen = origin.last();
        let header = seen.header("grpc-timeout").expect("a deadline");
        assert!(header.ends_with(suffix) && header != sent || sent == suffix, "{sent}: {header}");
    }
}

#[test]
fn a_client_disconnect_ends_the_retries() {
    let origin = Origin::with(|_| StubResponse::new(503, "").header("Retry-After", "2"));
    let gateway = start(&document(origin.port(), &retry(&json!({})), &json!({ "AccessLog": true })));
    let mut client = gateway.connect();
    client.send(Request::get("/gone").bytes("gw"));
    std::thread::sleep(Duration::from_millis(300));
    drop(client);
    let line = gateway.logged(|line| line["path"] == json!("/gone")).expect("a line");
    assert_eq!((&line["status"], origin.calls()), (&json!(499), 1));
}

fn quality(more: &Value) -> Value {
    json!({ "QoSOptions": more })
}

#[test]
fn an_open_circuit_is_a_503_with_retry_after() {
    let origin = fails_first(2, 500);
    let options = quality(&json!({ "MinimumThroughput": 2, "BreakDuration": 700 }));
    let gateway = start(&document(origin.port(), &options, &json!({})));
    assert_eq!([gateway.get("/").status, gateway.get("/").status], [500, 500]);
    let refused = gateway.get("/");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("backend.circuit_open")));
    assert_eq!((refused.header("retry-after"), origin.calls()), (Some("1"), 2));
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_circuit_stays_open_across_a_reload() {
    let origin = Origin::with(|_| StubResponse::new(500, ""));
    let options = quality(&json!({ "MinimumThroughput": 1, "BreakDuration": 60_000 }));
    let document = |timeout: u32| {
        document(origin.port(), &options, &json!({ "GlobalConfiguration": { "Timeout": timeout } }))
    };
    let gateway = start(&document(20));
    assert_eq!([gateway.get("/").status, gateway.get("/").status], [500, 503]);
    gateway.write(&document(21).to_string());
    let applied =
        || gateway.admin("/metrics").text().contains("margay_config_reloads_total{outcome=\"applied\"} 1");
    assert!(crate::support::becomes_true(RESPONSE_TIMEOUT, applied));
    assert_eq!((gateway.get("/").status, origin.calls()), (503, 1));
}

#[test]
fn an_open_circuit_per_endpoint_excludes_it_from_selection() {
    let (bad, good) = (Origin::with(|_| StubResponse::new(500, "")), Origin::hello());
    let options = quality(&json!({ "MinimumThroughput": 2, "BreakDuration": 60_000, "Scope": "Endpoint" }));
    let gateway = Gateway::start(&Setup::json(&balanced(&[bad.port(), good.port()], &options)).threads(2));
    let statuses: Vec<_> = (0..12).map(|_| gateway.get("/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 2, "{statuses:?}");
    assert_eq!((bad.calls(), good.calls()), (2, 10));
}

#[test]
fn a_qos_timeout_is_a_504_and_counts_as_a_failure() {
    let slow = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_millis(1500)));
    let options = quality(&json!({ "Timeout": 150, "MinimumThroughput": 2, "BreakDuration": 60_000 }));
    let gateway = start(&document(slow.port(), &options, &json!({})));
    for _ in 0..2 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, &answer.json()["code"]), (504, &json!("backend.timeout")));
    }
    assert_eq!(gateway.get("/").json()["code"], json!("backend.circuit_open"));
}

#[test]
fn a_backend_that_closes_during_the_request_is_reported() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
    });
    let gateway = super::gateway(origin.port());
    let answer = gateway.ask(&Request::new("POST", "/").body(vec![b'x'; 8 << 20]));
    assert_eq!((answer.status, &answer.json()["code"]), (502, &json!("backend.send")));
    let silent = ScriptedBackend::start(|wire, _| {
        let _ = read(wire);
    });
    assert_eq!(super::gateway(silent.port()).get("/").json()["code"], json!("backend.reset"));
}
