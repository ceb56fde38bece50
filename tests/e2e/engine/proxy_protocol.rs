//! The PROXY protocol in front of client connections: trusted proxies, and the rejection of all other peers.

use super::{document, over};
use crate::support::becomes_true;
use crate::support::client::{Client, Request, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::Authority;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 41000 443\r\n";
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A backend that responds with the forwarded client address.
fn telling() -> Origin {
    Origin::with(|seen| StubResponse::new(200, seen.header("x-forwarded-for").unwrap_or("nobody")))
}

/// A gateway whose listener expects the PROXY protocol.
fn with_proxy_protocol(origin: &Origin, proxy: &Value, rest: &Value) -> (Gateway, SocketAddr) {
    let address = ports::free_address();
    let proxy = over(json!({ "Trusted": ["127.0.0.0/8"] }), proxy);
    let listeners = json!({ "Listeners": [{ "Address": address.to_string(), "ProxyProtocol": proxy }] });
    let document = over(document(origin.port(), &json!({}), &listeners), rest);
    (Gateway::start(&Setup::json(&document).own_listeners()), address)
}

/// Version 2, for an IPv6 client, with a TLV after the addresses.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29".to_vec();
    header.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    header.extend_from_slice(&[0; 16]);
    header.extend_from_slice(&[0xa0, 0x28, 1, 0xbb, 4, 0, 2, 0, 0]);
    header
}

/// The response to a header followed by a request in one write.
fn ask(address: SocketAddr, header: &[u8]) -> Option<String> {
    let mut client = Client::connect(address);
    client.send([header, &Request::get("/").bytes("gw.test")[..]].concat());
    client.answer("GET").ok().map(|answer| format!("{} {}", answer.status, answer.text()))
}

fn counted(gateway: &Gateway, why: &str) -> bool {
    let line = format!("margay_errors_total{{code=\"{why}\"}}");
    becomes_true(WAIT_TIMEOUT, || gateway.admin("/metrics").text().contains(&line))
}

#[test]
fn a_trusted_proxy_sets_the_client_address() {
    let origin = telling();
    let (gateway, address) = with_proxy_protocol(&origin, &json!({}), &json!({ "AccessLog": true }));
    assert_eq!(ask(address, V1).as_deref(), Some("200 192.0.2.7"));
    assert_eq!(ask(address, &v2()).as_deref(), Some("200 2001:db8::9"));
    assert!(gateway.logged(|line| line["client_ip"] == "192.0.2.7").is_some());
    for own in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        assert_eq!(ask(address, own).as_deref(), Some("200 127.0.0.1"), "the proxy asks for itself");
    }
}

#[test]
fn a_header_may_arrive_byte_by_byte() {
    let origin = telling();
    let (_gateway, address) = with_proxy_protocol(&origin, &json!({}), &json!({}));
    let mut client = Client::connect(address);
    for byte in v2() {
        client.send([byte]);
    }
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "2001:db8::9");
    }
}

#[test]
fn a_malformed_header_closes_the_connection_without_a_response() {
    let origin = telling();
    let (gateway, address) = with_proxy_protocol(&origin, &json!({ "Timeout": "200ms" }), &json!({}));
    for wrong in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY TCP4 1 2 3 4\r\n", b"\x16\x03\x01\0"] {
        let mut client = Client::connect(address);
        client.send(wrong);
        let mut rest = Vec::new();
        let _ = client.wire.stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{wrong:?}");
    }
    assert!(counted(&gateway, "proxy.header"));
    let (began, mut late) = (Instant::now(), Client::connect(address));
    late.send(b"PROXY TCP4 192.0.2.7 ");
    assert!(late.closes_within(WAIT_TIMEOUT) && began.elapsed() >= Duration::from_millis(200));
    assert!(counted(&gateway, "proxy.timeout"));
    assert_eq!((origin.calls(), gateway.process.stderr().contains("panicked")), (0, false));
}

#[test]
fn an_untrusted_peer_is_rejected() {
    let origin = telling();
    let others = json!({ "Trusted": ["192.0.2.0/24"] });
    let (gateway, address) = with_proxy_protocol(&origin, &others, &json!({}));
    assert_eq!(ask(address, V1), None);
    assert!(counted(&gateway, "proxy.untrusted"));
    let (_gateway, address) =
        with_proxy_protocol(&origin, &over(others, &json!({ "Mode": "Optional" })), &json!({}));
    assert_eq!(ask(address, b"").as_deref(), Some("200 127.0.0.1"));
    assert!(ask(address, V1).is_some_and(|answer| answer.starts_with("400 ")), "it is not HTTP");
    assert!(ask(address, &v2()).is_none_or(|answer| answer.starts_with("400 ")));
    assert_eq!(origin.calls(), 1);
}

#[test]
fn an_optional_header_may_be_missing() {
    let origin = telling();
    let (_gateway, address) = with_proxy_protocol(&origin, &json!({ "Mode": "Optional" }), &json!({}));
    assert_eq!(ask(address, b"").as_deref(), Some("200 127.0.0.1"));
    assert_eq!(ask(address, V1).as_deref(), Some("200 192.0.2.7"));
    assert_eq!(ask(address, b"PROXY nonsense\r\n"), None, "what begins like a header is one");
}

