//! Listeners over TLS: certificates by SNI, rotation, sessions, client certificates, and responses before
//! routing.

use super::{document, over, to};
use crate::support::client::{Client, Request, Response};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::{Authority, Issued};
use crate::support::{StopGuard, becomes_true};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::ClientConfig;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway that listens over TLS, with certificates named `0.pem`, `1.pem` ...
struct Scene {
    gateway: Gateway,
    address: SocketAddr,
    authority: Authority,
    config: Arc<ClientConfig>,
}

/// The gateway, its address and its authority.
struct Plan<'p> {
    authority: Authority,
    certificates: &'p [&'p [&'p str]],
    tls: Value,
    document: Value,
    threads: usize,
}

impl Plan<'_> {
    fn of(document: Value) -> Plan<'static> {
        let authority = Authority::new("ours");
        Plan { authority, certificates: &[&["localhost"]], tls: json!({}), document, threads: 1 }
    }

    fn start(self) -> Scene {
        let address = ports::free_address();
        let pair =
            |at: usize| json!({ "CertificateFile": format!("{at}.pem"), "KeyFile": format!("{at}.key") });
        let pairs: Vec<Value> = (0..self.certificates.len()).map(pair).collect();
        let tls = over(json!({ "Certificates": pairs }), &self.tls);
        let listeners =
            json!({ "Listeners": [{ "Name": "public", "Address": address.to_string(), "Tls": tls }] });
        let mut setup = Setup::json(&over(listeners, &self.document))
            .own_listeners()
            .threads(self.threads)
            .file("clients.pem", &self.authority.pem());
        for (at, names) in self.certificates.iter().enumerate() {
            let Issued { chain, key } = self.authority.issue(names);
            setup = setup.file(&format!("{at}.pem"), &chain).file(&format!("{at}.key"), &key);
        }
        let config = self.authority.client(None);
        Scene { gateway: Gateway::start(&setup), address, authority: self.authority, config }
    }
}

impl Scene {
    fn client(&self, name: &str) -> std::io::Result<Client> {
        Client::secure(self.address, name, self.config.clone())
    }

    fn get(&self, name: &str, target: &str) -> Response {
        self.client(name).expect("a handshake").get(target)
    }

    /// The certificate that is presented for a name.
    fn shown(&self, name: &str) -> Vec<u8> {
        let client = self.client(name).expect("a handshake");
        let tls = client.wire.tls.as_ref().expect("TLS");
        tls.peer_certificates().expect("a certificate")[0].to_vec()
    }

    fn replace(&self, certificate: &Issued) {
        self.gateway.write_file("0.key", &certificate.key);
        self.gateway.write_file("0.pem", &certificate.chain);
    }
}

fn hello(origin: &Origin) -> Value {
    document(origin.port(), &json!({}), &json!({}))
}

#[test]
fn a_certificate_is_selected_by_sni() {
    let origin = Origin::hello();
    let certificates: &[&[&str]] = &[&["localhost"], &["*.example.com"], &["api.example.com"]];
    let scene = Plan { certificates, ..Plan::of(hello(&origin)) }.start();
    for name in ["localhost", "www.example.com", "api.example.com"] {
        assert_eq!(scene.get(name, "/").text(), "hello", "{name}");
    }
    assert_ne!(scene.shown("api.example.com"), scene.shown("www.example.com"));
    let unknown = scene.client("unknown.test").map(|_| ()).expect_err("the first certificate is shown");
    assert!(unknown.to_string().contains("not valid for name"), "{unknown}");
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
}

