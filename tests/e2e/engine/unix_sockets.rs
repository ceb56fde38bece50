//! Unix domain sockets: listeners with a path or an abstract name, and backends behind such sockets.

use super::{document, over};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::{Stub, StubResponse};
use crate::support::tcp_relay::TcpRelay;
use crate::support::tls::Authority;
use crate::support::websocket::{must_open, opening, says_back};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway that listens on `s.sock` next to its configuration, and the path of the socket.
fn listening(origin: &Origin, listener: &Value) -> (Gateway, PathBuf) {
    let gateway = Gateway::start(&Setup::json(&listener_document(origin, listener)).own_listeners());
    let path = sibling_path(&gateway, "s.sock");
    (gateway, path)
}

fn listener_document(origin: &Origin, listener: &Value) -> Value {
    let listener = over(json!({ "Address": "unix:s.sock" }), listener);
    document(origin.port(), &json!({}), &json!({ "Listeners": [listener] }))
}

fn sibling_path(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.config().with_file_name(name)
}

/// The response that curl gets through a socket.
fn curl(args: &[&str]) -> String {
    let ran = Command::new("curl").args(["-sS", "--max-time", "10"]).args(args).output().expect("curl");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

fn curl_socket(path: &Path, more: &[&str]) -> String {
    curl(&[&["--unix-socket", path.to_str().expect("UTF-8")], more].concat())
}

#[test]
fn a_relative_socket_path_is_resolved_against_the_configuration() {
    let origin = Origin::hello();
    let (mut gateway, path) = listening(&origin, &json!({ "UnixMode": "0660" }));
    assert_eq!(std::fs::metadata(&path).expect("a socket").permissions().mode() & 0o7777, 0o660);
    assert_eq!(curl_socket(&path, &["http://gw.test/a", "http://gw.test/b"]), "hellohello");
    assert_eq!(curl_socket(&path, &["--http2-prior-knowledge", "http://gw.test/"]), "hello");
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "a client without an address");
    assert!(gateway.process.stderr().contains("s.sock (http)"), "{}", gateway.process.stderr());
    gateway.process.signal("TERM");
    assert_eq!(gateway.process.ends_within(WAIT_TIMEOUT).and_then(|ended| ended.code), Some(0));
    assert!(!path.exists(), "it went with the gateway");
}

#[test]
fn an_abstract_socket_is_listened_on() {
    let (origin, name) = (Origin::hello(), format!("margay-e2e-{}", std::process::id()));
    let (_gateway, _) = listening(&origin, &json!({ "Address": format!("unix:@{name}") }));
    assert_eq!(curl(&["--abstract-unix-socket", &name, "http://gw.test/"]), "hello");
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let (origin, home) = (Origin::hello(), tempfile::tempdir().expect("a directory"));
    let path = home.path().join("x.sock");
    let setup =
        Setup::json(&listener_document(&origin, &json!({ "Address": format!("unix:{}", path.display()) })));
    let setup = setup.own_listeners();
    drop(UnixListener::bind(&path).expect("a socket"));
    let first = Gateway::start(&setup);
    assert_eq!(curl_socket(&path, &["http://gw.test/"]), "hello");
    let Err(ended) = Gateway::try_start(&setup) else { panic!("there are two") };
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("another process listens there; end the process"), "{}", ended.stderr);
    assert_eq!(curl_socket(&path, &["http://gw.test/"]), "hello", "the first one serves on");
    first.process.signal("KILL");
    let again = becomes_true(WAIT_TIMEOUT, || UnixStream::connect(&path).is_err());
    assert!(again && path.exists());
    let _second = Gateway::start(&setup);
    assert_eq!(curl_socket(&path, &["http://gw.test/"]), "hello");
}

