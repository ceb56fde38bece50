//! Limits: rejected with the right status, before a backend is called.

use super::{document, gateway, limited, ocelot};
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_long_request_line_is_414() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "MaxRequestLineSize": "1KiB" }));
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(900))).status, 200);
    origin.forget();
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(1100))).status, 414);
    assert_eq!(origin.calls(), 0);
}

#[test]
fn the_default_request_line_is_16_kib() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(16 * 1024 - 100))).status, 200);
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(17 * 1024))).status, 414);
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(200 * 1024))).status, 414);
}

#[test]
fn a_head_above_the_limit_is_431() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "MaxRequestHeadersTotalSize": "2KiB" }));
    let sized = |n: usize| Request::get("/").header("X-A", &"a".repeat(n));
    assert_eq!(gateway.ask(&sized(1500)).status, 200);
    origin.forget();
    assert_eq!(gateway.ask(&sized(2500)).status, 431);
    assert_eq!(gateway.ask(&sized(500_000)).status, 431);
    assert_eq!(origin.calls(), 0);
}

#[test]
fn too_many_header_fields_are_431() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    let many = |n: usize| (1..n).fold(Request::get("/"), |r, i| r.header(&format!("X-{i}"), "1"));
    assert_eq!(gateway.ask(&many(128)).status, 200);
    origin.forget();
    assert_eq!(gateway.ask(&many(129)).status, 431);
    assert_eq!(origin.calls(), 0);
}

#[test]
fn an_announced_body_above_the_limit_is_413_before_it_is_read() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "MaxRequestBodySize": "1KiB" }));
    assert_eq!(gateway.ask(&Request::new("POST", "/").body(vec![b'x'; 1024])).status, 200);
    origin.forget();
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 1025\r\n\r\n");
    assert_eq!(client.answer("POST").map(|a| a.status), Ok(413));
    assert_eq!(origin.calls(), 0);
}

#[test]
fn a_chunked_body_above_the_limit_is_413() {
    let origin = Origin::hello();
    let gateway = limited(origin.port(), &json!({ "MaxRequestBodySize": "1KiB" }));
    let long = "x".repeat(700);
    assert_eq!(gateway.ask(&Request::new("POST", "/").chunks(&[&long])).status, 200);
    origin.forget();
    assert_eq!(gateway.ask(&Request::new("POST", "/").chunks(&[&long, &long])).status, 413);
    assert_eq!(origin.calls(), 0, "the service never gets it whole");
}

#[test]
fn under_ocelot_thirty_million_bytes_are_the_limit() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &ocelot()));
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 30000001\r\n\r\n");
    let answer = client.answer("POST").expect("a response");
    assert_eq!((answer.status, answer.text().as_str()), (413, ""));
}

#[test]
fn malformed_input_is_400_and_reaches_no_backend() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(bad);
        assert_eq!(client.answer("GET").map(|a| a.status), Ok(400), "{bad:?}");
        assert!(client.closes_within(Duration::from_secs(3)), "{bad:?}");
    }
    assert_eq!(origin.calls(), 0);
}

#[test]
fn a_rejection_is_a_problem_document() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    let answer = client.answer("GET").expect("a response");
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")));
    assert_eq!(answer.json()["status"], json!(400));
}

#[test]
fn more_than_32_connection_options_are_431() {
    let origin = Origin::hello();
    let options = |n: usize| Request::get("/").header("Connection", &vec!["a"; n].join(","));
    let gateway = gateway(origin.port());
    assert_eq!(gateway.ask(&options(32)).status, 200);
    let refused = gateway.ask(&options(33));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (431, Some("request.headers")));
    let wide = limited(origin.port(), &json!({ "MaxConnectionOptions": 64 }));
    assert_eq!(wide.ask(&options(64)).status, 200);
}

#[test]
fn a_half_closed_client_is_served_only_if_configured() {
    let origin = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_millis(300)));
    for (abort, served) in [(true, None), (false, Some("late".to_owned()))] {
        let gateway = limited(origin.port(), &json!({ "AbortOnClose": abort }));
        let mut client = gateway.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
        client.wire.finish();
        assert_eq!(client.answer("GET").ok().map(|answer| answer.text()), served);
        assert!(client.closes_within(Duration::from_secs(2)));
    }
}
