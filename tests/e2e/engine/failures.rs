//! Failures of backends, names and clients: retries, error responses, the access log.

use super::{document, gateway, ocelot, over};
use crate::support::becomes_true;
use crate::support::client::{Client, RESPONSE_TIMEOUT, Request};
use crate::support::gateway::Gateway;
use crate::support::http1_reader::{Fault, Http1Stream};
use crate::support::origin::{Origin, read};
use crate::support::ports::Closed;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

#[test]
fn a_refused_connection_is_a_502_with_the_address() {
    let closed = Closed::reserve();
    let gateway = gateway(closed.port);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("application/problem+json")));
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(&format!("127.0.0.1:{}", closed.port)), "{detail:?}");
}

#[test]
fn under_ocelot_errors_have_no_body() {
    let closed = Closed::reserve();
    let route = over(
        super::to(closed.port),
        &json!({ "UpstreamPathTemplate": "/there", "DownstreamPathTemplate": "/" }),
    );
    let gateway = Gateway::with(&over(json!({ "Routes": [route] }), &ocelot()));
    for (target, status) in [("/there", 502), ("/elsewhere", 404)] {
        let answer = gateway.get(target);
        assert_eq!(
            (answer.status, answer.length, answer.header("content-type")),
            (status, 0, None),
            "{target}"
        );
    }
}

#[test]
fn no_matching_route_is_a_404_problem() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&document(
        origin.port(),
        &json!({ "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/" }),
        &json!({}),
    ));
    let answer = gateway.get("/b");
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    assert!(answer.json()["code"].is_string(), "{}", answer.text());
}

#[test]
fn a_backend_timeout_is_a_504_and_503_under_ocelot() {
    let origin = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_secs(3)));
    for (rest, status) in [(json!({}), 504), (ocelot(), 503)] {
        let gateway = Gateway::with(&document(origin.port(), &json!({ "Timeout": 1 }), &rest));
        let start = Instant::now();
        let answer = gateway.get("/");
        let took = start.elapsed();
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["status"] == json!(504), status == 504, "{}", answer.text());
        assert!(took > Duration::from_millis(900) && took < Duration::from_millis(2800), "{took:?}");
    }
}

#[test]
fn the_timeout_pauses_while_an_upload_progresses() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body));
    let gateway = Gateway::with(&document(origin.port(), &json!({ "Timeout": 1 }), &json!({})));
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        client.send(b"x");
    }
    assert_eq!(client.answer("POST").map(|a| a.status), Ok(200));
}

/// Serves the first request of a connection, then closes at the next one; later connections stay open.
fn closes_on_reuse(seen: &Arc<Mutex<Vec<String>>>, dying: usize) -> ScriptedBackend {
    let seen = Arc::clone(seen);
    ScriptedBackend::start(move |wire, number| {
        for turn in 0.. {
            let Ok(request) = read(wire) else { return };
            seen.lock().expect("no panic").push(format!("{} {}", request.method, request.target));
            if number < dying && turn == 1 {
                return;
            }
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn a_get_on_a_dead_reused_connection_is_retried_once() {
    let seen = Arc::default();
    let origin = closes_on_reuse(&seen, 1);
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    assert_eq!(client.get("/1").status, 200);
    assert_eq!(client.get("/2").status, 200);
    assert_eq!(*seen.lock().expect("no panic"), ["GET /1", "GET /2", "GET /2"]);
}

#[test]
fn a_post_on_a_dead_reused_connection_is_not_retried() {
    let seen = Arc::default();
    let origin = closes_on_reuse(&seen, 1);
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    assert_eq!(client.get("/1").status, 200);
    assert_eq!(client.must(&Request::new("POST", "/2").body("once")).status, 502);
    assert_eq!(*seen.lock().expect("no panic"), ["GET /1", "POST /2"]);
}

#[test]
fn a_request_on_a_new_connection_that_dies_is_not_retried() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
    });
    let gateway = gateway(origin.port());
    assert_eq!(gateway.get("/").status, 502);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_backend_restart_between_requests_causes_no_error() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
        origin.hang_up();
        assert!(becomes_true(RESPONSE_TIMEOUT, || origin.open() == 0));
    }
    assert_eq!(origin.calls(), 10);
    assert_eq!(
        client.must(&Request::new("POST", "/").body("x")).status,
        200,
        "a closed connection is noticed"
    );
}

