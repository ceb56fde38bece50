//! A failure is charged to the peer that causes it: a stalled client affects neither circuit breakers nor endpoints.

use super::{document, over};
use crate::support::client::{Client, Request};
use crate::support::gateway::Gateway;
use crate::support::origin::{Origin, Seen};
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A gateway whose circuit breaker and outlier detection react to the first failure.
fn sensitive(port: u16, more: &Value) -> Gateway {
    let settings = over(
        json!({
            "Timeout": "1500ms",
            "QoSOptions": { "MinimumThroughput": 1, "BreakDuration": 60_000 },
            "HealthCheckOptions": { "Passive": { "ConsecutiveFailures": 1 } },
        }),
        more,
    );
    Gateway::with(&document(port, &settings, &json!({})))
}

/// An upload that stops after `sent`.
fn stalled(gateway: &Gateway, extra: &str, sent: &str) -> Client {
    let mut client = gateway.connect();
    client
        .send(format!("POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n{extra}\r\n{sent}").as_bytes());
    client
}

#[test]
fn a_stalled_upload_is_408_and_affects_neither_circuit_nor_endpoint() {
    let origin = Origin::with(|seen: &Seen| StubResponse::new(200, &seen.method));
    let gateway = sensitive(origin.port(), &json!({}));
    let mut clients = [
        stalled(&gateway, "", "x"),
        stalled(&gateway, "", ""),
        stalled(&gateway, "Expect: 100-continue\r\n", ""),
    ];
    for client in &mut clients {
        let answer = client.answer("POST").expect("a response");
        assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request.timeout")));
    }
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn the_wait_for_an_upload_is_part_of_the_duration_and_not_of_the_time_in_the_gateway() {
    let origin = Origin::hello();
    let limited = json!({ "HttpHandlerOptions": { "MaxConnectionsPerServer": 2 } });
    let gateway = Gateway::with(&document(origin.port(), &limited, &json!({ "AccessLog": true })));
    let mut client = stalled(&gateway, "", "x");
    std::thread::sleep(Duration::from_millis(300));
    client.send([b'x'; 99]);
    assert_eq!(client.answer("POST").expect("a response").status, 200);
    let record = gateway.logged(|record| record["method"] == "POST").expect("a record");
    let ms = |name: &str| record[name].as_f64().expect("a number");
    assert!(ms("duration_ms") >= 290.0 && ms("gateway_duration_ms") < 200.0, "{record}");
}

#[test]
fn a_backend_that_gives_up_on_a_stalled_upload_is_not_at_fault() {
    let origin = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a head");
        if head.start.starts_with("GET") {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            return;
        }
        std::thread::sleep(Duration::from_millis(1200));
    });
    let gateway = sensitive(origin.port(), &json!({ "Timeout": "10s" }));
    let answer = stalled(&gateway, "", "x").answer("POST").expect("a response");
    assert_eq!((answer.status, &answer.json()["code"]), (408, &json!("request.timeout")));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_slow_upload_does_not_keep_a_half_open_circuit_from_its_next_trial() {
    let healthy = std::sync::Arc::new(AtomicBool::new(false));
    let state = healthy.clone();
    let origin = Origin::with(move |_: &Seen| {
        StubResponse::new(if state.load(Ordering::SeqCst) { 200 } else { 503 }, "x")
    });
    let settings =
        json!({ "QoSOptions": { "MinimumThroughput": 1, "BreakDuration": 500 }, "Timeout": "20s" });
    let gateway = Gateway::with(&document(origin.port(), &settings, &json!({})));
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(gateway.get("/").json()["code"], json!("backend.circuit_open"));
    healthy.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(600));
    let _trial = stalled(&gateway, "", "x");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(gateway.ask(&Request::get("/")).status, 200, "the next request is a trial too");
    assert_eq!(gateway.get("/").status, 200, "its result closed the circuit");
}

/// A gateway with a cache in front of a backend that counts its calls.
fn cached(origin: &ScriptedBackend, options: &Value) -> Gateway {
    let options = over(json!({ "TtlSeconds": 60 }), options);
    Gateway::with(&document(origin.port(), &json!({ "CacheOptions": options }), &json!({})))
}

/// A request with the cache key of those that a test sends by hand.
fn same(target: &str) -> Request {
    Request::get(target).header("Host", "gw")
}

#[test]
fn a_slow_reader_of_a_chunked_response_does_not_delay_others_that_wait_for_it() {
    const CHUNK: usize = 64 * 1024;
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [format!("{CHUNK:x}\r\n").as_bytes(), &[b'x'; CHUNK], b"\r\n"].concat();
        for _ in 0..128 {
            wire.send(&chunk);
        }
        wire.send(b"0\r\n\r\n");
    });
    let gateway = cached(&origin, &json!({}));
    let mut slow = gateway.connect();
    slow.send(b"GET /big HTTP/1.1\r\nHost: gw\r\n\r\n");
    std::thread::sleep(Duration::from_millis(300));
    let start = std::time::Instant::now();
    assert_eq!(gateway.ask(&same("/big")).length, 128 * CHUNK as u64);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(origin.connections(), 1, "the fill was completed without its client");
    assert_eq!(slow.answer("GET").expect("the rest").length, 128 * CHUNK as u64);
}

#[test]
fn a_request_waits_for_another_one_only_until_the_collapse_timeout() {
    let origin = ScriptedBackend::start(|wire, number| {
        let _ = wire.head();
        if number == 0 {
            std::thread::sleep(Duration::from_secs(5));
        }
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = cached(&origin, &json!({ "CollapseTimeout": "200ms" }));
    let mut first = gateway.connect();
    first.send(b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    let start = std::time::Instant::now();
    assert_eq!(gateway.ask(&same("/x")).text(), "ok");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_request_with_a_slow_body_does_not_lead_a_cache_fill() {
    let origin = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a head");
        if !head.has("content-length") {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let _ = wire.drain();
    });
    let gateway = cached(&origin, &json!({}));
    let mut slow = gateway.connect();
    slow.send(b"GET /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000\r\n\r\nx");
    std::thread::sleep(Duration::from_millis(100));
    let start = std::time::Instant::now();
    assert_eq!(gateway.ask(&same("/x")).text(), "ok");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
