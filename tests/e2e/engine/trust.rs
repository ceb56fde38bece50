//! Client certificates that expire, and reloads that reach open connections.

use super::{document, over};
use crate::support::client::{Client, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, Raw, get_with};
use crate::support::http1_reader::Fault;
use crate::support::origin::Origin;
use crate::support::tls::{Authority, Issued};
use crate::support::websocket::{EchoBackend, opening};
use crate::support::{becomes_true, ports};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::{
    ClientConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway over TLS; `tls` are further settings of the listener.
struct Scene {
    gateway: Gateway,
    address: SocketAddr,
    authority: Authority,
    origin: Origin,
    document: Value,
}

impl Scene {
    fn start(tls: &Value) -> Scene {
        let (authority, origin, address) = (Authority::new("ours"), Origin::hello(), ports::free_address());
        let document = Scene::document(&origin, address, tls);
        let Issued { chain, key } = authority.issue(&["localhost"]);
        let setup = Setup::json(&document).own_listeners().file("clients.pem", &authority.pem());
        let gateway = Gateway::start(&setup.file("own.pem", &chain).file("own.key", &key));
        Scene { gateway, address, authority, origin, document }
    }

    fn document(origin: &Origin, address: SocketAddr, tls: &Value) -> Value {
        let pair = json!({ "Certificates": [{ "CertificateFile": "own.pem", "KeyFile": "own.key" }] });
        let listener = json!({ "Name": "public", "Address": address.to_string(), "Tls": over(pair, tls) });
        document(origin.port(), &json!({}), &json!({ "Listeners": [listener] }))
    }

    fn client(&self, config: &Arc<ClientConfig>) -> std::io::Result<Client> {
        Client::secure(self.address, "localhost", config.clone())
    }

    /// Replaces the document; the listener gets further settings.
    fn reload(&self, tls: &Value) {
        self.gateway.write(&Scene::document(&self.origin, self.address, tls).to_string());
    }
}

fn required() -> Value {
    json!({ "ClientCertificates": { "CaFile": "clients.pem" } })
}

/// A client of one TLS version with a certificate that expires after this time.
fn short_lived(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    validity: Duration,
) -> Arc<ClientConfig> {
    let own = authority.issue_with(&["robot.test"], |params| {
        params.not_after = (SystemTime::now() + validity).into();
    });
    authority.client_of(&[version], Some(&own))
}

/// Whether a new connection gets a response, and whether its session is resumed.
fn connect(scene: &Scene, config: &Arc<ClientConfig>) -> Option<bool> {
    let mut client = scene.client(config).ok()?;
    let response = client.ask(&Request::get("/")).ok()?;
    assert_eq!(response.status, 200);
    Some(client.wire.is_resumed())
}

#[test]
fn an_expired_client_certificate_is_refused_at_resumption_and_on_its_connection() {
    let scene = Scene::start(&required());
    let configs = [&TLS12, &TLS13].map(|version| {
        let config = short_lived(&scene.authority, version, Duration::from_secs(4));
        assert_eq!(connect(&scene, &config), Some(false), "a full handshake");
        assert_eq!(connect(&scene, &config), Some(true), "a resumed one");
        let mut open = scene.client(&config).expect("a connection");
        assert_eq!(open.get("/").status, 200);
        (config, open)
    });
    let calls = scene.origin.calls();
    std::thread::sleep(Duration::from_millis(5_200));
    for (config, mut open) in configs {
        assert_eq!(connect(&scene, &config), None, "neither resumed nor in full");
        let refused = open.get("/");
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (421, Some("client.certificate_expired"))
        );
        assert!(!refused.keeps_alive());
    }
    assert_eq!(scene.origin.calls(), calls);
}

/// Opens a WebSocket with a certificate that expires after two seconds.
fn websocket_of_short_lived(tls: &Value) -> (Scene, EchoBackend, Client) {
    let scene = Scene::start(tls);
    let echo = EchoBackend::start(None);
    let text = over(scene.document.clone(), &document(echo.port(), &json!({}), &json!({})));
    scene.gateway.write(&text.to_string());
    let upgraded = || {
        let config = short_lived(&scene.authority, &TLS13, Duration::from_secs(2));
        let mut client = scene.client(&config).expect("a connection");
        client.send(opening("/").bytes("localhost"));
        let switched = client.wire.head().is_ok_and(|head| head.start.contains(" 101 "));
        switched.then_some(client)
    };
    let client = crate::support::until(WAIT_TIMEOUT, upgraded).expect("a WebSocket");
    (scene, echo, client)
}