#[test]
fn long_bodies_pass_in_both_directions() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).chunked(&[("X-End", "1")]));
    let scene = Plan::of(hello(&origin)).start();
    let mut client = scene.client("localhost").expect("a handshake");
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..2 {
        let answer = client.must(&Request::new("POST", "/").body(&body));
        assert!(answer.body == body && answer.trailers.len() == 1);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn sessions_are_resumed_by_every_worker_and_across_reloads() {
    let origin = Origin::hello();
    let scene = Plan { threads: 2, ..Plan::of(hello(&origin)) }.start();
    let ask = |_| {
        let mut client = scene.client("localhost").expect("a handshake");
        assert_eq!(client.get("/").text(), "hello");
        client.wire.is_resumed()
    };
    assert_eq!((0..9).map(ask).filter(|resumed| *resumed).count(), 8, "all but the first");
    let before = scene.shown("localhost");
    scene.replace(&scene.authority.issue(&["localhost"]));
    let other = scene.authority.client(None);
    let fresh = || {
        let client = Client::secure(scene.address, "localhost", other.clone()).expect("a handshake");
        client.wire.tls.as_ref().expect("TLS").peer_certificates().expect("one")[0].to_vec() != before
    };
    assert!(becomes_true(WAIT_TIMEOUT, fresh), "the new certificate is shown");
    assert!(ask(0), "and old sessions go on");
    let metrics = scene.gateway.admin("/metrics").text();
    assert!(
        metrics.contains("margay_tls_handshakes_total{listener=\"public\",outcome=\"full\"}"),
        "{metrics}"
    );
    let expiry =
        "margay_tls_certificate_expiry_timestamp_seconds{certificate=\"0.pem\",listener=\"public\"} ";
    let line = metrics.lines().find(|line| line.starts_with(expiry)).expect("an expiry");
    assert!(line[expiry.len()..].parse::<f64>().expect("a number") > 1.8e9, "{line}");
}

#[test]
fn a_certificate_without_its_key_does_not_replace_a_valid_one() {
    let origin = Origin::hello();
    let scene = Plan::of(hello(&origin)).start();
    let other = scene.authority.issue(&["localhost"]);
    scene.gateway.write_file("0.pem", &other.chain);
    let refused = || scene.gateway.process.stderr().contains("error[MG0620]");
    assert!(becomes_true(WAIT_TIMEOUT, refused));
    assert_eq!(scene.get("localhost", "/").text(), "hello");
    scene.gateway.write_file("0.key", &other.key);
    let other = other.certificates()[0].to_vec();
    assert!(becomes_true(WAIT_TIMEOUT, || scene.shown("localhost") == other));
}

#[test]
fn certificates_rotated_under_load_fail_no_handshake() {
    let origin = Origin::hello();
    let scene = Plan { threads: 2, ..Plan::of(hello(&origin)) }.start();
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let config = scene.authority.client(None);
                    let mut client = Client::secure(scene.address, "localhost", config).expect("a handshake");
                    assert_eq!(client.get("/").status, 200);
                    made.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..100 {
            let next = scene.authority.issue(&["localhost"]);
            scene.replace(&next);
            let next = next.certificates()[0].to_vec();
            assert!(becomes_true(WAIT_TIMEOUT, || scene.shown("localhost") == next));
        }
    });
    let metrics = scene.gateway.admin("/metrics").text();
    assert!(
        metrics.contains("margay_tls_handshakes_total{listener=\"public\",outcome=\"failed\"} 0"),
        "{metrics}"
    );
    assert!(made.load(Ordering::SeqCst) > 100);
}

#[test]
fn a_slow_handshake_times_out_without_delaying_others() {
    let origin = Origin::hello();
    let tls = json!({ "HandshakeTimeout": "300ms" });
    let scene = Plan { tls, ..Plan::of(hello(&origin)) }.start();
    let mut silent = Client::connect(scene.address);
    let mut slow = Client::connect(scene.address);
    slow.send([0x16, 3, 1, 2, 0, 1]);
    assert_eq!(scene.get("localhost", "/").text(), "hello");
    assert!(silent.closes_within(Duration::from_secs(3)) && slow.closes_within(Duration::from_secs(3)));
    let mut plain = Client::connect(scene.address);
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    plain.wire.read_timeout(Duration::from_secs(3));
    assert!(!plain.wire.drain().expect("it is closed").starts_with(b"HTTP"), "no TLS, no answer");
    for line in ["outcome=\"timeout\"} 2", "outcome=\"failed\"} 1"] {
        assert!(
            becomes_true(WAIT_TIMEOUT, || scene.gateway.admin("/metrics").text().contains(line)),
            "{line}"
        );
    }
}