#[test]
fn a_reload_adds_and_removes_sockets_and_changes_their_mode() {
    let origin = Origin::hello();
    let (gateway, path) = listening(&origin, &json!({}));
    let moved = listener_document(&origin, &json!({ "Address": "unix:t.sock", "UnixMode": "600" }));
    gateway.write(&moved.to_string());
    let other = sibling_path(&gateway, "t.sock");
    assert!(becomes_true(WAIT_TIMEOUT, || other.exists() && !path.exists()));
    assert_eq!(curl_socket(&other, &["http://gw.test/"]), "hello");
    gateway.write(
        &listener_document(&origin, &json!({ "Address": "unix:t.sock", "UnixMode": "666" })).to_string(),
    );
    let mode = || std::fs::metadata(&other).map_or(0, |found| found.permissions().mode() & 0o777);
    assert!(becomes_true(WAIT_TIMEOUT, || mode() == 0o666));
    std::fs::remove_file(&other).expect("the file is removed");
    gateway.write(
        &listener_document(&origin, &json!({ "Address": "unix:t.sock", "UnixMode": "660" })).to_string(),
    );
    assert!(becomes_true(WAIT_TIMEOUT, || mode() == 0o660), "a reload brings it back");
    assert_eq!(curl_socket(&other, &["http://gw.test/"]), "hello");
    // Removed and added again at once: connections are accepted from the new socket.
    for _ in 0..5 {
        gateway.write(&listener_document(&origin, &json!({})).to_string());
        assert!(becomes_true(WAIT_TIMEOUT, || path.exists() && !other.exists()));
        gateway.write(&moved.to_string());
        assert!(becomes_true(WAIT_TIMEOUT, || other.exists() && !path.exists()));
        assert_eq!(curl_socket(&other, &["http://gw.test/"]), "hello");
    }
}

#[test]
fn sockets_may_be_set_by_flags_and_for_the_administration() {
    let (origin, home) = (Origin::hello(), tempfile::tempdir().expect("a directory"));
    let (listen, admin) = (home.path().join("l.sock"), home.path().join("a.sock"));
    let config = home.path().join("gateway.json");
    std::fs::write(&config, document(origin.port(), &json!({}), &json!({})).to_string()).expect("write");
    let mut command = Command::new(crate::support::gateway::binary());
    command.arg("run").arg("--config").arg(&config).env_remove("MARGAY_ADMIN");
    command.env("MARGAY_LISTEN", format!("unix:{}", listen.display()));
    command.arg("--admin").arg(format!("unix:{}", admin.display()));
    let mut process = crate::support::process::Process::start(&mut command);
    assert!(becomes_true(WAIT_TIMEOUT, || listen.exists() && admin.exists()), "{}", process.stderr());
    assert_eq!(curl_socket(&listen, &["http://gw.test/"]), "hello");
    assert!(curl_socket(&admin, &["http://localhost/metrics"]).contains("margay_"));
    assert!(curl_socket(&admin, &["http://localhost/clusters"]).contains("127.0.0.1"), "it is a local one");
    process.signal("TERM");
    assert!(process.ends_within(WAIT_TIMEOUT).is_some());
    assert!(!listen.exists() && !admin.exists());
}

#[test]
fn tls_and_the_proxy_protocol_work_on_sockets() {
    let (origin, authority) = (Origin::hello(), Authority::new("ours"));
    let issued = authority.issue(&["gw.test"]);
    let tls = json!({ "Certificates": [{ "CertificateFile": "0.pem", "KeyFile": "0.key" }] });
    let listener = json!({ "Tls": tls, "ProxyProtocol": { "Trusted": ["unix"], "Mode": "Optional" } });
    let setup = Setup::json(&listener_document(&origin, &listener)).own_listeners();
    let setup =
        setup.file("0.pem", &issued.chain).file("0.key", &issued.key).file("ca.pem", &authority.pem());
    let gateway = Gateway::start(&setup);
    let (path, ca) = (sibling_path(&gateway, "s.sock"), sibling_path(&gateway, "ca.pem"));
    let ca = ca.to_str().expect("UTF-8");
    assert_eq!(curl_socket(&path, &["--cacert", ca, "https://gw.test/"]), "hello");
    assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));
    let (gateway, path) = listening(&origin, &json!({ "ProxyProtocol": { "Trusted": ["unix"] } }));
    let mut stream = UnixStream::connect(&path).expect("a socket");
    let request =
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a response");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && origin.last().header("x-forwarded-for") == Some("192.0.2.7")
    );
    drop(gateway);
}

/// A backend behind a socket, and the route to it.
struct SocketBackend {
    _home: tempfile::TempDir,
    bridge: TcpRelay,
    path: PathBuf,
}

impl SocketBackend {
    fn of(service: &Origin) -> SocketBackend {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("app.sock");
        SocketBackend { bridge: TcpRelay::unix(&path, service.address), path, _home: home }
    }

    fn host(&self) -> Value {
        json!({ "Host": format!("unix:{}", self.path.display()) })
    }

    fn document(&self, route: &Value, rest: &Value) -> Value {
        let host = json!({ "DownstreamHostAndPorts": [self.host()] });
        document(0, &over(host, route), rest)
    }
}