#[test]
fn an_idle_backend_connection_is_closed_after_its_timeout() {
    let origin = Origin::hello();
    let gateway = super::limited(origin.port(), &json!({ "BackendIdleTimeout": "1s" }));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(origin.open(), 1);
    assert!(becomes_true(Duration::from_secs(5), || origin.open() == 0));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_connection_is_not_reused_beyond_the_keep_alive_timeout_of_its_backend() {
    let backend = ScriptedBackend::start(|wire, _| {
        while wire.head().is_ok() {
            wire.send(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway(backend.port());
    let mut client = gateway.connect();
    let post = Request::new("POST", "/").body("x");
    assert_eq!((client.must(&post).status, client.must(&post).status), (200, 200));
    assert_eq!(backend.connections(), 1);
    // Idle connections are checked every second, and the margin is longer than that.
    std::thread::sleep(Duration::from_millis(1900));
    assert_eq!((client.must(&post).status, backend.connections()), (200, 2));
}

#[test]
fn a_truncated_response_head_is_a_502() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Le");
    });
    assert_eq!(gateway(origin.port()).get("/").status, 502);
}

#[test]
fn an_endless_response_head_is_a_502() {
    let origin = ScriptedBackend::start(|wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\n");
        while wire.send("X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100).as_bytes()) {}
    });
    assert_eq!(gateway(origin.port()).get("/").status, 502);
}

/// A backend that reports when its connection closes, and never responds.
fn silent() -> (ScriptedBackend, mpsc::Receiver<Result<(), Fault>>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = ScriptedBackend::start(move |wire: &mut Http1Stream, _| {
        let request = read(wire).map(|_| ());
        if request.is_ok() {
            wire.read_timeout(RESPONSE_TIMEOUT);
            let _ = wire.drain();
        }
        let _ = tell.lock().expect("no panic").send(request);
    });
    (origin, told)
}

fn logging(port: u16) -> Gateway {
    Gateway::with(&document(port, &json!({}), &json!({ "AccessLog": true })))
}

#[test]
fn a_client_disconnect_cancels_the_call_and_is_logged_as_499() {
    let (origin, told) = silent();
    let gateway = logging(origin.port());
    let mut client = gateway.connect();
    client.send(Request::get("/wait?secret=1").bytes("gw"));
    std::thread::sleep(Duration::from_millis(200));
    drop(client);
    assert_eq!(told.recv_timeout(Duration::from_secs(3)), Ok(Ok(())), "the service loses its connection");
    let line = gateway.logged(|l| l["path"] == json!("/wait")).expect("an access log line");
    assert_eq!(line["status"], json!(499));
}

#[test]
fn a_half_close_while_waiting_is_a_disconnect() {
    let (origin, told) = silent();
    let gateway = logging(origin.port());
    let mut client = gateway.connect();
    client.send(Request::get("/fin").bytes("gw"));
    std::thread::sleep(Duration::from_millis(200));
    client.wire.finish();
    assert_eq!(told.recv_timeout(Duration::from_secs(3)), Ok(Ok(())));
    assert_eq!(gateway.logged(|l| l["path"] == json!("/fin")).map(|l| l["status"].clone()), Some(json!(499)));
}

#[test]
fn a_disconnect_during_an_upload_does_not_complete_it() {
    for framing in ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let (origin, told) = silent();
        let gateway = logging(origin.port());
        let mut client = gateway.connect();
        client.send(format!("POST /up HTTP/1.1\r\nHost: gw\r\n{framing}"));
        std::thread::sleep(Duration::from_millis(200));
        drop(client);
        let cut = told.recv_timeout(Duration::from_secs(3)).expect("the service loses its connection");
        assert!(matches!(cut, Err(Fault::CutShort(_))), "{framing:?}: {cut:?}");
        assert_eq!(
            gateway.logged(|l| l["path"] == json!("/up")).map(|l| l["status"].clone()),
            Some(json!(499))
        );
    }
}

#[test]
fn a_disconnect_during_a_download_stops_it() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = ScriptedBackend::start(move |wire, _| {
        let _ = wire.head();
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while wire.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000)).as_bytes()) {}
        let _ = tell.lock().expect("no panic").send(());
    });
    let gateway = gateway(origin.port());
    let mut client = gateway.connect();
    client.send(Request::get("/").bytes("gw"));
    assert!(client.wire.head().is_ok());
    drop(client);
    assert!(told.recv_timeout(Duration::from_secs(5)).is_ok(), "the service can still write");
}

