//! Informational (1xx) responses and Expect.

use super::{document, gateway, limited};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::http1_reader::Fault;
use crate::support::origin::Origin;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use crate::support::websocket;
use serde_json::json;
use std::time::Duration;

#[test]
fn expect_100_continue_is_answered_by_the_gateway() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body));
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let interim = client.wire.head().expect("an interim answer");
    assert!(interim.start.starts_with("HTTP/1.1 100 "), "{}", interim.start);
    client.send(b"hello");
    assert_eq!(client.answer("POST").map(|a| a.text()), Ok("hello".into()));
    assert!(!origin.last().head.has("expect"));
}

#[test]
fn a_body_that_a_stage_reads_is_answered_with_100_continue() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body));
    let hashed = json!({ "CacheOptions": { "TtlSeconds": 60, "EnableContentHashing": true, "Region": "r" } });
    let gateway = Gateway::with(&document(origin.port(), &hashed, &json!({})));
    for method in ["POST", "GET", "PUT"] {
        let mut client = gateway.connect();
        let head =
            format!("{method} / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        client.send(head);
        let interim = client.wire.head().expect("an interim response");
        assert!(interim.start.starts_with("HTTP/1.1 100 "), "{}", interim.start);
        client.send(b"hello");
        assert_eq!(client.answer(method).map(|a| a.text()), Ok("hello".into()));
    }
}

#[test]
fn the_client_receives_one_100_continue_and_http2_clients_do_as_well() {
    let origin = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n");
            let _ = wire.exactly(5, &mut |_| {});
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(client.wire.head().is_ok());
    client.send(b"hello");
    let answer = client.answer("POST").expect("a response");
    assert_eq!((answer.interim.len(), answer.text().as_str()), (0, "ok"));
    h2::run(async {
        let mut client = h2::Client::connect(gateway.address).await;
        let fields = [("expect", "100-continue"), ("content-length", "5")];
        let (mut answer, mut body) = client.begin(h2::request("POST", "/", &fields), false).await;
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        assert_eq!(interim.map(|r| r.map(|r| r.status().as_u16()).ok()), Some(Some(100)));
        body.send_data("hello".into(), true).expect("sent");
        assert_eq!(h2::whole(answer.await.expect("a response")).await.expect("complete").text(), "ok");
    });
}

#[test]
fn content_length_is_removed_from_informational_responses() {
    let origin = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a.css>\r\n\r\n");
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway(origin.port());
    let answer = gateway.get("/");
    assert_eq!((answer.interim.len(), answer.text().as_str()), (1, "ok"));
    assert!(!answer.interim[0].has("content-length") && answer.interim[0].has("link"));
}

#[test]
fn content_length_is_removed_from_a_101() {
    let origin = ScriptedBackend::start(|wire, _| {
        let head = wire.head().expect("a head");
        wire.send(websocket::agreement(&head, "Content-Length: 5\r\nX-Own: 1\r\n").as_bytes());
        wire.send(b"\x81\x02hi");
        let _ = wire.drain();
    });
    let gateway = gateway(origin.port());
    let (head, socket) = websocket::open(gateway.address, &websocket::opening("/"));
    assert!(!head.has("content-length") && head.get("x-own") == Some("1"), "{:?}", head.headers);
    assert_eq!(socket.expect("a 101").read().expect("a message").into_text().expect("text").as_str(), "hi");
}

#[test]
fn a_backend_may_reject_the_body_instead_of_100_continue() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
        let _ = wire.drain();
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let answer = client.answer("POST").expect("a response");
    assert_eq!((answer.status, answer.interim.len(), answer.text().as_str()), (417, 1, "no"));
}

fn with_hints() -> ScriptedBackend {
    ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn informational_responses_reach_an_http_1_1_client() {
    let origin = with_hints();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.get("/");
        let codes: Vec<&str> = answer.interim.iter().map(|h| &h.start[9..12]).collect();
        assert_eq!(codes, ["102", "103"]);
        assert_eq!(answer.interim[1].get("link"), Some("</a.css>"));
        assert_eq!(answer.text(), "ok");
    }
}

#[test]
fn informational_responses_do_not_reach_an_http_1_0_client() {
    let origin = with_hints();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.0\r\nHost: gw\r\n\r\n");
    let answer = client.answer("GET").expect("a response");
    assert_eq!((answer.interim.len(), answer.status, answer.text().as_str()), (0, 200, "ok"));
}

#[test]
fn an_unexpected_101_is_a_502() {
    let origin = ScriptedBackend::start(|wire, number| {
        let _ = wire.head();
        if number == 0 {
            wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npwned");
            let _ = wire.drain();
        } else {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean");
        }
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    assert_eq!(client.get("/").status, 502);
    match client.ask(&Request::get("/")) {
        Ok(answer) => assert_eq!(answer.text(), "clean"),
        Err(fault) => assert_eq!(fault, Fault::Closed),
    }
    let _ = client.closes_within(Duration::from_millis(1));
}

/// A backend that sends `n` informational responses with heads of this size before its response.
fn with_interim(n: usize, size: usize) -> ScriptedBackend {
    ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "a".repeat(size));
        for _ in 0..n {
            if !wire.send(interim.as_bytes()) {
                return;
            }
        }
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    })
}

#[test]
fn informational_responses_are_limited() {
    let (allowed, flood) = (with_interim(32, 9), with_interim(100_000, 9));
    let answer = gateway(allowed.port()).get("/");
    assert_eq!((answer.status, answer.interim.len()), (200, 32));
    let answer = gateway(flood.port()).get("/");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (502, Some("backend.malformed")));
    let wide = limited(flood.port(), &json!({ "MaxInformationalResponses": 200_000 }));
    assert_eq!(wide.get("/").status, 200);
}

#[test]
fn informational_responses_that_the_client_does_not_read_are_dropped() {
    let origin = with_interim(5000, 8000);
    let gateway = limited(origin.port(), &json!({ "MaxInformationalResponses": 10_000 }));
    let before = gateway.process.rss();
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
    let answer = client.answer("GET").expect("a response");
    assert!(answer.status == 200 && answer.interim.len() < 20, "{}", answer.interim.len());
    assert!(gateway.process.rss() - before < 8 << 20, "the heads are not kept");
    let none = "margay_removed_total{what=\"informational_response\"} 0";
    assert!(becomes_true(Duration::from_secs(5), || !gateway.admin("/metrics").text().contains(none)));
}