#[test]
fn a_required_client_certificate_identifies_the_client() {
    let origin = Origin::hello();
    let clients = json!({ "CaFile": "clients.pem", "Forward": true });
    let route = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["machines"] },
        "AddHeadersToRequest": { "X-Robot": "Claims[dns] > value" } });
    let rest = json!({ "AuthenticationSchemes": { "machines": { "Type": "ClientCertificate" } } });
    let tls = json!({ "ClientCertificates": clients });
    let scene = Plan { tls, ..Plan::of(document(origin.port(), &route, &rest)) }.start();
    let without_certificate = scene.client("localhost").and_then(|mut client| {
        client.ask(&Request::get("/")).map_err(|fault| std::io::Error::other(format!("{fault:?}")))
    });
    assert!(without_certificate.is_err(), "{without_certificate:?}");
    let untrusted = Authority::new("another").issue(&["robot.test"]);
    let refused = Client::secure(scene.address, "localhost", scene.authority.client(Some(&untrusted)))
        .is_ok_and(|mut client| client.ask(&Request::get("/")).is_ok());
    assert!(!refused && origin.calls() == 0);
    let robot = scene.authority.issue(&["robot.test"]);
    let config = scene.authority.client(Some(&robot));
    for _ in 0..2 {
        let mut client = Client::secure(scene.address, "localhost", config.clone()).expect("a handshake");
        let forged = Request::get("/").header("Client-Cert", ":forged:").header("X-Robot", "me");
        assert_eq!(client.must(&forged).status, 200, "the second time with a resumed session");
        let seen = origin.last();
        assert_eq!(seen.head.all("x-robot"), ["robot.test"]);
        let sent = seen.head.all("client-cert");
        assert!(sent.len() == 1 && sent[0].starts_with(":MII") && sent[0].ends_with(':'), "{sent:?}");
    }
}

#[test]
fn an_optional_client_certificate_may_be_missing() {
    let origin = Origin::hello();
    let asking = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["machines"] } });
    let open =
        over(to(origin.port()), &json!({ "UpstreamPathTemplate": "/open", "DownstreamPathTemplate": "/" }));
    let rest = json!({ "AuthenticationSchemes": { "machines": { "Type": "ClientCertificate" } } });
    let mut document = document(origin.port(), &asking, &rest);
    document["Routes"].as_array_mut().expect("routes").insert(0, open);
    let tls = json!({ "ClientCertificates": { "Mode": "Optional", "CaFile": "clients.pem" } });
    let scene = Plan { tls, ..Plan::of(document) }.start();
    assert_eq!(scene.get("localhost", "/open").status, 200);
    let refused = scene.get("localhost", "/closed");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("identity.missing")));
    assert_eq!(refused.header("www-authenticate"), Some("ClientCertificate realm=\"machines\""));
    let robot = scene.authority.issue(&["robot.test"]);
    let config = scene.authority.client(Some(&robot));
    let mut client = Client::secure(scene.address, "localhost", config).expect("a handshake");
    assert_eq!(client.get("/closed").status, 200);
    assert!(!origin.last().head.has("client-cert"), "`Forward` is not set");
}

#[test]
fn a_host_with_another_certificate_is_misdirected() {
    let origin = Origin::hello();
    let certificates: &[&[&str]] = &[&["a.test", "b.test"], &["c.test"]];
    let scene = Plan { certificates, ..Plan::of(hello(&origin)) }.start();
    let mut client = scene.client("a.test").expect("a handshake");
    let ask = |client: &mut Client, host: &str| client.must(&Request::get("/").header("Host", host));
    assert_eq!(ask(&mut client, "A.test:8443").status, 200);
    assert_eq!(ask(&mut client, "b.test").status, 200, "the same certificate");
    let refused = ask(&mut client, "c.test");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (421, Some("request.misdirected")));
    assert_eq!(ask(&mut client, "a.test").status, 200, "the connection goes on");
    assert_eq!(origin.calls(), 3);
}

#[test]
fn plain_http_is_redirected_and_https_sets_hsts() {
    let origin = Origin::hello();
    let strict = json!({ "StrictTransportSecurity": { "MaxAge": "730d", "IncludeSubDomains": true } });
    let scene = Plan { tls: strict, ..Plan::of(hello(&origin)) }.start();
    let answer = scene.get("localhost", "/");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
    let address = ports::free_address();
    let plain = json!({ "Listeners": [{ "Address": address.to_string(), "RedirectToHttps": 8443 }] });
    let gateway = Gateway::start(&Setup::json(&over(hello(&origin), &plain)).own_listeners());
    let mut client = Client::connect(address);
    let answer = client.must(&Request::new("POST", "/a?b=c").header("Host", "gw.test").body("x"));
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://gw.test:8443/a?b=c")));
    assert_eq!(client.get("/").status, 308, "the connection goes on");
    assert_eq!(origin.calls(), 1);
    drop(gateway);
}

