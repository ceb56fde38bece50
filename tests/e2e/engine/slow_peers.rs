//! Slow clients: a backend connection is released when the backend is done, and a limited one is not taken before it is
//! needed; a client below the minimum rate is closed.

use super::{document, gateway, limited};
use crate::support::becomes_true;
use crate::support::client::{Client, Request};
use crate::support::gateway::Gateway;
use crate::support::h2::{END_HEADERS, END_STREAM, HEADERS, PING, Raw, SETTINGS, WINDOW_UPDATE, get_with};
use crate::support::origin::{Origin, Seen};
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::time::{Duration, Instant};

/// An HTTP/2 client that accepts no response body, with this number of requests.
fn zero_window(gateway: &Gateway, requests: u32) -> Raw {
    let mut raw = Raw::connect(gateway.address);
    // SETTINGS_INITIAL_WINDOW_SIZE.
    raw.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for number in 0..requests {
        raw.send(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &get_with(&[]));
    }
    raw
}

/// At most two connections to the backend, and no queue for them.
fn two_connections(port: u16) -> Gateway {
    let pool = json!({ "MaxConnectionsPerServer": 2, "ConnectionQueueTimeout": "500ms" });
    Gateway::with(&document(port, &json!({ "HttpHandlerOptions": pool }), &json!({})))
}

#[test]
fn responses_that_fit_release_their_connections_whatever_the_window_of_the_client() {
    let body = "x".repeat(60 * 1024);
    let origin = Origin::with(move |_: &Seen| StubResponse::new(200, &body));
    let gateway = two_connections(origin.port());
    let mut slow = zero_window(&gateway, 20);
    assert!(becomes_true(Duration::from_secs(5), || origin.calls() == 20), "{} calls", origin.calls());
    assert_eq!(gateway.get("/").status, 200);
    assert!(origin.connections() < 20, "they are reused: {}", origin.connections());
    // All of a response is still there once the window opens.
    let increment = (60 * 1024u32).to_be_bytes();
    slow.send(WINDOW_UPDATE, 0, 0, &increment);
    slow.send(WINDOW_UPDATE, 0, 1, &increment);
    let end = slow.ended(1).expect("an end");
    assert_eq!((end.stream, end.flags & END_STREAM), (1, END_STREAM));
}

