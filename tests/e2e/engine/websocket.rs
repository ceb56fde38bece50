//! WebSocket through the gateway: opened after all stages, carried as it is, ended in order.

use super::{document, to};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::scripted::Scripted;
use crate::support::stub::{Answer, Stub};
use crate::support::websocket::*;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Error, Message};

/// A service that says back what is said.
fn parrot() -> Origin {
    Origin::stubs(vec![Stub::read(&json!({ "when": {}, "websocket": "echo" }))])
}

fn with(port: u16, more: Value) -> Value {
    document(port, &json!({}), &more)
}

#[test]
fn what_is_said_comes_back_and_the_close_goes_through() {
    let parrot = parrot();
    let gateway = Gateway::with(&with(parrot.port(), json!({ "AccessLog": true })));
    let (head, socket) = open(
        gateway.address,
        &opening("/room").header("Sec-WebSocket-Protocol", "chat, superchat").header("X-Own", "1"),
    );
    let mut socket = socket.expect("101");
    assert_eq!(head.get("sec-websocket-protocol"), Some("superchat"));
    assert!(head.lists("connection", "upgrade") && head.lists("upgrade", "websocket"));
    assert_eq!(parrot.last().header("x-own"), Some("1"));
    assert!(says_back(&mut socket, "hello"));
    let large = "x".repeat(3 << 20);
    assert!(says_back(&mut socket, &large));
    socket.close(Some(CloseFrame { code: 4001.into(), reason: "enough".into() })).unwrap();
    let answered = socket.read().unwrap();
    assert!(
        matches!(&answered, Message::Close(Some(frame)) if u16::from(frame.code) == 4001),
        "{answered:?}"
    );
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed | Error::Io(_))));
    let record = gateway.logged(|record| record["status"] == 101).expect("one line");
    assert!(
        record["bytes_in"].as_u64() > Some(3 << 20) && record["bytes_out"].as_u64() > Some(3 << 20),
        "{record}"
    );
}

#[test]
fn all_stages_of_the_route_run_before_it_is_opened() {
    let parrot = parrot();
    let staff = format!("ann:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
    let mut route = to(parrot.port());
    route["UpstreamHeaderTransform"] = json!({ "X-Via-Gateway": "yes" });
    route["DownstreamHeaderTransform"] = json!({ "X-Answered-Via": "gateway" });
    route["AuthenticationOptions"] = json!({ "AuthenticationProviderKeys": ["Staff"] });
    let document = json!({
        "AuthenticationSchemes": { "Staff": { "Type": "Basic", "UsersFile": "staff" } }, "Routes": [route],
    });
    let gateway = Gateway::start(&Setup::json(&document).file("staff", &staff));
    let (refused, none) = open(gateway.address, &opening("/"));
    assert!(none.is_none() && refused.start.contains(" 401 "), "{}", refused.start);
    assert_eq!(parrot.calls(), 0);
    let known = opening("/").header("Authorization", "Basic YW5uOnNlY3JldA==");
    let (head, socket) = open(gateway.address, &known);
    assert!(says_back(&mut socket.expect("101"), "hello"));
    assert_eq!(head.get("x-answered-via"), Some("gateway"));
    assert_eq!(parrot.last().header("x-via-gateway"), Some("yes"));
}

#[test]
fn bytes_right_behind_the_heads_are_not_lost() {
    let hasty = Scripted::start(|wire, _| {
        let head = wire.head().unwrap();
        let mut together = agreement(&head, "").into_bytes();
        together.extend_from_slice(&[0x81, 2, b'h', b'i']);
        wire.send(&together);
        let mut socket = socket(wire, Role::Server);
        let first = socket.read().unwrap();
        socket.send(first).unwrap();
        let _ = socket.read();
    });
    let gateway = Gateway::with(&with(hasty.port(), json!({})));
    let mut stream = std::net::TcpStream::connect(gateway.address).unwrap();
    let mut together = opening("/").bytes("gw");
    together.extend_from_slice(&[0x81, 0x83, 0, 0, 0, 0, b'a', b'b', b'c']);
    stream.write_all(&together).unwrap();
    let mut read = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    while !read.ends_with(b"\x81\x03abc") {
        let mut space = [0; 1024];
        let n = stream.read(&mut space).unwrap();
        assert!(n > 0, "ended after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&space[..n]);
    }
    assert!(memchr::memmem::find(&read, b"\r\n\r\n\x81\x02hi").is_some());
}

#[test]
fn a_service_that_does_not_agree_is_relayed_and_one_that_lies_is_a_502() {
    let refusing = Origin::with(|_| Answer::new(403, "not you").header("X-Reason", "mood"));
    let gateway = Gateway::with(&with(refusing.port(), json!({})));
    let (head, _) = open(gateway.address, &opening("/"));
    assert!(head.start.contains(" 403 ") && head.get("x-reason") == Some("mood"), "{head:?}");
    for lie in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let liar = Scripted::start(move |wire, _| {
            let _ = wire.head();
            wire.send(lie.as_bytes());
            let _ = wire.fill();
        });
        let gateway = Gateway::with(&with(liar.port(), json!({})));
        let (head, _) = open(gateway.address, &opening("/"));
        assert!(head.start.contains(" 502 "), "{lie}: {}", head.start);
    }
}

#[test]
fn what_is_no_whole_opening_is_an_ordinary_request_without_its_upgrade() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&with(origin.port(), json!({})));
    let plain = |name: &str, value: &str| {
        let mut request = opening("/");
        request.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        request.header(name, value)
    };
    for request in [
        plain("Sec-WebSocket-Key", "short"),
        plain("Sec-WebSocket-Version", "8"),
        plain("Upgrade", "h2c"),
        plain("Connection", "keep-alive"),
        Request { method: "POST".into(), ..opening("/") },
        opening("/").body("x"),
        opening("/").header("Upgrade", "websocket"),
    ] {
        assert_eq!(gateway.ask(&request).status, 200, "{request:?}");
        let seen = origin.last();
        assert!(seen.header("upgrade").is_none() && !seen.head.lists("connection", "upgrade"), "{request:?}");
    }
}

