//! HTTP/2 from well-behaved clients.

use super::{document, gateway, limited};
use crate::support::becomes_true;
use crate::support::client::RESPONSE_TIMEOUT;
use crate::support::gateway::Gateway;
use crate::support::h2::{Client, request, run, until, whole};
use crate::support::origin::Origin;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use bytes::Bytes;
use serde_json::json;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

fn echo() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.body).header("X-Method", &seen.method))
}

#[test]
fn a_request_reaches_an_http_1_backend() {
    let origin = echo();
    let gateway = gateway(origin.port());
    let answer = run(async {
        let mut client = Client::connect(gateway.address).await;
        let request =
            request("POST", "/a?b=c", &[("content-length", "5"), ("cookie", "a=1"), ("cookie", "b=2")]);
        let (answer, mut body) = client.begin(request, false).await;
        body.send_data(Bytes::from_static(b"hello"), true).expect("sent");
        whole(answer.await.expect("a response")).await.expect("a body")
    });
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    assert_eq!((answer.header("x-method"), answer.header("content-length")), (Some("POST"), Some("5")));
    let seen = origin.last();
    assert_eq!((seen.target.as_str(), seen.header("content-length")), ("/a?b=c", Some("5")));
    assert_eq!((seen.header("cookie"), seen.head.has("connection")), (Some("a=1; b=2"), false));
    assert_eq!(seen.header("via"), Some("2 margay"));
}

#[test]
fn a_body_of_unknown_length_is_chunked_with_trailers_in_both_directions() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).chunked(&[("X-Sum", "42")]));
    let gateway = gateway(origin.port());
    let answer = run(async {
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut body) =
            client.begin(request("POST", "/", &[("te", "trailers"), ("trailer", "x-check")]), false).await;
        body.send_data(Bytes::from_static(b"he"), false).expect("sent");
        body.send_data(Bytes::from_static(b"llo"), false).expect("sent");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-check", "7".parse().expect("a value"));
        body.send_trailers(trailers).expect("sent");
        whole(answer.await.expect("a response")).await.expect("a body")
    });
    assert_eq!((answer.text().as_str(), answer.trailer("x-sum")), ("hello", Some("42")));
    let seen = origin.last();
    assert!(seen.head.lists("transfer-encoding", "chunked") && seen.head.lists("te", "trailers"));
    assert_eq!(seen.trailers, [("x-check".to_owned(), "7".to_owned())]);
}

#[test]
fn streams_of_one_connection_are_served_concurrently() {
    let all = Arc::new(Barrier::new(20));
    let meet = all.clone();
    let origin = Origin::with(move |_| {
        meet.wait();
        StubResponse::new(200, "met")
    });
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let mut waiting = Vec::new();
        for n in 0..20 {
            waiting.push(client.begin(request("GET", &format!("/{n}"), &[]), true).await.0);
        }
        for answer in waiting {
            assert_eq!(whole(answer.await.expect("a response")).await.expect("a body").text(), "met");
        }
    });
}

#[test]
fn head_and_empty_responses_end_with_their_headers() {
    let origin = Origin::with(|seen| {
        let status = if seen.path == "/204" { 204 } else { 200 };
        StubResponse::new(status, if status == 204 { "" } else { "hello" })
    });
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let head = client.ask(request("HEAD", "/", &[])).await.expect("a response");
        assert_eq!((head.header("content-length"), head.body.len()), (Some("5"), 0));
        let empty = client.get("/204").await.expect("a response");
        assert_eq!((empty.status(), empty.header("content-length")), (204, None));
    });
}

#[test]
fn large_bodies_pass_in_both_directions_with_back_pressure() {
    let origin = echo();
    let gateway = gateway(origin.port());
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let body = sent.clone();
    let answer = run(async move {
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut stream) = client.begin(request("PUT", "/", &[]), false).await;
        let mut rest = Bytes::from(body);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let room =
                std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.expect("open").expect("room");
            stream.send_data(rest.split_to(room), rest.is_empty()).expect("sent");
        }
        whole(answer.await.expect("a response")).await.expect("a body")
    });
    assert!(answer.body == sent, "{} bytes came back", answer.body.len());
}