#[test]
fn longer_responses_release_limited_connections_too() {
    let body = "x".repeat(700 * 1024);
    let origin = Origin::with(move |_: &Seen| StubResponse::new(200, &body));
    let gateway = two_connections(origin.port());
    let _slow = zero_window(&gateway, 10);
    assert!(becomes_true(Duration::from_secs(5), || origin.calls() == 10), "{} calls", origin.calls());
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn slow_uploads_do_not_take_limited_connections() {
    let origin = Origin::with(|seen: &Seen| StubResponse::new(200, seen.length.to_string()));
    let gateway = two_connections(origin.port());
    let slow: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 10000\r\n\r\nx");
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((gateway.get("/").status, origin.calls()), (200, 1));
    drop(slow);
    let long = "y".repeat(200_000);
    let answer = gateway.ask(&Request::new("POST", "/").body(&long));
    assert_eq!((answer.status, answer.text().as_str()), (200, "200000"));
    let expecting = Request::new("POST", "/").header("Expect", "100-continue").body("hello");
    assert_eq!(gateway.ask(&expecting).text(), "5");
}

#[test]
fn a_client_that_accepts_less_than_the_minimum_rate_is_closed() {
    let origin = Origin::with(|_: &Seen| StubResponse::new(200, "x".repeat(256 * 1024)));
    let rate = json!({ "MinResponseDataRate": { "GracePeriod": "500ms" } });
    let gateway = limited(origin.port(), &rate);
    let mut slow = zero_window(&gateway, 1);
    let start = Instant::now();
    assert!(slow.ended(1).is_some_and(|frame| frame.flags & END_STREAM == 0), "a reset");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let counted =
        || gateway.admin("/metrics").text().contains("margay_errors_total{code=\"client.read_timeout\"} 1");
    assert!(becomes_true(Duration::from_secs(5), counted));
}

#[test]
fn an_upload_below_the_minimum_rate_is_408_however_often_a_byte_arrives() {
    let origin = Origin::hello();
    let rate = json!({ "MinRequestBodyDataRate": { "GracePeriod": "500ms" } });
    let gateway = limited(origin.port(), &rate);
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000\r\n\r\n");
    for _ in 0..12 {
        client.send(b"x");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.answer("POST").map(|answer| answer.status), Ok(408));
}

#[test]
fn a_rate_of_zero_permits_any_pace() {
    let origin = Origin::with(|seen: &Seen| StubResponse::new(200, seen.length.to_string()));
    let rate = json!({ "MinRequestBodyDataRate": { "BytesPerSecond": 0, "GracePeriod": "100ms" } });
    let gateway = limited(origin.port(), &rate);
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\nx");
    std::thread::sleep(Duration::from_millis(700));
    client.send(b"x");
    assert_eq!(client.answer("POST").map(|answer| answer.text()), Ok("2".to_owned()));
}

#[test]
fn a_route_has_its_own_minimum_rates() {
    let origin = Origin::with(|_: &Seen| StubResponse::new(200, "x".repeat(256 * 1024)));
    let (strict, none) = (json!({ "GracePeriod": "300ms" }), json!({ "BytesPerSecond": 0 }));
    let strict = json!({ "MinRequestBodyDataRate": strict, "MinResponseDataRate": strict });
    let none = json!({ "MinRequestBodyDataRate": none, "MinResponseDataRate": none });
    let start_upload = |gateway: &Gateway| {
        let mut client = gateway.connect();
        client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\nx");
        client
    };
    let gateway = Gateway::with(&document(origin.port(), &strict, &json!({})));
    assert_eq!(start_upload(&gateway).answer("POST").map(|answer| answer.status), Ok(408));
    assert!(zero_window(&gateway, 1).ended(1).is_some_and(|frame| frame.flags & END_STREAM == 0), "a reset");
    let gateway = Gateway::with(&document(origin.port(), &none, &json!({ "Limits": strict })));
    let mut client = start_upload(&gateway);
    std::thread::sleep(Duration::from_millis(700));
    client.send(b"x");
    assert_eq!(client.answer("POST").map(|answer| answer.status), Ok(200));
}

#[test]
fn rejected_connections_beyond_a_few_dozen_are_closed_without_a_response() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "MaxConcurrentConnections": 1 }));
    let mut first = gateway.connect();
    assert_eq!(first.get("/").status, 200);
    let mut rejected: Vec<Client> = (0..60).map(|_| gateway.connect()).collect();
    let answered = rejected.iter_mut().map(|client| client.answer("GET").is_ok()).filter(|ok| *ok).count();
    assert!((1..=40).contains(&answered), "{answered} were answered");
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn sigterm_with_a_delay_is_announced_before_the_gateway_stops_accepting() {
    let origin = Origin::hello();
    let mut gateway = limited(origin.port(), &json!({ "ShutdownDelay": "1s" }));
    let mut kept = gateway.connect();
    assert_eq!(kept.get("/").status, 200);
    gateway.process.signal("TERM");
    assert!(becomes_true(Duration::from_secs(5), || gateway.admin("/ready").status == 503));
    let answer = gateway.get("/");
    assert_eq!(answer.status, 200, "a new connection is served");
    assert!(kept.get("/").keeps_alive(), "not draining yet");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!kept.get("/").keeps_alive(), "answered once more, with Connection: close");
    assert_eq!(gateway.process.ends_within(Duration::from_secs(5)).expect("it ends").code, Some(0));
}

#[test]
fn an_idle_connection_is_still_answered_right_after_sigterm() {
    let origin = Origin::hello();
    let mut gateway = gateway(origin.port());
    let mut kept = gateway.connect();
    assert_eq!(kept.get("/").status, 200);
    gateway.process.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    let last = kept.get("/");
    assert!(last.status == 200 && last.head.lists("connection", "close"));
    assert!(gateway.process.ends_within(Duration::from_secs(5)).is_some());
}

#[test]
fn pings_do_not_keep_an_idle_http2_connection_open() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "KeepAliveTimeout": "300ms" }));
    let mut raw = Raw::connect(gateway.address);
    let start = Instant::now();
    while raw.send(PING, 0, 0, &[0; 8]) {
        assert!(start.elapsed() < Duration::from_secs(10), "still open");
        std::thread::sleep(Duration::from_millis(200));
    }
}
