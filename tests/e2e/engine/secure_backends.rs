//! Backends over TLS: verification, its failures, and the reuse of connections and sessions.

use super::{document, over};
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::ports;
use crate::support::scripted_backend::ScriptedBackend;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::{Authority, self_signed};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn https(more: &Value) -> Value {
    let endpoint = json!({ "DownstreamScheme": "https" });
    over(endpoint, more)
}

/// One route to `localhost`, over TLS.
fn to_localhost(port: u16, more: &Value) -> Value {
    let host = json!({ "DownstreamHostAndPorts": [{ "Host": "localhost", "Port": port }] });
    document(port, &https(&over(host, more)), &json!({}))
}

/// A gateway on a system that trusts this authority.
fn with_trusted_authority(authority: &Authority, document: &Value) -> Gateway {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let setup = Setup::json(document).env("SSL_CERT_FILE", file.to_str().expect("UTF-8"));
    Gateway::start(&setup)
}

/// A backend that responds with the length of the body, a trailer and a long response.
fn echo(authority: &Authority, names: &[&str]) -> Origin {
    let answer = |seen: &Seen| match seen.method.as_str() {
        "POST" => StubResponse::new(200, seen.length.to_string()).chunked(&[("X-End", "1")]),
        _ => StubResponse::new(200, vec![b'x'; 3 << 20]),
    };
    Origin::secure_with(authority.issue(names).server(&["http/1.1"], None), answer)
}

#[test]
fn a_backend_certificate_is_verified_by_name_and_the_connection_reused() {
    let authority = Authority::new("ours");
    let origin = echo(&authority, &["localhost"]);
    let gateway = with_trusted_authority(&authority, &to_localhost(origin.port(), &json!({})));
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").length, 3 << 20);
        let upload = client.must(&Request::new("POST", "/").body(vec![b'y'; 2 << 20]));
        assert_eq!((upload.text(), upload.trailers.len()), ((2 << 20).to_string(), 1));
    }
    assert_eq!(origin.connections(), 1);
    let seen = origin.last();
    assert_eq!(seen.server_name.as_deref(), Some("localhost"));
    assert_eq!(seen.header("host"), Some(format!("localhost:{}", origin.port()).as_str()));
}

#[test]
fn an_untrusted_certificate_has_its_own_502() {
    let authority = Authority::new("ours");
    for (service, reason) in [
        (self_signed("localhost").server(&["http/1.1"], None), "UnknownIssuer"),
        (authority.issue(&["elsewhere"]).server(&["http/1.1"], None), "not valid for name"),
    ] {
        let origin = Origin::secure(service);
        let gateway = with_trusted_authority(&authority, &to_localhost(origin.port(), &json!({})));
        let answer = gateway.get("/");
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (502, Some("backend.certificate")));
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(reason)), "{problem}");
        assert_eq!(origin.calls(), 0, "nothing was sent");
    }
}

#[test]
fn verification_is_disabled_only_by_a_setting_with_a_warning() {
    let origin = Origin::secure(self_signed("nobody.example").server(&["http/1.1"], None));
    let any = json!({ "DangerousAcceptAnyServerCertificateValidator": true });
    let gateway = Gateway::with(&to_localhost(origin.port(), &any));
    assert_eq!(gateway.get("/").text(), "hello");
    let log = gateway.process.stderr();
    assert!(log.contains("warning[MG0460]") && log.contains("accepts any certificate"), "{log}");
}

#[test]
fn a_tls_session_is_resumed_on_a_new_connection() {
    let authority = Authority::new("ours");
    let tls = authority.issue(&["localhost"]).server(&["http/1.1"], None);
    let origin = Origin::secure_with(tls, |_| StubResponse::new(200, "bye").header("Connection", "close"));
    let gateway = with_trusted_authority(&authority, &to_localhost(origin.port(), &json!({})));
    for _ in 0..4 {
        assert_eq!(gateway.get("/").text(), "bye");
    }
    assert_eq!((origin.connections(), origin.resumed()), (4, 3));
}

