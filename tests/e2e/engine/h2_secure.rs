//! HTTP/2 over TLS: negotiation with backends and clients, and connections that end under load.

use super::{document, over, to};
use crate::support::client::Request as Plain;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS, request, run, whole,
};
use crate::support::http1_reader::Http1Stream;
use crate::support::origin::{Origin, Seen};
use crate::support::ports;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::{Authority, Issued, self_signed};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// A route with its own path to a backend over TLS.
fn route(path: &str, port: u16, more: &Value) -> Value {
    let template = format!("/{path}/{{everything}}");
    let secure = json!({ "UpstreamPathTemplate": template, "DownstreamScheme": "https",
        "DangerousAcceptAnyServerCertificateValidator": true });
    over(over(to(port), &secure), more)
}

fn protocol_options(version: &str, policy: &str) -> Value {
    json!({ "DownstreamHttpVersion": version, "DownstreamHttpVersionPolicy": policy })
}

fn exact() -> Value {
    protocol_options("2.0", "RequestVersionExact")
}

/// A gateway that listens over TLS with a certificate for `localhost`.
pub(super) fn over_tls(authority: &Authority, document: &Value) -> (Gateway, SocketAddr) {
    let address = ports::free_address();
    let pair = json!([{ "CertificateFile": "own.pem", "KeyFile": "own.key" }]);
    let listener = json!({ "Address": address.to_string(), "Tls": { "Certificates": pair } });
    let Issued { chain, key } = authority.issue(&["localhost"]);
    let setup = Setup::json(&over(json!({ "Listeners": [listener] }), document))
        .own_listeners()
        .file("own.pem", &chain)
        .file("own.key", &key);
    (Gateway::start(&setup), address)
}

/// A backend over TLS that offers these protocols and responds with the selected one.
fn service(protocols: &[&str]) -> Origin {
    Origin::secure_with(self_signed("localhost").server(protocols, None), |seen| {
        StubResponse::new(200, seen.head.start.rsplit(' ').next().unwrap_or_default())
    })
}

#[test]
fn version_and_policy_select_the_protocol_of_the_backend() {
    let (both, old, new, none) =
        (service(&["h2", "http/1.1"]), service(&["http/1.1"]), service(&["h2"]), service(&[]));
    let cases = [
        (&both, "2.0", "RequestVersionOrLower", Some("HTTP/2.0")),
        (&both, "2.0", "RequestVersionExact", Some("HTTP/2.0")),
        (&both, "2.0", "RequestVersionOrHigher", Some("HTTP/2.0")),
        (&both, "1.1", "RequestVersionOrLower", Some("HTTP/1.1")),
        (&both, "1.1", "RequestVersionExact", Some("HTTP/1.1")),
        (&both, "1.1", "RequestVersionOrHigher", Some("HTTP/2.0")),
        (&both, "3.0", "RequestVersionOrLower", Some("HTTP/2.0")),
        (&old, "2.0", "RequestVersionOrLower", Some("HTTP/1.1")),
        (&old, "2.0", "RequestVersionExact", None),
        (&old, "2.0", "RequestVersionOrHigher", None),
        (&old, "1.1", "RequestVersionOrHigher", Some("HTTP/1.1")),
        (&new, "2.0", "RequestVersionOrLower", Some("HTTP/2.0")),
        (&new, "2.0", "RequestVersionExact", Some("HTTP/2.0")),
        (&new, "1.1", "RequestVersionOrHigher", Some("HTTP/2.0")),
        (&new, "1.1", "RequestVersionOrLower", None),
        (&none, "2.0", "RequestVersionOrLower", Some("HTTP/1.1")),
        (&none, "2.0", "RequestVersionExact", None),
    ];
    let routes: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(n, (service, version, policy, _))| {
            route(&n.to_string(), service.port(), &protocol_options(version, policy))
        })
        .collect();
    let gateway = Gateway::with(&json!({ "Routes": routes }));
    for (n, (_, version, policy, expected)) in cases.iter().enumerate() {
        // The second request uses what the first one learned.
        for _ in 0..2 {
            let answer = gateway.get(&format!("/{n}/x"));
            let text = (answer.status == 200).then(|| answer.text());
            assert_eq!(text.as_deref(), *expected, "case {n}: {version} {policy}: {}", answer.text());
        }
    }
    assert!(new.connections() >= 3 && both.connections() >= 2);
}

#[test]
fn streams_share_one_tls_connection_with_trailers_in_both_directions() {
    let all = Arc::new(Barrier::new(20));
    let meet = all.clone();
    let answer = move |seen: &Seen| {
        if seen.path == "/meet" {
            meet.wait();
        }
        let check = seen.trailers.iter().find(|(name, _)| name == "x-check").map_or("none", |(_, v)| v);
        StubResponse::new(200, &seen.body).chunked(&[("x-sum", check)])
    };
    let origin = Origin::secure_with(self_signed("localhost").server(&["h2"], None), answer);
    let authority = Authority::new("ours");
    let (_gateway, address) =
        over_tls(&authority, &json!({ "Routes": [route("s", origin.port(), &exact())] }));
    run(async {
        let mut client = Client::secure(address, "localhost", &authority.client(None)).await;
        let named = |path: &str| {
            let mut head = request("POST", path, &[("te", "trailers"), ("trailer", "x-check")]);
            *head.uri_mut() = format!("https://localhost{path}").parse().expect("a target");
            head
        };
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(client.begin(named("/s/meet"), true).await.0);
        }
        for answer in waiting {
            assert_eq!(whole(answer.await.expect("a response")).await.expect("a body").status(), 200);
        }
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 3) as u8).collect();
        let (answer, mut body) = client.begin(named("/s/echo"), false).await;
        body.send_data(Bytes::from(sent.clone()), false).expect("sent");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-check", "7".parse().expect("a value"));
        body.send_trailers(trailers).expect("sent");
        let answer = whole(answer.await.expect("a response")).await.expect("a body");
        assert!(answer.body == sent, "{} bytes came back", answer.body.len());
        assert_eq!(answer.trailer("x-sum"), Some("7"));
    });
    assert_eq!(origin.connections(), 1);
}

