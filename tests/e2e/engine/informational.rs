//! Informational (1xx) responses and Expect.

use super::gateway;
use crate::support::client::Request;
use crate::support::http1_reader::Fault;
use crate::support::origin::Origin;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use std::time::Duration;

#[test]
fn expect_100_continue_is_answered_by_the_backend() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body));
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let interim = client.wire.head().expect("an interim answer");
    assert!(interim.start.starts_with("HTTP/1.1 100 "), "{}", interim.start);
    client.send(b"hello");
    assert_eq!(client.answer("POST").map(|a| a.text()), Ok("hello".into()));
    assert_eq!(origin.last().header("expect"), Some("100-continue"));
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
    assert_eq!((answer.status, answer.interim.len(), answer.text().as_str()), (417, 0, "no"));
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

#[test]
fn informational_responses_are_limited() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        for _ in 0..100_000 {
            if !wire.send(b"HTTP/1.1 102 Processing\r\n\r\n") {
                return;
            }
        }
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    let answer = client.ask(&Request::get("/"));
    let ended =
        matches!(answer, Err(Fault::Closed | Fault::CutShort(_))) || answer.is_ok_and(|a| a.status == 502);
    assert!(ended);
}