#[test]
fn informational_responses_arrive_before_the_final_one() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = wire.drain();
    });
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let (mut answer, _) = client.begin(request("GET", "/", &[]), true).await;
        let hint = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        let hint = hint.expect("an interim answer").expect("sound");
        assert_eq!((hint.status().as_u16(), hint.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
        assert_eq!(whole(answer.await.expect("a response")).await.expect("a body").text(), "ok");
    });
}

#[test]
fn a_client_reset_cancels_only_its_own_call() {
    let origin = Origin::with(|seen| match seen.path.as_str() {
        "/slow" => StubResponse::new(200, "late").after(Duration::from_secs(10)),
        _ => StubResponse::new(200, "ok"),
    });
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut stream) = client.begin(request("GET", "/slow", &[]), true).await;
        until(|| origin.calls() == 1).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        until(|| gateway.admin("/metrics").text().contains(r#"code="client.closed"} 1"#)).await;
        assert_eq!(client.get("/").await.expect("a response").text(), "ok");
    });
}

/// Sends body bytes while the flow-control window has room, until it has had none for a while.
async fn fill(stream: &mut h2::SendStream<Bytes>) {
    let part = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(300) {
        stream.reserve_capacity(part.len());
        match stream.capacity().min(part.len()) {
            0 => tokio::time::sleep(Duration::from_millis(1)).await,
            room => {
                stream.send_data(part.slice(..room), false).expect("sent");
                since = Instant::now();
            }
        }
    }
}

#[test]
fn a_reset_is_noticed_while_the_backend_does_not_read_the_upload() {
    let (go, read) = std::sync::mpsc::channel();
    let (closed, wait) = std::sync::mpsc::channel();
    let ways = std::sync::Mutex::new((read, closed));
    let origin = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        let (read, closed) = &*ways.lock().expect("no panic");
        let _ = read.recv_timeout(RESPONSE_TIMEOUT);
        let _ = closed.send(wire.drain().is_some());
    });
    // The timeout of the route restarts with every byte: it does not end the exchange.
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let (answer, mut stream) = client.begin(request("POST", "/slow", &[]), false).await;
        fill(&mut stream).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        until(|| gateway.admin("/metrics").text().contains(r#"code="client.closed"} 1"#)).await;
    });
    go.send(()).expect("the service waits");
    assert_eq!(wait.recv_timeout(RESPONSE_TIMEOUT), Ok(true), "the service was not let go of");
}

#[test]
fn a_truncated_response_ends_with_a_reset() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    });
    let gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let error = client.get("/").await.expect_err("it is cut off");
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
}

#[test]
fn excess_streams_are_refused_and_request_limits_apply() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).after(Duration::from_millis(300)));
    let gateway = limited(origin.port(), &json!({ "MaxConcurrentStreams": 2, "MaxRequestBodySize": "10B" }));
    run(async {
        let mut client = Client::connect(gateway.address).await;
        // The `h2` crate respects the limit after SETTINGS: the third request is queued.
        assert_eq!(client.get("/").await.expect("a response").status(), 200);
        let (answer, mut body) = client.begin(request("POST", "/", &[]), false).await;
        body.send_data(Bytes::from_static(b"more than ten bytes"), true).expect("sent");
        assert_eq!(whole(answer.await.expect("a response")).await.expect("a body").status(), 413);
        let long = request("GET", "/", &[("x-long", &"x".repeat(70_000))]);
        assert_eq!(client.ask(long).await.expect("a response").status(), 431);
    });
}

#[test]
fn connections_and_streams_are_counted() {
    let origin = Origin::with(|seen| {
        let time = if seen.path == "/slow" { Duration::from_secs(5) } else { Duration::ZERO };
        StubResponse::new(200, "ok").after(time)
    });
    let gateway = gateway(origin.port());
    let shows = |line: &str| gateway.admin("/metrics").text().lines().any(|shown| shown == line);
    run(async {
        let mut client = Client::connect(gateway.address).await;
        client.get("/").await.expect("a response");
        let (answer, mut stream) = client.begin(request("GET", "/slow", &[]), true).await;
        until(|| shows("margay_http2_streams{side=\"client\"} 1")).await;
        assert!(shows("margay_http2_connections{side=\"client\"} 1"));
        assert!(shows("margay_http2_streams_total 2") && shows("margay_http2_resets_total 0"));
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        until(|| shows("margay_http2_resets_total 1")).await;
        assert!(shows("margay_http2_streams{side=\"client\"} 0"));
    });
    until_closed(&shows);
}