#[test]
fn ip_filters_and_limits_use_the_client_address() {
    let origin = telling();
    let address = ports::free_address();
    let rest = json!({
        "Listeners": [{ "Address": address.to_string(), "ProxyProtocol": { "Trusted": ["127.0.0.1"] } }],
        "Limits": { "MaxConnectionsPerClient": 1 },
    });
    let route = json!({ "SecurityOptions": { "IPBlockedList": ["192.0.2.66"] } });
    let _gateway = Gateway::start(&Setup::json(&document(origin.port(), &route, &rest)).own_listeners());
    let blocked = b"PROXY TCP4 192.0.2.66 198.51.100.1 41000 443\r\n";
    assert!(ask(address, blocked).is_some_and(|answer| answer.starts_with("403 ")));
    let open = |header: &[u8]| {
        let mut client = Client::connect(address);
        client.send(header);
        let status = client.get("/").status;
        (client, status)
    };
    let (_first, status) = open(V1);
    assert_eq!(status, 200);
    let (_other, status) = open(&v2());
    assert_eq!(status, 200, "another client of the same proxy");
    let (_second, status) = open(V1);
    assert_eq!(status, 503, "the same client once more");
    let (_v6, status) = open(b"PROXY TCP6 2001:db8:0:7::1 2001:db8::f 41000 443\r\n");
    assert_eq!(status, 200, "an IPv6 client");
    let (_v6_again, status) = open(b"PROXY TCP6 2001:db8:0:7::2 2001:db8::f 41000 443\r\n");
    assert_eq!(status, 503, "another address of the same /64");
}

#[test]
fn tls_follows_the_header_even_in_the_same_packet() {
    let (origin, authority, address) = (telling(), Authority::new("ours"), ports::free_address());
    let issued = authority.issue(&["localhost"]);
    let tls = json!({ "Certificates": [{ "CertificateFile": "0.pem", "KeyFile": "0.key" }] });
    let listener =
        json!({ "Address": address.to_string(), "Tls": tls, "ProxyProtocol": { "Trusted": ["127.0.0.1"] } });
    let document = document(origin.port(), &json!({}), &json!({ "Listeners": [listener] }));
    let setup = Setup::json(&document).own_listeners();
    let _gateway = Gateway::start(&setup.file("0.pem", &issued.chain).file("0.key", &issued.key));
    // The header and the ClientHello arrive in one packet, because a relay holds them.
    let held = prefixing_relay(address, V1);
    let mut client = Client::secure(held, "localhost", authority.client(None)).expect("a handshake");
    assert_eq!(client.get("/").text(), "192.0.2.7");
    assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));
}

/// Accepts one connection and forwards it with the header in front of its first bytes.
fn prefixing_relay(address: SocketAddr, header: &'static [u8]) -> SocketAddr {
    let listener = ports::listener();
    let here = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let Ok((mut near, _)) = listener.accept() else { return };
        let mut far = TcpStream::connect(address).expect("the gateway");
        let (mut first, mut back) = ([0; 4096], far.try_clone().expect("a second handle"));
        let n = near.read(&mut first).expect("a first packet");
        far.write_all(&[header, &first[..n]].concat()).expect("sent");
        let mut answers = near.try_clone().expect("a second handle");
        std::thread::spawn(move || std::io::copy(&mut back, &mut answers));
        let _ = std::io::copy(&mut near, &mut far);
    });
    here
}

#[test]
fn a_reload_switches_the_header_on_and_off_on_a_listener() {
    let origin = telling();
    let (gateway, address) = with_proxy_protocol(&origin, &json!({}), &json!({}));
    let plain = json!({ "Listeners": [{ "Address": address.to_string() }] });
    gateway.write(&document(origin.port(), &json!({}), &plain).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || ask(address, b"").as_deref() == Some("200 127.0.0.1")));
    let proxy = json!({ "Trusted": ["127.0.0.1"] });
    let again = json!({ "Listeners": [{ "Address": address.to_string(), "ProxyProtocol": proxy }] });
    gateway.write(&document(origin.port(), &json!({}), &again).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || ask(address, V1).as_deref() == Some("200 192.0.2.7")));
    assert_eq!(ask(address, b""), None);
}

#[test]
fn curl_sends_its_address() {
    let origin = telling();
    let (_gateway, address) = with_proxy_protocol(&origin, &json!({}), &json!({}));
    let args = ["-sS", "--haproxy-protocol", &format!("http://{address}/")];
    let ran = Command::new("curl").args(args).output().expect("curl");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "127.0.0.1");
}

#[test]
fn haproxy_passes_its_clients_in_both_versions() {
    let origin = telling();
    let (_gateway, address) = with_proxy_protocol(&origin, &json!({}), &json!({}));
    let home = tempfile::tempdir().expect("a directory");
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let front = ports::free_address();
        let text = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
             listen l\n bind {front}\n unique-id-format abc\n server s {address} {send} source 127.0.0.77\n"
        );
        let config = home.path().join("haproxy.cfg");
        std::fs::write(&config, text).expect("write");
        let _haproxy =
            Process::start(Command::new("haproxy").arg("-db").arg("-f").arg(&config).env("PATH", path()));
        assert!(becomes_true(WAIT_TIMEOUT, || TcpStream::connect(front).is_ok()), "{}", _haproxy.stderr());
        let answer = once(front, &Request::get("/")).expect("a response");
        assert_eq!(answer.text(), "127.0.0.1", "{send}: and not 127.0.0.77");
    }
}

/// Debian installs servers in sbin, which is not always in the path.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