#[test]
fn a_websocket_ends_when_its_client_certificate_expires() {
    let (_scene, _backend, mut client) = websocket_of_short_lived(&required());
    client.wire.read_timeout(Duration::from_secs(5));
    let mut close = Vec::new();
    client.wire.exactly(4, &mut |bytes| close.extend_from_slice(bytes)).expect("a close frame");
    assert_eq!(close, [0x88, 2, 3, 0xe9], "1001, Going Away");
}

#[test]
fn a_websocket_outlives_its_client_certificate_if_configured() {
    let tls = json!({ "ClientCertificates": { "CaFile": "clients.pem", "CheckOpenConnections": false } });
    let (_scene, _backend, mut client) = websocket_of_short_lived(&tls);
    client.wire.read_timeout(Duration::from_millis(3500));
    assert_eq!(client.wire.exactly(1, &mut |_| {}).err(), Some(Fault::Timeout));
}

#[test]
fn the_check_of_open_connections_can_be_turned_off() {
    let tls = json!({ "ClientCertificates": { "CaFile": "clients.pem", "CheckOpenConnections": false } });
    let scene = Scene::start(&tls);
    let config = short_lived(&scene.authority, &TLS13, Duration::from_secs(2));
    let mut open = scene.client(&config).expect("a connection");
    std::thread::sleep(Duration::from_millis(3_200));
    assert_eq!(open.get("/").status, 200);
    assert_eq!(connect(&scene, &config), None);
}

#[test]
fn a_session_of_a_removed_authority_is_not_resumed() {
    let scene = Scene::start(&required());
    let robot = scene.authority.issue(&["robot.test"]);
    let config = scene.authority.client(Some(&robot));
    assert_eq!(connect(&scene, &config), Some(false));
    assert_eq!(connect(&scene, &config), Some(true));
    scene.gateway.write_file("clients.pem", &Authority::new("another").pem());
    assert!(becomes_true(WAIT_TIMEOUT, || connect(&scene, &config).is_none()));
}

#[test]
fn required_client_certificates_end_connections_without_one() {
    let scene = Scene::start(&json!({}));
    let anonymous = scene.authority.client(None);
    let mut open = scene.client(&anonymous).expect("a connection");
    assert!(open.get("/").keeps_alive());
    scene.reload(&required());
    assert!(becomes_true(WAIT_TIMEOUT, || connect(&scene, &anonymous).is_none()));
    let last = open.get("/");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(open.closes_within(Duration::from_secs(3)));
}

#[test]
fn a_reload_that_keeps_the_listener_keeps_its_connections() {
    let scene = Scene::start(&json!({}));
    let mut open = scene.client(&scene.authority.client(None)).expect("a connection");
    assert!(open.get("/").keeps_alive());
    let route = json!({ "Routes": [{ "UpstreamPathTemplate": "/new", "DownstreamPathTemplate": "/",
        "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": scene.origin.port() }] }] });
    scene.gateway.write(&over(scene.document.clone(), &route).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || open.get("/new").status == 200));
    assert!(open.get("/new").keeps_alive());
}

#[test]
fn connections_of_a_removed_listener_end_with_their_next_response() {
    let origin = Origin::hello();
    let (kept, removed) = (ports::free_address(), ports::free_address());
    let listeners = |all: &[SocketAddr]| {
        let all: Vec<Value> = all.iter().map(|address| json!({ "Address": address.to_string() })).collect();
        document(origin.port(), &json!({}), &json!({ "Listeners": all }))
    };
    let gateway = Gateway::start(&Setup::json(&listeners(&[kept, removed])).own_listeners());
    let (mut staying, mut leaving) = (Client::connect(kept), Client::connect(removed));
    assert!(staying.get("/").keeps_alive() && leaving.get("/").keeps_alive());
    let mut raw = Raw::connect(removed);
    raw.send(HEADERS, END_HEADERS | END_STREAM, 1, &get_with(&[]));
    assert!(raw.ended(1).is_some());
    gateway.write(&listeners(&[kept]).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || Client::try_connect(removed).is_err()));
    raw.send(HEADERS, END_HEADERS | END_STREAM, 3, &get_with(&[]));
    let mut expected = vec![(HEADERS, 3), (GOAWAY, 0)];
    while !expected.is_empty() {
        let frame = raw.frame().unwrap_or_else(|| panic!("{expected:?} did not arrive"));
        expected.retain(|one| *one != (frame.kind, frame.stream));
    }
    let last = leaving.get("/");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(staying.get("/").keeps_alive());
}