#[test]
fn redirects_lead_to_hosts_of_the_gateway_only() {
    let origin = Origin::hello();
    let (secure, plain) = (ports::free_address(), ports::free_address());
    let authority = Authority::new("ours");
    let Issued { chain, key } = authority.issue(&["gw.test", "*.gw.test"]);
    let tls = json!({ "Certificates": [{ "CertificateFile": "own.pem", "KeyFile": "own.key" }] });
    let listeners = json!([
        { "Address": secure.to_string(), "Tls": tls },
        { "Address": plain.to_string(), "RedirectToHttps": 443 },
    ]);
    let proxies =
        json!({ "TrustedProxies": ["127.0.0.1"], "Headers": ["X-Forwarded-Proto", "X-Forwarded-Host"] });
    let rest = json!({ "Listeners": listeners, "ForwardedHeaders": proxies });
    let setup = Setup::json(&document(origin.port(), &json!({}), &rest)).own_listeners();
    let _gateway = Gateway::start(&setup.file("own.pem", &chain).file("own.key", &key));
    let ask = |host: &str, fields: &[(&str, &str)]| {
        let request = Request::get("/a").header("Host", host);
        Client::connect(plain).must(&fields.iter().fold(request, |r, (name, value)| r.header(name, value)))
    };
    let location = |response: &Response| response.header("location").map(str::to_owned);
    assert_eq!(location(&ask("api.gw.test:80", &[])).as_deref(), Some("https://api.gw.test/a"));
    let refused = ask("evil.test", &[]);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (421, Some("request.misdirected")));
    let forwarded = ask("10.0.0.1", &[("X-Forwarded-Host", "gw.test")]);
    assert_eq!(location(&forwarded).as_deref(), Some("https://gw.test/a"), "the host at the proxy");
    assert_eq!(origin.calls(), 0);
    assert_eq!(ask("gw.test", &[("X-Forwarded-Proto", "https")]).text(), "hello", "https at the proxy");
}

#[test]
fn tls_1_3_is_enforced_where_configured() {
    let origin = Origin::hello();
    let scene = Plan { tls: json!({ "MinVersion": "1.3" }), ..Plan::of(hello(&origin)) }.start();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), scene.authority.pem()).expect("the authority");
    let port = scene.address.port();
    let curl = |more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "5", "--cacert"]).arg(file.path()).args(more);
        command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
        command.arg(format!("https://localhost:{port}/")).output().expect("curl")
    };
    for (more, version) in [(&[][..], "2"), (&["--http1.1"], "1.1")] {
        let good = curl(&[&["-w", " %{http_version}"], more].concat());
        assert_eq!(String::from_utf8_lossy(&good.stdout), format!("hello {version}"), "{good:?}");
    }
    assert!(!curl(&["--tls-max", "1.2"]).status.success());
}

#[test]
fn an_active_connection_continues_while_its_listener_drains() {
    let origin = Origin::with(|_| StubResponse::new(200, "late").after(Duration::from_millis(400)));
    let mut scene = Plan::of(hello(&origin)).start();
    let mut client = scene.client("localhost").expect("a handshake");
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(becomes_true(WAIT_TIMEOUT, || origin.calls() == 1));
    let began = Instant::now();
    scene.gateway.process.signal("TERM");
    let answer = client.answer("GET").expect("a response");
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("late", Some("close")));
    assert!(
        becomes_true(WAIT_TIMEOUT, || scene.gateway.process.ended().is_some())
            && began.elapsed() < WAIT_TIMEOUT
    );
}

#[test]
fn https_targets_are_accepted_over_tls_only() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.target));
    let scene = Plan::of(document(origin.port(), &json!({}), &json!({}))).start();
    assert_eq!(scene.get("localhost", "https://localhost/a?b=c").text(), "/a?b=c");
    assert_eq!(scene.get("localhost", "HTTPS://localhost").text(), "/");
    let plain = super::gateway(origin.port());
    assert_eq!(plain.get("https://localhost/a").status, 400);
    assert_eq!(plain.get("http://localhost/a").text(), "/a");
}
