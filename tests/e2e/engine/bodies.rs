//! Bodies: streamed in both directions with their framing and their ending.

use super::{document, gateway, limited};
use crate::support::client::{Body, Ending, RESPONSE_TIMEOUT, Request};
use crate::support::gateway::Gateway;
use crate::support::http1_reader::Fault;
use crate::support::origin::{Origin, read};
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn echo() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.body))
}

#[test]
fn a_chunked_upload_stays_chunked_and_complete() {
    let origin = echo();
    let gateway = gateway(origin.port());
    let parts: Vec<Vec<u8>> =
        (0..200_u16).map(|n| vec![b'a' + (n % 26) as u8; usize::from(n) * 7 + 1]).collect();
    let mut request = Request::new("POST", "/");
    request.body = Body::Chunks(parts.clone(), Vec::new());
    assert_eq!(gateway.ask(&request).body, parts.concat());
    let seen = origin.last();
    assert!(seen.head.lists("transfer-encoding", "chunked") && !seen.head.has("content-length"));
}

#[test]
fn an_upload_with_content_length_keeps_it() {
    let origin = echo();
    let gateway = gateway(origin.port());
    let body = vec![b'x'; 300_000];
    assert_eq!(gateway.ask(&Request::new("PUT", "/").body(&body)).body, body);
    let seen = origin.last();
    assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (Some("300000"), None));
}

#[test]
fn a_request_without_body_has_no_framing() {
    let origin = echo();
    let gateway = gateway(origin.port());
    gateway.ask(&Request::new("POST", "/"));
    let seen = origin.last();
    assert!(
        !seen.head.has("content-length") && !seen.head.has("transfer-encoding"),
        "{:?}",
        seen.head.headers
    );
}

#[test]
fn trailers_pass_in_both_directions() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).chunked(&[("X-Sum", "42")]));
    let gateway = gateway(origin.port());
    let request = Request::new("POST", "/")
        .header("TE", "trailers")
        .header("Trailer", "X-Check")
        .chunks(&["he", "llo"])
        .trailer("X-Check", "7");
    let answer = gateway.ask(&request);
    assert_eq!((answer.text().as_str(), answer.ending), ("hello", Ending::Chunked));
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    assert_eq!(origin.last().trailers, [("X-Check".to_owned(), "7".to_owned())]);
}

#[test]
fn responses_without_a_body_keep_the_connection_usable() {
    let origin = Origin::with(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        (_, "/204") => StubResponse::new(204, ""),
        (_, "/304") => StubResponse::new(304, "").header("Content-Length", "17").header("ETag", "\"a\""),
        (_, "/0") => StubResponse::new(200, ""),
        _ => StubResponse::new(200, "hello"),
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for _ in 0..2 {
        let head = client.must(&Request::new("HEAD", "/"));
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
        let none = client.get("/204");
        assert_eq!(
            (none.status, none.header("content-length"), none.header("transfer-encoding")),
            (204, None, None)
        );
        assert_eq!(client.get("/304").header("etag"), Some("\"a\""));
        assert_eq!(client.get("/0").header("content-length"), Some("0"));
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_body_delimited_by_close_arrives_complete() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    assert_eq!(client.get("/").text(), "until the end");
}

#[test]
fn a_download_streams_before_it_is_complete() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        let _ = wait.lock().expect("no panic").recv_timeout(RESPONSE_TIMEOUT);
        wire.send(b"6\r\nsecond\r\n0\r\n\r\n");
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(Request::get("/").bytes("gw"));
    assert!(client.wire.head().expect("a head").start.contains("200"));
    let mut first = Vec::new();
    while crate::support::http1_reader::find(&first, b"first").is_none() {
        assert_ne!(client.wire.fill(), Ok(0));
        first.extend(client.wire.take());
    }
    go.send(()).expect("the service waits");
    let mut rest = first;
    while crate::support::http1_reader::find(&rest, b"0\r\n\r\n").is_none() {
        assert_ne!(client.wire.fill(), Ok(0));
        rest.extend(client.wire.take());
    }
}

#[test]
fn an_upload_streams_before_it_is_complete() {
    let (seen, first) = mpsc::channel::<Vec<u8>>();
    let origin = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        let mut part = Vec::new();
        let _ = wire.exactly(3, &mut |b| part.extend_from_slice(b));
        let _ = seen.send(part);
        let _ = wire.exactly(3, &mut |_| {});
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 6\r\n\r\nabc");
    assert_eq!(first.recv_timeout(RESPONSE_TIMEOUT).expect("the first half arrives alone"), b"abc");
    client.send(b"def");
    assert_eq!(client.answer("POST").map(|a| a.text()), Ok("ok".into()));
}

#[test]
fn an_early_response_is_relayed_during_the_upload() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        let _ = wire.drain();
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n\r\nonly the beginning");
    let start = Instant::now();
    let answer = client.answer("POST").expect("a response");
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());
    // The rest of the upload never arrives: the connection cannot be reused.
    assert!(client.closes_within(Duration::from_secs(5)));
}

#[test]
fn a_client_that_keeps_uploading_reads_the_early_response() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    });
    let gateway = gateway(origin.port());
    for _ in 0..5 {
        let mut client = gateway.connect();
        let answer = client.ask(&Request::new("POST", "/").body(vec![b'x'; 4 << 20]));
        assert_eq!(answer.map(|a| a.text()), Ok("big".into()));
    }
}

#[test]
fn after_an_early_response_a_short_upload_is_drained_and_the_connection_reused() {
    let origin = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
        }
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\n12345");
    let early = client.answer("POST").expect("a response");
    assert_eq!(early.text(), "early");
    client.send(b"67890");
    if early.keeps_alive() {
        assert_eq!(client.get("/").text(), "early");
    } else {
        assert!(client.closes_within(Duration::from_secs(3)));
    }
}

#[test]
fn a_truncated_body_ends_without_a_clean_terminator() {
    let origin = ScriptedBackend::start(|wire, _| {
        let Ok(head) = wire.head() else { return };
        let chunked = head.start.contains("/chunked");
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 100" };
        let body = if chunked { "5\r\nhello\r\n" } else { "hello" };
        wire.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").as_bytes());
    });
    let gateway = gateway(origin.port());
    for target in ["/counted", "/chunked"] {
        let answer = gateway.connect().ask(&Request::get(target));
        let cut =
            matches!(&answer, Err(Fault::CutShort(_))) || answer.as_ref().is_ok_and(|a| a.status == 502);
        assert!(cut, "{target}: {answer:?}");
    }
}

#[test]
fn a_backend_idle_within_a_body_times_out() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        let _ = wire.drain();
    });
    let gateway = limited(origin.port(), &json!({ "BodyIdleTimeout": "300ms" }));
    let start = Instant::now();
    let answer = gateway.connect().ask(&Request::get("/"));
    assert!(matches!(answer, Err(Fault::CutShort(_))), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_client_idle_within_an_upload_times_out() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = read(wire);
    });
    let gateway = limited(origin.port(), &json!({ "BodyIdleTimeout": "300ms" }));
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\nhello");
    let start = Instant::now();
    let answer = client.answer("POST").map(|a| a.status);
    assert!(matches!(answer, Ok(408) | Err(Fault::Closed)), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_body_with_progress_may_outlast_every_timeout() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(250));
            wire.send(b"x");
        }
    });
    let document = document(
        origin.port(),
        &json!({ "Timeout": 1 }),
        &json!({ "Limits": { "BodyIdleTimeout": "1500ms" } }),
    );
    let gateway = Gateway::with(&document);
    assert_eq!(gateway.get("/").text(), "xxxxxxxx");
}
