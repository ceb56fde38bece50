//! Budgets that clients share: descriptors, connections and streams. One client address does not take what the others need.

use super::{document, limited};
use crate::support::becomes_true;
use crate::support::client::{Client, Request, stream_from};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Raw, get_with};
use crate::support::http1_reader::Fault;
use crate::support::origin::{Origin, Seen};
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::Duration;

/// The limit of descriptors of a gateway that is easy to fill.
const DESCRIPTORS: usize = 256;
const REFUSED_STREAM: u32 = 7;

fn small(port: u16, limits: &Value) -> Gateway {
    let document = document(port, &json!({}), &json!({ "Limits": limits }));
    Gateway::start(&Setup::json(&document).descriptors(DESCRIPTORS))
}

/// Opens this many connections from one address; those that are served stay open.
fn hold(gateway: &Gateway, source: [u8; 4], count: usize) -> Vec<Client> {
    let served = |client: &mut Client| client.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n") && ok(client);
    let mut all: Vec<Client> = (0..count).map(|_| Client::connect_from(source, gateway.address)).collect();
    all.retain_mut(served);
    all
}

fn ok(client: &mut Client) -> bool {
    client.answer("GET").is_ok_and(|response| response.status == 200)
}

/// A backend that answers `/` and nothing else.
fn silent_elsewhere() -> ScriptedBackend {
    ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok_and(|head| head.start.starts_with("GET / ")) {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let _ = wire.drain();
    })
}

/// Requests over HTTP/2 from one address that the backend does not answer; returns the connection.
fn unanswered(gateway: &Gateway, source: [u8; 4], count: u32) -> Raw {
    let mut raw = Raw::on(stream_from(source, gateway.address));
    let head = get_with(&[]);
    let waiting = head
        .iter()
        .position(|byte| *byte == b'/')
        .map(|at| [&head[..at - 1], b"\x02/x", &head[at + 1..]].concat());
    let waiting = waiting.expect("a path");
    for number in 0..count {
        raw.send(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &waiting);
    }
    raw
}

/// The number of streams that were refused before this number of frames arrived.
fn refused(raw: &mut Raw, count: usize) -> usize {
    let resets = std::iter::from_fn(|| raw.wait_for(RST_STREAM)).take(count);
    resets.filter(|frame| frame.code() == REFUSED_STREAM).count()
}

#[test]
fn one_address_may_hold_half_of_the_connections_and_others_are_served() {
    let origin = Origin::hello();
    let gateway = small(origin.port(), &json!({}));
    // Of 256 descriptors clients may use 225, and one address half of that.
    let held = hold(&gateway, [127, 0, 0, 2], 150);
    assert_eq!(held.len(), 112);
    assert_eq!(hold(&gateway, [127, 0, 0, 3], 5).len(), 5);
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("code=\"client.connection_limit\"} 38"), "{metrics}");
}

#[test]
fn idle_clients_leave_descriptors_for_backends_and_administration() {
    let origin = Origin::with(|_: &Seen| StubResponse::new(200, "x").header("Connection", "close"));
    // Limits that exceed the descriptors.
    let gateway =
        small(origin.port(), &json!({ "MaxConcurrentConnections": 1000, "MaxConnectionsPerClient": 1000 }));
    let mut kept = gateway.connect();
    assert_eq!(kept.get("/").status, 200);
    let _idle: Vec<TcpStream> =
        (0..300_u16).map(|n| stream_from([127, 0, 0, 2 + (n % 4) as u8], gateway.address)).collect();
    for _ in 0..30 {
        assert_eq!(kept.get("/").status, 200, "each over a new connection to the backend");
    }
    assert_eq!(gateway.admin("/ready").status, 200);
    let refused = Client::connect_from([127, 0, 0, 9], gateway.address).answer("GET");
    assert!(!matches!(refused, Err(Fault::Timeout)), "rejected at once: {refused:?}");
}

#[test]
fn backend_connections_of_one_address_leave_descriptors_for_other_clients() {
    let origin = silent_elsewhere();
    let gateway = small(origin.port(), &json!({}));
    let floods: Vec<Raw> = (0..4).map(|_| unanswered(&gateway, [127, 0, 0, 2], 90)).collect();
    let limited =
        || gateway.admin("/metrics").text().contains("margay_errors_total{code=\"client.stream_limit\"}");
    assert!(becomes_true(Duration::from_secs(5), limited));
    // Half of the connections that clients may have.
    assert!(origin.connections() <= 113, "{}", origin.connections());
    for n in 3..13 {
        assert_eq!(hold(&gateway, [127, 0, 0, n], 1).len(), 1);
    }
    drop(floods);
}

fn upload(target: &str, size: usize) -> Request {
    Request::new("POST", target).body(vec![b'x'; size])
}

#[test]
fn bodies_that_aggregates_collect_are_charged_to_their_client() {
    let origin = Origin::with(|seen| {
        let large = seen.raw_path().ends_with("large");
        StubResponse::new(200, format!("\"{}\"", "x".repeat(if large { 600 << 10 } else { 1 })))
    });
    let mut document = document(
        origin.port(),
        &json!({ "Key": "a" }),
        &json!({ "Limits": { "MaxBufferingMemory": "1MiB" } }),
    );
    document["Aggregates"] = json!([{
        "UpstreamPathTemplate": "/all/{everything}", "RouteKeys": ["a"], "UpstreamHttpMethod": ["GET", "POST"],
    }]);
    let gateway = Gateway::with(&document);
    for (request, status) in [
        (Request::get("/all/small"), 200),
        (Request::get("/all/large"), 503),
        (upload("/all/small", 600 << 10), 503),
        (upload("/all/small", 300 << 10), 200),
    ] {
        let response = gateway.ask(&request);
        assert_eq!(response.status, status, "{} {}", request.target, response.text());
        assert!(status == 200 || response.text().contains("gateway.buffering_limit"), "{}", response.text());
    }
}

#[test]
fn a_body_that_a_stage_collects_is_charged_until_the_request_ends() {
    let origin = Origin::hello();
    let hashed = json!({ "CacheOptions": { "TtlSeconds": 60, "EnableContentHashing": true } });
    let all = json!({ "Limits": { "MaxBufferingMemory": "1MiB" } });
    let gateway = Gateway::with(&document(origin.port(), &hashed, &all));
    let status = |size: usize| gateway.ask(&Request::get("/a").body(vec![b'x'; size])).status;
    assert_eq!(status(600 << 10), 503);
    // Each takes most of the memory: it is free again after the response.
    assert!((490..494).all(|kib| status(kib << 10) == 200));
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("code=\"gateway.buffering_limit\"} 1"), "{metrics}");
}

#[test]
fn streams_of_one_address_are_limited_over_all_of_its_connections() {
    let origin = silent_elsewhere();
    let gateway = limited(origin.port(), &json!({ "MaxStreamsPerClient": 8 }));
    let _first = unanswered(&gateway, [127, 0, 0, 2], 6);
    assert!(becomes_true(Duration::from_secs(5), || origin.connections() == 6));
    let mut second = unanswered(&gateway, [127, 0, 0, 2], 6);
    assert_eq!(refused(&mut second, 4), 4);
    assert!(becomes_true(Duration::from_secs(5), || origin.connections() == 8));
    let mut other = Raw::on(stream_from([127, 0, 0, 3], gateway.address));
    other.send(HEADERS, END_STREAM | END_HEADERS, 1, &get_with(&[]));
    assert!(other.ended(1).is_some_and(|frame| frame.kind != RST_STREAM));
}