#[test]
fn a_client_has_only_so_many_open_and_they_are_counted() {
    let parrot = parrot();
    let limited = with(parrot.port(), json!({ "Limits": { "MaxTunnelsPerClient": 2 } }));
    let gateway = Gateway::with(&limited);
    let mut first = must_open(gateway.address, &opening("/"));
    let second = must_open(gateway.address, &opening("/"));
    let (third, _) = open(gateway.address, &opening("/"));
    assert!(third.start.contains(" 503 "), "{}", third.start);
    let metrics = gateway.admin("/metrics").text();
    assert!(
        metrics.contains("\nmargay_tunnels 2\n") && metrics.contains("\nmargay_tunnels_opened_total 2\n")
    );
    assert!(says_back(&mut first, "hi"));
    drop(second);
    let opens = || open(gateway.address, &opening("/")).1.is_some();
    assert!(becomes_true(Duration::from_secs(10), opens));
    let carried = gateway.admin("/metrics").text();
    assert!(carried.contains("margay_tunnel_bytes_total{to=\"service\"}"), "{carried}");
}

#[test]
fn a_reload_does_not_touch_it() {
    let parrot = parrot();
    let gateway = Gateway::with(&with(parrot.port(), json!({})));
    let mut socket = must_open(gateway.address, &opening("/"));
    let mut closed = to(parrot.port());
    closed["UpstreamPathTemplate"] = json!("/elsewhere");
    gateway.write(&json!({ "Routes": [closed] }).to_string());
    assert!(becomes_true(Duration::from_secs(10), || gateway.get("/").status == 404));
    assert!(says_back(&mut socket, "still here"));
}

#[test]
fn a_gateway_that_goes_says_so_to_both_sides_between_two_frames() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Scripted::start(move |wire, _| {
        let head = wire.head().unwrap();
        wire.send(agreement(&head, "").as_bytes());
        let mut socket = socket(wire, Role::Server);
        let half = socket.read().unwrap();
        let last = socket.read();
        let _ = tell.send((half, last.is_ok_and(|m| m.is_close())));
        let _ = socket.flush();
    });
    let mut gateway = Gateway::with(&with(service.port(), json!({ "Limits": { "DrainTimeout": "5s" } })));
    let mut socket = must_open(gateway.address, &opening("/"));
    // The first half of a frame, then the signal, then the second half.
    let stream = socket.get_mut();
    stream.write_all(&[0x81, 0x84, 0, 0, 0, 0, b'h', b'a']).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    gateway.process.signal("TERM");
    let goodbye = socket.read().unwrap();
    assert!(matches!(&goodbye, Message::Close(Some(frame)) if u16::from(frame.code) == 1001), "{goodbye:?}");
    socket.get_mut().write_all(b"lf").unwrap();
    let (half, closed) = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((half, closed), (Message::text("half"), true));
    drop(socket);
    assert_eq!(gateway.process.ends_within(Duration::from_secs(10)).and_then(|ended| ended.code), Some(0));
}

#[test]
fn silence_ends_it_and_so_does_the_loss_of_either_side() {
    let parrot = parrot();
    let gateway = Gateway::with(&with(parrot.port(), json!({ "Limits": { "TunnelIdleTimeout": "1s" } })));
    let mut silent = must_open(gateway.address, &opening("/"));
    let began = Instant::now();
    assert!(silent.read().is_err());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let mut cut = must_open(gateway.address, &opening("/"));
    assert!(says_back(&mut cut, "hello"));
    parrot.hang_up();
    assert!(cut.read().is_err());
    let left = must_open(gateway.address, &opening("/"));
    drop(left);
    assert!(becomes_true(Duration::from_secs(10), || parrot.open() == 0), "the service's side is closed too");
}

#[test]
fn a_thousand_at_one_time_and_none_lost() {
    let parrot = parrot();
    let gateway = Gateway::start(&Setup::json(&with(parrot.port(), json!({}))).threads(2));
    let mut all: Vec<_> = (0..1000).map(|_| must_open(gateway.address, &opening("/"))).collect();
    for (n, socket) in all.iter_mut().enumerate() {
        assert!(says_back(socket, &format!("message {n}")), "{n}");
    }
    assert!(gateway.admin("/metrics").text().contains("\nmargay_tunnels 1000\n"));
}
