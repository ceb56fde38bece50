//! WebSocket through the gateway: opened after all stages, relayed unchanged, closed in order.

use super::{document, over, to};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::{Stub, StubResponse};
use crate::support::tls::Authority;
use crate::support::websocket::*;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Error, Message};

/// An echo backend.
fn echo_backend_of() -> Origin {
    Origin::stubs(vec![Stub::read(&json!({ "when": {}, "websocket": "echo" }))])
}

fn with(port: u16, more: Value) -> Value {
    document(port, &json!({}), &more)
}

#[test]
fn messages_are_echoed_and_the_close_is_relayed() {
    let parrot = echo_backend_of();
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
fn all_stages_run_before_the_upgrade() {
    let parrot = echo_backend_of();
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
fn bytes_directly_after_the_heads_are_relayed() {
    let hasty = ScriptedBackend::start(|wire, _| {
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
fn a_rejected_upgrade_is_relayed_and_an_invalid_one_is_a_502() {
    let refusing = Origin::with(|_| StubResponse::new(403, "not you").header("X-Reason", "mood"));
    let gateway = Gateway::with(&with(refusing.port(), json!({})));
    let (head, _) = open(gateway.address, &opening("/"));
    assert!(head.start.contains(" 403 ") && head.get("x-reason") == Some("mood"), "{head:?}");
    for lie in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let liar = ScriptedBackend::start(move |wire, _| {
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
fn an_incomplete_handshake_is_an_ordinary_request() {
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
fn connections_per_client_are_limited_and_counted() {
    let parrot = echo_backend_of();
    let limited = with(parrot.port(), json!({ "Limits": { "MaxWebSocketsPerClient": 2 } }));
    let gateway = Gateway::with(&limited);
    let mut first = must_open(gateway.address, &opening("/"));
    let second = must_open(gateway.address, &opening("/"));
    let (third, _) = open(gateway.address, &opening("/"));
    assert!(third.start.contains(" 503 "), "{}", third.start);
    let metrics = gateway.admin("/metrics").text();
    assert!(
        metrics.contains("\nmargay_websocket_connections 2\n")
            && metrics.contains("\nmargay_websocket_connections_total 2\n")
    );
    assert!(says_back(&mut first, "hi"));
    drop(second);
    let opens = || open(gateway.address, &opening("/")).1.is_some();
    assert!(becomes_true(Duration::from_secs(10), opens));
    let carried = gateway.admin("/metrics").text();
    assert!(carried.contains("margay_websocket_bytes_total{direction=\"to_backend\"}"), "{carried}");
}

#[test]
fn a_reload_keeps_open_connections() {
    let parrot = echo_backend_of();
    let gateway = Gateway::with(&with(parrot.port(), json!({})));
    let mut socket = must_open(gateway.address, &opening("/"));
    let mut closed = to(parrot.port());
    closed["UpstreamPathTemplate"] = json!("/elsewhere");
    gateway.write(&json!({ "Routes": [closed] }).to_string());
    assert!(becomes_true(Duration::from_secs(10), || gateway.get("/").status == 404));
    assert!(says_back(&mut socket, "still here"));
}

#[test]
fn shutdown_sends_going_away_to_both_sides_between_frames() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = ScriptedBackend::start(move |wire, _| {
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
fn the_idle_timeout_or_the_loss_of_either_side_closes_it() {
    let parrot = echo_backend_of();
    let gateway = Gateway::with(&with(parrot.port(), json!({ "Limits": { "WebSocketIdleTimeout": "1s" } })));
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
fn a_thousand_concurrent_connections_lose_no_message() {
    let echo_backend = EchoBackend::start(None);
    let gateway = Gateway::start(&Setup::json(&with(echo_backend.port(), json!({}))).threads(2));
    let target = |n: usize| format!("ws://{}/{n}", gateway.address);
    run(async {
        let open =
            |n: usize| async move { tokio_tungstenite::connect_async(target(n)).await.expect("101").0 };
        let mut all = join_all((0..1000).map(open)).await;
        assert!(gateway.admin("/metrics").text().contains("\nmargay_websocket_connections 1000\n"));
        join_all(all.iter_mut().enumerate().map(|(n, socket)| async move {
            for turn in 0..3 {
                let sent = Message::text(format!("{turn} of {n}"));
                socket.send(sent.clone()).await.expect("sent");
                assert_eq!(socket.next().await.expect("a response").expect("no error"), sent);
            }
            socket.close(None).await.expect("closed");
            assert!(socket.next().await.expect("a response").expect("no error").is_close());
            assert!(socket.next().await.is_none(), "{n}: the end is clean");
        }))
        .await;
    });
    let over = || gateway.admin("/metrics").text().contains("\nmargay_websocket_connections 0\n");
    assert!(becomes_true(Duration::from_secs(10), over));
    assert!(gateway.admin("/metrics").text().contains("\nmargay_websocket_connections_total 1000\n"));
}

#[test]
fn both_sides_may_use_tls() {
    let authority = Authority::new("ours");
    let certificate = authority.issue(&["localhost"]);
    let address = ports::free_address();
    let plain = ports::free_address();
    let echo_backend =
        (EchoBackend::start(None), EchoBackend::start(Some(certificate.server(&["http/1.1"], None))));
    let route = |path: &str, scheme: &str, port: u16| {
        let mut route = to(port);
        route["UpstreamPathTemplate"] = json!(path);
        route["DownstreamPathTemplate"] = json!("/");
        route["DownstreamScheme"] = json!(scheme);
        route["DownstreamHostAndPorts"] = json!([{ "Host": "localhost", "Port": port }]);
        route
    };
    let tls = json!({ "Certificates": [{ "CertificateFile": "own.pem", "KeyFile": "own.key" }] });
    let document = json!({
        "Listeners": [{ "Name": "secure", "Address": address.to_string(), "Tls": tls }, { "Name": "plain", "Address": plain.to_string() }],
        "Routes": [route("/ws", "ws", echo_backend.0.port()), route("/wss", "wss", echo_backend.1.port())],
    });
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
    let setup = Setup::json(&document)
        .own_listeners()
        .env("SSL_CERT_FILE", folder.path().join("ca.pem").to_str().expect("UTF-8"))
        .file("own.pem", &certificate.chain)
        .file("own.key", &certificate.key);
    let _gateway = Gateway::start(&setup);
    run(async {
        for path in ["/ws", "/wss"] {
            let stream = TcpStream::connect(plain).await.expect("a connection");
            exchange_messages(&format!("ws://localhost{path}"), stream).await;
            let stream = TcpStream::connect(address).await.expect("a connection");
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = TlsConnector::from(authority.client(None)).connect(name, stream).await.expect("TLS");
            exchange_messages(&format!("wss://localhost{path}"), stream).await;
        }
    });
}

/// Small and large messages, a ping, and a close with its code.
async fn exchange_messages(target: &str, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut socket, _) = tokio_tungstenite::client_async(target, stream).await.expect(target);
    for sent in [Message::text("hello"), Message::binary(vec![7; 5 << 20]), Message::text("")] {
        socket.send(sent.clone()).await.expect("sent");
        assert!(socket.next().await.expect("a response").expect("no error") == sent, "{target}");
    }
    socket.send(Message::Ping("p".into())).await.expect("sent");
    assert_eq!(socket.next().await.expect("a response").expect("no error"), Message::Pong("p".into()));
    let bye = CloseFrame { code: 4001.into(), reason: "enough".into() };
    socket.close(Some(bye.clone())).await.expect("closed");
    assert_eq!(socket.next().await.expect("a response").expect("no error"), Message::Close(Some(bye)));
    assert!(socket.next().await.is_none(), "{target}: the end is clean");
}

#[test]
fn extensions_and_subprotocols_are_negotiated_end_to_end() {
    let service = ScriptedBackend::start(|wire, _| {
        let head = wire.head().unwrap();
        let offered = head.get("sec-websocket-extensions").unwrap_or_default().to_owned();
        let own = offered.contains("permessage-deflate; client_max_window_bits, x-own; a=\"b, c\"");
        let extensions = if own { "permessage-deflate; server_no_context_takeover" } else { "lost" };
        let more = format!("Sec-WebSocket-Extensions: {extensions}\r\nSec-WebSocket-Protocol: v2.chat\r\n");
        wire.send(agreement(&head, &more).as_bytes());
    });
    let gateway = Gateway::with(&with(service.port(), json!({})));
    let offered = opening("/")
        .header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-own; a=\"b, c\"")
        .header("Sec-WebSocket-Protocol", "v1.chat, v2.chat");
    let (head, _) = open(gateway.address, &offered);
    assert_eq!(head.all("sec-websocket-extensions"), ["permessage-deflate; server_no_context_takeover"]);
    assert_eq!(head.all("sec-websocket-protocol"), ["v2.chat"]);
}

/// A backend that sends its name and keeps the connection open.
fn named(name: &'static str) -> ScriptedBackend {
    ScriptedBackend::start(move |wire, _| {
        let head = wire.head().unwrap();
        wire.send(agreement(&head, "").as_bytes());
        let mut socket = socket(wire, Role::Server);
        let _ = socket.send(Message::text(name));
        while socket.read().is_ok() {}
    })
}

#[test]
fn handshakes_are_balanced_and_counted_like_requests() {
    let services = [named("one"), named("two")];
    let hosts: Vec<_> = services.iter().map(|s| json!({ "Host": "127.0.0.1", "Port": s.port() })).collect();
    let route = |path: &str, more: Value| {
        let mut route = over(to(0), &more);
        route["UpstreamPathTemplate"] = json!(path);
        route["DownstreamPathTemplate"] = json!("/");
        route["DownstreamHostAndPorts"] = json!(hosts);
        route
    };
    let gateway = Gateway::with(&json!({ "Routes": [
        route("/turns", json!({ "LoadBalancerOptions": { "Type": "RoundRobin" } })),
        route("/idlest", json!({ "LoadBalancerOptions": { "Type": "LeastConnection" } })),
        route("/kept", json!({ "LoadBalancerOptions": { "Type": "CookieStickySessions", "Key": "room", "Expiry": 60000 } })),
        route("/few", json!({ "RateLimitOptions": { "Limit": 2, "Period": "1h", "PartitionBy": ["Route"] } })),
        route("/one", json!({ "ConcurrencyLimitOptions": { "Limit": 1 } })),
    ] }));
    let name = |socket: &mut tungstenite::WebSocket<std::net::TcpStream>| {
        socket.read().unwrap().into_text().unwrap()
    };
    let mut turns: Vec<_> = (0..4).map(|_| must_open(gateway.address, &opening("/turns"))).collect();
    let mut names: Vec<_> = turns.iter_mut().map(name).collect();
    names.sort();
    assert_eq!(names, ["one", "one", "two", "two"]);
    // The backend of the open connection has one more active request.
    let mut first = must_open(gateway.address, &opening("/idlest"));
    let busy = name(&mut first);
    let second = name(&mut must_open(gateway.address, &opening("/idlest")));
    assert_ne!(busy, second);
    let room = |room: &str| {
        let mut socket =
            must_open(gateway.address, &opening("/kept").header("Cookie", &format!("room={room}")));
        name(&mut socket)
    };
    let (a, b) = (room("a"), room("b"));
    assert!((0..3).all(|_| room("a") == a && room("b") == b));
    let few: Vec<_> = (0..3).map(|_| open(gateway.address, &opening("/few")).0.start).collect();
    assert!(few[1].contains(" 101 ") && few[2].contains(" 429 "), "{few:?}");
    let only = must_open(gateway.address, &opening("/one"));
    assert!(open(gateway.address, &opening("/one")).0.start.contains(" 503 "));
    drop(only);
    assert!(becomes_true(Duration::from_secs(5), || open(gateway.address, &opening("/one")).1.is_some()));
}
