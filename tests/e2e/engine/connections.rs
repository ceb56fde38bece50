//! Client connections: keep-alive, pipelining, timeouts, limits.

use super::{gateway, limited};
use crate::support::client::{Client, Ending, Request};
use crate::support::http1_reader::Fault;
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::time::{Duration, Instant};

fn naming_the_path() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.target))
}

#[test]
fn one_connection_serves_request_after_request_over_one_backend_connection() {
    let origin = naming_the_path();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for n in 0..20 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::with(|seen| {
        let slow = if seen.target == "/0" { 150 } else { 0 };
        StubResponse::new(200, format!("{} {}", seen.target, seen.body.len()))
            .after(Duration::from_millis(slow))
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    let mut all = Vec::new();
    for n in 0..5 {
        all.extend(Request::get(&format!("/{n}")).bytes("gw"));
        all.extend(Request::new("POST", &format!("/p{n}")).body("12345").bytes("gw"));
        all.extend(Request::new("POST", &format!("/c{n}")).chunks(&["1", "23"]).bytes("gw"));
    }
    client.send(&all);
    for n in 0..5 {
        for want in [format!("/{n} 0"), format!("/p{n} 5"), format!("/c{n} 3")] {
            assert_eq!(client.answer("GET").map(|a| a.text()), Ok(want));
        }
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let origin = naming_the_path();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for byte in Request::new("POST", "/slow").chunks(&["a", "b"]).bytes("gw") {
        client.send([byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.answer("POST").map(|a| a.text()), Ok("/slow".into()));
    assert_eq!(origin.last().body, b"ab");
}

#[test]
fn connection_close_is_honored_and_sent() {
    let origin = naming_the_path();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    let answer = client.must(&Request::get("/").header("Connection", "close"));
    assert!(answer.head.lists("connection", "close"), "{:?}", answer.head.headers);
    assert!(client.closes_within(Duration::from_secs(2)));
}

#[test]
fn an_http_1_0_client_gets_no_chunked_encoding_and_a_close() {
    let origin = Origin::with(|_| StubResponse::new(200, "in chunks").chunked(&[]));
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.0\r\nHost: gw\r\n\r\n");
    let answer = client.answer("GET").expect("a response");
    assert_eq!((answer.text().as_str(), answer.ending), ("in chunks", Ending::Close));
}

#[test]
fn an_http_1_0_client_may_request_keep_alive() {
    let origin = naming_the_path();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(b"GET /x HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer("GET").expect("a response");
        assert!(answer.head.lists("connection", "keep-alive"), "{:?}", answer.head.headers);
        assert_eq!(answer.text(), "/x");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "KeepAliveTimeout": "300ms" }));
    let mut client = gateway.connect();
    client.get("/");
    let start = Instant::now();
    assert!(client.closes_within(Duration::from_secs(3)));
    assert!(start.elapsed() > Duration::from_millis(200), "closed after {:?}", start.elapsed());
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let origin = naming_the_path();
    let gateway =
        limited(origin.port(), &json!({ "KeepAliveTimeout": "300ms", "RequestHeadersTimeout": "300ms" }));
    assert!(gateway.connect().closes_within(Duration::from_secs(3)));
}

#[test]
fn an_incomplete_head_is_answered_408_and_closed() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "RequestHeadersTimeout": "300ms" }));
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: g");
    let answer = client.answer("GET").expect("a response");
    assert_eq!(answer.status, 408);
    assert!(client.closes_within(Duration::from_secs(2)));
    assert_eq!(origin.calls(), 0);
}

#[test]
fn a_slow_head_does_not_escape_the_timeout() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "RequestHeadersTimeout": "400ms" }));
    let mut client = gateway.connect();
    let start = Instant::now();
    client.wire.read_timeout(Duration::from_millis(50));
    let ended = loop {
        client.send(b"X");
        match client.answer("GET") {
            Err(Fault::Timeout) if start.elapsed() < Duration::from_secs(5) => {}
            other => break other.map(|a| a.status),
        }
    };
    assert!(matches!(ended, Ok(408 | 400)), "{ended:?} after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_connection_closes_after_its_maximum_of_requests() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "MaxRequestsPerConnection": 2 }));
    let mut client = gateway.connect();
    assert!(client.get("/1").keeps_alive());
    assert!(client.get("/2").head.lists("connection", "close"));
    assert!(client.closes_within(Duration::from_secs(2)));
}

/// Whether a request on this connection gets a 200.
fn is_served(client: &mut Client) -> bool {
    client.wire.read_timeout(Duration::from_secs(5));
    client.ask(&Request::get("/")).is_ok_and(|a| a.status == 200)
}

#[test]
fn connections_per_address_are_limited() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "MaxConnectionsPerClient": 2 }));
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    assert!(is_served(&mut one) && is_served(&mut two));
    assert!(!is_served(&mut gateway.connect()));
    drop(one);
    assert!(crate::support::becomes_true(Duration::from_secs(3), || is_served(&mut gateway.connect())));
    assert!(is_served(&mut two));
}

#[test]
fn connections_in_total_are_limited() {
    let origin = naming_the_path();
    let gateway = limited(origin.port(), &json!({ "MaxConcurrentConnections": 2 }));
    let (mut one, mut two) = (gateway.connect(), gateway.connect());
    assert!(is_served(&mut one) && is_served(&mut two));
    let mut three = gateway.connect();
    assert!(!is_served(&mut three));
    drop((one, two, three));
    assert!(crate::support::becomes_true(Duration::from_secs(3), || is_served(&mut gateway.connect())));
}

#[test]
fn a_half_close_between_requests_closes_the_connection() {
    let origin = naming_the_path();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.get("/");
    client.wire.finish();
    assert!(client.closes_within(Duration::from_secs(2)));
}