#[test]
fn a_failed_handshake_has_its_own_502_and_a_silent_one_times_out() {
    let plain = ScriptedBackend::start(|wire, _| {
        let _ = wire.fill();
        wire.send(b"HTTP/1.1 400 InvalidHead Request\r\nConnection: close\r\n\r\n");
    });
    let gateway = Gateway::with(&to_localhost(plain.port(), &json!({})));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (502, Some("backend.tls")));
    let silent = ports::listener();
    let port = silent.local_addr().expect("an address").port();
    let limits = json!({ "Limits": { "ConnectTimeout": "200ms" } });
    let gateway = Gateway::with(&document(port, &https(&json!({})), &limits));
    let began = Instant::now();
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (504, Some("backend.connect_timeout")));
    assert!(began.elapsed() < Duration::from_secs(2), "the handshake counts into the time to connect");
}

#[test]
fn without_a_scheme_the_scheme_of_the_client_is_used() {
    let (plain, secure) = (Origin::hello(), Origin::secure(self_signed("x").server(&["http/1.1"], None)));
    let rest = json!({ "ForwardedHeaders": { "TrustedProxies": ["127.0.0.1"] },
        "Limits": { "ConnectTimeout": "500ms" } });
    let gateway_for = |port: u16| {
        let any = json!({ "DownstreamScheme": null, "DangerousAcceptAnyServerCertificateValidator": true });
        Gateway::with(&document(port, &any, &rest))
    };
    let over_tls = Request::get("/").header("X-Forwarded-Proto", "https");
    let gateway = gateway_for(secure.port());
    assert_eq!(gateway.ask(&over_tls).text(), "hello");
    assert_eq!(gateway.get("/").json()["code"], "backend.malformed", "plain: the service expects TLS");
    let gateway = gateway_for(plain.port());
    assert_eq!(gateway.get("/").text(), "hello");
    assert_eq!(gateway.ask(&over_tls).json()["code"], "backend.connect_timeout", "it waits for a request");
}

#[test]
fn a_backend_named_by_a_header_has_its_own_scheme() {
    let origin = Origin::secure_with(self_signed("x").server(&["http/1.1"], None), |_| {
        StubResponse::new(302, "").header("Location", "https://localhost/next")
    });
    let route = json!({ "DangerousAcceptAnyServerCertificateValidator": true,
        "DownstreamHeaderTransform": { "X-Service": "{DownstreamBaseUrl}" } });
    let gateway = Gateway::with(&to_localhost(origin.port(), &route));
    let expected = format!("https://localhost:{}/", origin.port());
    assert_eq!(gateway.get("/").header("x-service"), Some(expected.as_str()));
}

#[test]
fn a_backend_may_have_its_own_authority_and_server_name_and_require_mutual_tls() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let origin = Origin::secure(theirs.issue(&["orders.internal"]).server(&["http/1.1"], Some(&ours)));
    let own = ours.issue(&["gateway.internal"]);
    let start = |options: Value| {
        let route = json!({ "DownstreamScheme": "https", "TlsOptions": options, "PreserveHost": true,
            "UpstreamHeaderTransform": { "Host": "shown.internal" } });
        let setup = Setup::json(&document(origin.port(), &route, &json!({})))
            .file("ca.pem", &theirs.pem())
            .file("own.pem", &own.chain)
            .file("own.key", &own.key);
        Gateway::start(&setup)
    };
    let named = json!({ "CaFile": "ca.pem", "ServerName": "orders.internal" });
    let why = |gateway: &Gateway| gateway.get("/").json()["code"].as_str().map(str::to_owned);
    assert_eq!(why(&start(json!({ "CaFile": "ca.pem" }))).as_deref(), Some("backend.certificate"));
    assert_ne!(why(&start(named.clone())), None, "it wants a certificate");
    assert_eq!(origin.calls(), 0);
    let gateway = start(over(named, &json!({ "CertificateFile": "own.pem", "KeyFile": "own.key" })));
    assert_eq!(gateway.get("/").text(), "hello");
    let seen = origin.last();
    assert_eq!((seen.server_name.as_deref(), seen.certified), (Some("orders.internal"), true));
    assert_eq!(seen.header("host"), Some("shown.internal"));
}
