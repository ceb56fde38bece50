//! The PROXY protocol in front of backend connections: each connection carries one client only.

use super::{document, over};
use crate::support::becomes_true;
use crate::support::client::{Client, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stub_backend::Stub;
use crate::support::tcp_relay::TcpRelay;
use crate::support::tls::Authority;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

fn announcing(port: u16, version: &str, route: &Value, client: &Value) -> Value {
    let options = over(json!({ "ProxyProtocol": version }), client);
    document(port, &over(json!({ "HttpHandlerOptions": options }), route), &json!({}))
}

/// A client with one request.
fn client(gateway: &Gateway) -> (Client, String) {
    let mut client = gateway.connect();
    assert_eq!(client.get("/").status, 200);
    let address = client.wire.stream.local_addr().expect("an address");
    let own = format!(
        "PROXY TCP4 {} {} {} {}\r\n",
        address.ip(),
        address.ip(),
        address.port(),
        gateway.address.port()
    );
    (client, own)
}

#[test]
fn a_backend_connection_carries_one_client_and_is_not_shared() {
    let origin = Origin::hello();
    let (bridge, port) = TcpRelay::announced(origin.address);
    let gateway = Gateway::with(&announcing(port, "V1", &json!({}), &json!({})));
    let (mut first, own) = client(&gateway);
    assert_eq!(first.get("/").status, 200);
    assert_eq!(bridge.headers(), [own.as_bytes()], "both requests of one client");
    let (mut second, other) = client(&gateway);
    assert_eq!(bridge.headers(), [own.as_bytes(), other.as_bytes()]);
    for _ in 0..3 {
        assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    }
    assert_eq!((bridge.connections(), origin.calls()), (2, 9));
}

#[test]
fn a_forwarded_client_address_is_sent_and_families_are_never_mixed() {
    let origin = Origin::hello();
    let (bridge, port) = TcpRelay::announced(origin.address);
    let trusted = json!({ "ForwardedHeaders": { "TrustedProxies": ["127.0.0.1"] } });
    let gateway = Gateway::with(&over(announcing(port, "V2", &json!({}), &json!({})), &trusted));
    let mut proxy = gateway.connect();
    for (client, family, length) in [("192.0.2.7", 0x11, 12), ("2001:db8::7", 0x21, 36), ("192.0.2.7", 0, 0)]
    {
        assert_eq!(proxy.must(&Request::get("/").header("X-Forwarded-For", client)).status, 200);
        if length > 0 {
            let header = bridge.headers().pop().expect("a header");
            assert_eq!((header[13], header.len()), (family, 16 + length), "{client}");
        }
    }
    assert_eq!(bridge.connections(), 2, "the third request is one of the first client");
}

#[test]
fn the_header_precedes_tls_and_probes_send_the_gateway_address() {
    let (authority, version) = (Authority::new("ours"), "V2");
    let origin = Origin::secure(authority.issue(&["localhost"]).server(&["http/1.1"], None));
    let (bridge, port) = TcpRelay::announced(origin.address);
    let route = json!({
        "DownstreamScheme": "https",
        "DownstreamHostAndPorts": [{ "Host": "localhost", "Port": port }],
        "TlsOptions": { "CaFile": "ca.pem" },
        "HealthCheckOptions": { "Active": { "Type": "Http", "Path": "/health", "Interval": "100ms" } },
    });
    let setup = Setup::json(&announcing(port, version, &route, &json!({}))).file("ca.pem", &authority.pem());
    let gateway = Gateway::start(&setup);
    assert_eq!(gateway.get("/").text(), "hello");
    assert!(becomes_true(WAIT_TIMEOUT, || origin.seen().iter().any(|seen| seen.path == "/health")));
    let headers = bridge.headers();
    assert!(
        headers.iter().any(|header| header[12] == 0x21) && headers.iter().any(|header| header[12] == 0x20)
    );
}

#[test]
fn a_connection_limit_is_shared_fairly_between_clients() {
    let origin = Origin::hello();
    let (bridge, port) = TcpRelay::announced(origin.address);
    for queue in [0, 10] {
        let limit = json!({ "MaxConnectionsPerServer": 1, "ConnectionQueueLimit": queue });
        let gateway = Gateway::with(&announcing(port, "V1", &json!({}), &limit));
        let (mut first, _) = client(&gateway);
        let (mut second, _) = client(&gateway);
        for _ in 0..3 {
            assert_eq!((first.get("/").status, second.get("/").status), (200, 200), "{queue}");
        }
    }
    assert!(bridge.connections() >= 16);
}

#[test]
fn http_2_connections_belong_to_one_client() {
    let origin = Origin::newer_stubs();
    origin.set_stub(Stub::read(&json!({ "when": {}, "respond": { "status": 200, "body": "newer" } })));
    let (bridge, port) = TcpRelay::announced(origin.address);
    let version_options =
        json!({ "DownstreamHttpVersion": "2.0", "DownstreamHttpVersionPolicy": "RequestVersionExact" });
    let gateway = Gateway::with(&announcing(port, "V1", &version_options, &json!({})));
    let (mut first, own) = client(&gateway);
    let (mut second, other) = client(&gateway);
    for _ in 0..3 {
        assert_eq!((first.get("/").text(), second.get("/").text()), ("newer".into(), "newer".into()));
    }
    assert_eq!(bridge.headers(), [own.as_bytes(), other.as_bytes()]);
    let limit = json!({ "MaxConnectionsPerServer": 1 });
    let gateway = Gateway::with(&announcing(port, "V1", &version_options, &limit));
    let ((mut first, _), (mut second, _)) = (client(&gateway), client(&gateway));
    for _ in 0..3 {
        assert_eq!((first.get("/").text(), second.get("/").text()), ("newer".into(), "newer".into()));
    }
}

#[test]
fn nginx_reads_the_header_in_both_versions() {
    let (home, port) = (tempfile::tempdir().expect("a directory"), ports::free());
    let folder = home.path().display();
    let text = format!(
        "daemon off; pid {folder}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen 127.0.0.1:{port} proxy_protocol;\n\
         location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }} }} }}\n"
    );
    let config = home.path().join("nginx.conf");
    std::fs::write(&config, text).expect("write");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let nginx = Process::start(Command::new("nginx").arg("-c").arg(&config).env("PATH", path));
    assert!(
        becomes_true(WAIT_TIMEOUT, || TcpStream::connect(("127.0.0.1", port)).is_ok()),
        "{}",
        nginx.stderr()
    );
    for version in ["V1", "V2"] {
        let gateway = Gateway::with(&announcing(port, version, &json!({}), &json!({})));
        for _ in 0..2 {
            let mut client = gateway.connect();
            let own = client.wire.stream.local_addr().expect("an address");
            assert_eq!(client.get("/").text(), format!("127.0.0.1 {}", own.port()), "{version}");
        }
    }
}