#[test]
fn connections_to_a_unix_socket_backend_are_reused() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).chunked(&[("X-End", "1")]));
    let behind = SocketBackend::of(&origin);
    let gateway = Gateway::with(&behind.document(&json!({}), &json!({ "AccessLog": true })));
    let body = vec![b'x'; 1 << 20];
    for _ in 0..3 {
        let answer = gateway.ask(&Request::new("POST", "/a").body(&body));
        assert!(answer.status == 200 && answer.body == body && answer.trailers.len() == 1);
    }
    assert_eq!(behind.bridge.connections(), 1);
    assert_eq!(origin.last().header("host"), Some("localhost"));
    let label = format!("unix:{}", behind.path.display());
    assert!(gateway.logged(|line| line["endpoint"] == *label).is_some(), "{:?}", gateway.access_log());
}

#[test]
fn a_relative_backend_socket_is_resolved_and_a_missing_one_is_a_502() {
    let origin = Origin::hello();
    let host = json!({ "DownstreamHostAndPorts": [{ "Host": "unix:app.sock", "Port": 0 }] });
    let gateway = Gateway::with(&document(0, &over(host, &json!({ "PreserveHost": true })), &json!({})));
    let refused = gateway.get("/");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (502, Some("backend.connect")));
    let _bridge = TcpRelay::unix(&sibling_path(&gateway, "app.sock"), origin.address);
    let request = Request::get("/").header("Host", "shop.test");
    assert_eq!(gateway.ask(&request).text(), "hello");
    assert_eq!(origin.last().header("host"), Some("shop.test"));
}

#[test]
fn socket_endpoints_are_balanced_probed_and_ejected() {
    let (one, two) =
        (Origin::with(|_| StubResponse::new(200, "one")), Origin::with(|_| StubResponse::new(200, "two")));
    let behind = SocketBackend::of(&one);
    let clusters = json!({ "Clusters": { "c": {
        "DownstreamScheme": "http",
        "Endpoints": [behind.host(), { "Host": "127.0.0.1", "Port": two.port() }, { "Host": "unix:gone.sock" }],
        "LoadBalancerOptions": { "Type": "RoundRobin" },
        "HealthCheckOptions": { "Active": { "Type": "Http", "Path": "/health", "Interval": "100ms" } },
    } } });
    let mut document = document(0, &json!({ "DownstreamCluster": "c" }), &clusters);
    for key in ["DownstreamHostAndPorts", "DownstreamScheme"] {
        document["Routes"][0].as_object_mut().expect("a route").remove(key);
    }
    let gateway = Gateway::with(&document);
    let clusters = || gateway.admin("/clusters").text();
    assert!(becomes_true(WAIT_TIMEOUT, || clusters().contains("unhealthy")), "{}", clusters());
    let answers: Vec<String> = (0..4).map(|_| gateway.get("/").text()).collect();
    for answer in ["one", "two"] {
        assert_eq!(answers.iter().filter(|text| *text == answer).count(), 2, "{answers:?}");
    }
    assert!(one.seen().iter().any(|seen| seen.path == "/health" && seen.header("host") == Some("localhost")));
}

#[test]
fn every_protocol_works_over_unix_sockets() {
    let parrot = Origin::stubs(vec![Stub::read(&json!({ "when": {}, "websocket": "echo" }))]);
    let behind = SocketBackend::of(&parrot);
    let gateway = Gateway::with(&behind.document(&json!({}), &json!({})));
    assert!(says_back(&mut must_open(gateway.address, &opening("/")), "hello"));
    let newer = Origin::newer_stubs();
    newer.set_stub(Stub::read(&json!({ "when": {}, "respond": { "status": 200, "body": "newer" } })));
    let behind = SocketBackend::of(&newer);
    let version_options =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    let gateway = Gateway::with(&behind.document(&version_options, &json!({})));
    assert_eq!([gateway.get("/").text(), gateway.get("/").text()], ["newer", "newer"]);
    assert_eq!(behind.bridge.connections(), 1);
    let authority = Authority::new("ours");
    let secure = Origin::secure(authority.issue(&["app.test"]).server(&["http/1.1"], None));
    let behind = SocketBackend::of(&secure);
    let tls = json!({ "DownstreamScheme": "https", "TlsOptions": { "ServerName": "app.test", "CaFile": "ca.pem" } });
    let setup = Setup::json(&behind.document(&tls, &json!({}))).file("ca.pem", &authority.pem());
    assert_eq!(Gateway::start(&setup).get("/").text(), "hello");
    assert_eq!(secure.last().server_name.as_deref(), Some("app.test"));
}