/// Reads a frame: type, flags, stream.
fn frame(wire: &mut Http1Stream) -> Option<(u8, u8, u32)> {
    let mut head = Vec::new();
    wire.exactly(9, &mut |part| head.extend_from_slice(part)).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    wire.exactly(u64::from(length), &mut |_| {}).ok()?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}

fn bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("fits").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A backend that serves this many requests per connection, then sends GOAWAY, ignores later ones, finishes the active
/// ones and closes, as nginx does with `keepalive_requests`.
fn serve_then_goaway(wire: &mut Http1Stream, most: usize) {
    let _ = wire.exactly(24, &mut |_| {});
    wire.send(&bytes(SETTINGS, 0, 0, b""));
    let mut begun = 0;
    while let Some((kind, flags, stream)) = frame(wire) {
        match kind {
            HEADERS => {
                begun += 1;
                let mut later = wire.stream.try_clone().expect("a second handle");
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(u64::from(stream % 8)));
                    let head = bytes(HEADERS, END_HEADERS, stream, &[0x88]);
                    let _ = later.write_all(&[head, bytes(DATA, END_STREAM, stream, b"ok")].concat());
                });
                if begun == most {
                    wire.send(&bytes(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat()));
                    break;
                }
            }
            SETTINGS if flags == 0 => drop(wire.send(&bytes(SETTINGS, 1, 0, b""))),
            PING if flags == 0 => drop(wire.send(&bytes(PING, 1, 0, &[0; 8]))),
            _ => {}
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    wire.finish();
    let _ = wire.drain();
}

#[test]
fn a_goaway_under_load_loses_no_request() {
    let origin = ScriptedBackend::start(|wire, _| serve_then_goaway(wire, 40));
    let version_options =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    let gateway = Gateway::with(&document(origin.port(), &version_options, &json!({})));
    run(async {
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Client::connect(gateway.address).await);
        }
        let tasks: Vec<_> = (0..60)
            .map(|n: usize| {
                let mut client = clients[n % 4].clone();
                tokio::spawn(async move {
                    for k in 0..25 {
                        let method = ["GET", "POST", "PUT"][k % 3];
                        let answer = client.ask(request(method, &format!("/{n}/{k}"), &[])).await;
                        assert_eq!(answer.expect("a response").status(), 200, "{method} /{n}/{k}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert!(origin.connections() >= 60 * 25 / 40, "{} connections", origin.connections());
}

#[test]
fn curl_and_h2load_agree_on_http_2_over_tls() {
    let origin = Origin::with(|seen| StubResponse::new(200, seen.path.repeat(100)));
    let authority = Authority::new("ours");
    let (_gateway, address) = over_tls(&authority, &document(origin.port(), &json!({}), &json!({})));
    let url = format!("https://localhost:{}/a", address.port());
    let at = format!("localhost:{}:127.0.0.1", address.port());
    for (option, got) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let ran = Command::new("curl")
            .args([
                "-sSk",
                option,
                "--resolve",
                &at,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version}",
                &url,
            ])
            .output()
            .expect("curl");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("200 {got}"));
    }
    let ran = Command::new("h2load")
        .args(["-n", "2000", "-c", "4", "-m", "100", &format!("https://127.0.0.1:{}/a", address.port())])
        .output()
        .expect("h2load");
    let output = String::from_utf8_lossy(&ran.stdout);
    assert!(output.contains("2000 succeeded, 0 failed, 0 errored"), "{output}");
    assert!(output.contains("Application protocol: h2"), "{output}");
}

#[test]
fn http_1_and_http_2_clients_get_the_same_response_of_a_tls_backend() {
    let origin = Origin::secure_with(self_signed("localhost").server(&["h2"], None), |seen| {
        StubResponse::new(200, format!("{} {}", seen.method, seen.target)).header("X-One", "1")
    });
    let gateway = Gateway::with(&json!({ "Routes": [route("s", origin.port(), &exact())] }));
    let mut seen = HashSet::new();
    let old = gateway.ask(&Plain::new("PUT", "/s/a?b=c").body("hello"));
    seen.insert((old.status, old.text(), old.header("x-one").map(str::to_owned)));
    run(async {
        let (answer, mut body) =
            Client::connect(gateway.address).await.begin(request("PUT", "/s/a?b=c", &[]), false).await;
        body.send_data(Bytes::from_static(b"hello"), true).expect("sent");
        let new = whole(answer.await.expect("a response")).await.expect("a body");
        seen.insert((new.status(), new.text(), new.header("x-one").map(str::to_owned)));
    });
    assert_eq!(seen, HashSet::from([(200, "PUT /a?b=c".to_owned(), Some("1".to_owned()))]));
    assert!(origin.seen().iter().all(|seen| seen.body == b"hello"));
}