/// The last HTTP/2 connection is closed.
fn until_closed(shows: &dyn Fn(&str) -> bool) {
    assert!(becomes_true(RESPONSE_TIMEOUT, || shows("margay_http2_connections{side=\"client\"} 0")));
}

#[test]
fn idle_connections_and_connections_at_their_request_limit_are_closed() {
    let origin = echo();
    let gateway =
        limited(origin.port(), &json!({ "KeepAliveTimeout": "300ms", "MaxRequestsPerConnection": 3 }));
    let mut idle = crate::support::h2::Raw::connect(gateway.address);
    assert_eq!(idle.wait_for(crate::support::h2::GOAWAY).map(|frame| frame.code()), Some(0));
    run(async {
        let mut client = Client::connect(gateway.address).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.expect("a response").status(), 200);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let more = tokio::time::timeout(Duration::from_secs(5), client.try_get("/")).await;
        assert!(more.expect("no wait").is_err(), "a fourth request was served");
    });
}

#[test]
fn draining_finishes_active_streams() {
    let origin = Origin::with(|_| StubResponse::new(200, "done").after(Duration::from_millis(500)));
    let mut gateway = gateway(origin.port());
    run(async {
        let mut client = Client::connect(gateway.address).await;
        let (answer, _) = client.begin(request("GET", "/", &[]), true).await;
        until(|| origin.calls() == 1).await;
        gateway.process.signal("TERM");
        assert_eq!(whole(answer.await.expect("a response")).await.expect("a body").text(), "done");
    });
    assert_eq!(gateway.process.ends_within(Duration::from_secs(8)).map(|e| e.code), Some(Some(0)));
}

#[test]
fn the_access_log_names_the_protocol() {
    let origin = echo();
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &json!({ "AccessLog": true })));
    run(async {
        let mut client = Client::connect(gateway.address).await;
        client.get("/logged").await.expect("a response");
    });
    let line = gateway.logged(|line| line["path"] == "/logged").expect("a line");
    assert_eq!((&line["protocol"], &line["host"]), (&json!("HTTP/2"), &json!("gw.test")));
}

/// Runs another client implementation and returns its output.
fn tool(name: &str, args: &[&str]) -> String {
    let ran = Command::new(name).args(args).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(ran.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn curl_and_nghttp_are_served() {
    let origin = Origin::with(|seen| StubResponse::new(200, format!("{} {}", seen.path, seen.body.len())));
    let gateway = gateway(origin.port());
    let url = format!("http://{}/a", gateway.address);
    let output =
        tool("curl", &["-sS", "--http2-prior-knowledge", "-w", " %{http_version}", "-d", "xyz", &url]);
    assert_eq!(output, "/a 3 2");
    assert_eq!(tool("nghttp", &[&url]), "/a 0");
}

#[test]
fn h2load_completes_with_more_streams_than_allowed() {
    let origin = Origin::with(|seen| StubResponse::new(200, format!("{:>1000}", seen.length)));
    let gateway = gateway(origin.port());
    let url = format!("http://{}/", gateway.address);
    let body = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(body.path(), vec![b'x'; 3000]).expect("a file");
    let body = body.path().to_str().expect("UTF-8");
    let mut total = 0;
    for (count, more) in [
        ("3000", &["-c", "6", "-m", "30"][..]),
        ("6000", &["-c", "4", "-m", "100"]),
        ("3000", &["-c", "2", "-m", "400"]),
        ("2000", &["-c", "20", "-m", "50", "-d", body]),
    ] {
        let output = tool("h2load", &[&["-n", count], more, &[&url]].concat());
        assert!(output.contains(&format!("{count} succeeded, 0 failed, 0 errored")), "{more:?}: {output}");
        total += count.parse::<usize>().expect("a number");
        assert!(becomes_true(RESPONSE_TIMEOUT, || origin.calls() == total), "{more:?}: {}", origin.calls());
    }
}