#[test]
fn every_request_has_one_access_log_line_without_its_query() {
    let origin = Origin::hello();
    let gateway = logging(origin.port());
    let mut client = gateway.connect();
    client.must(&Request::get("/a?secret=1").header("Host", "shop.example"));
    client.must(&Request::new("POST", "/b").body("12345"));
    let mut bad = gateway.connect();
    bad.send(b"GARBAGE\r\n\r\n");
    let _ = bad.answer("GET");
    let line = gateway.logged(|l| l["path"] == json!("/a")).expect("a line");
    assert_eq!(
        (&line["method"], &line["status"], &line["host"]),
        (&json!("GET"), &json!(200), &json!("shop.example"))
    );
    assert_eq!((&line["client_ip"], &line["bytes_out"]), (&json!("127.0.0.1"), &json!(5)));
    let post = gateway.logged(|l| l["path"] == json!("/b")).expect("a line");
    assert_eq!(post["bytes_in"], json!(5));
    assert!(gateway.logged(|l| l["status"] == json!(400)).is_some(), "refused requests are written down too");
    assert!(!gateway.process.stdout().contains("secret"));
}

#[test]
fn host_names_are_resolved_and_localhost_is_local() {
    let origin = Origin::hello();
    let mut route = super::to(origin.port());
    route["DownstreamHostAndPorts"][0]["Host"] = json!("localhost");
    let gateway = Gateway::with(&json!({ "Routes": [route] }));
    assert_eq!(gateway.get("/").text(), "hello");
    assert_eq!(origin.last().header("host"), Some(format!("localhost:{}", origin.port()).as_str()));
}

#[test]
fn an_unknown_name_is_a_502_within_the_connect_timeout() {
    let mut route = super::to(80);
    route["DownstreamHostAndPorts"][0]["Host"] = json!("no-such-name.invalid");
    let gateway = Gateway::with(&json!({ "Routes": [route], "Limits": { "ConnectTimeout": "1s" } }));
    let start = Instant::now();
    let answer = gateway.get("/");
    assert_eq!(answer.status, 502);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(answer.text().contains("no-such-name.invalid"), "{}", answer.text());
}

#[test]
fn a_backend_that_does_not_accept_fails_after_the_connect_timeout() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address = crate::support::ports::free_address();
    socket.bind(&address.into()).expect("bind");
    socket.listen(0).expect("listen");
    let filling: Vec<_> =
        (0..3).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))).collect();
    let gateway = super::limited(address.port(), &json!({ "ConnectTimeout": "500ms" }));
    let start = Instant::now();
    let status = Client::connect(gateway.address).get("/").status;
    assert!(matches!(status, 502 | 504), "{status}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    drop(filling);
}

#[test]
fn a_backend_that_does_not_speak_http_is_a_502_at_once() {
    for greeting in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "-ERR unknown command\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\rContent-Length: 2\r\rok",
        "HTTP/1.1 unknown\r\n",
        "\0\0",
    ] {
        let backend = ScriptedBackend::start(move |wire, _| {
            let _ = wire.head();
            wire.send(greeting.as_bytes());
            let _ = wire.drain();
        });
        let gateway = gateway(backend.port());
        let start = Instant::now();
        let answer = gateway.get("/");
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (502, Some("backend.malformed")),
            "{greeting:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(2), "{greeting:?}: {:?}", start.elapsed());
        let shown = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(!greeting.starts_with("SSH") || shown.contains("SSH-2.0-OpenSSH_9.6"), "{shown}");
    }
}
