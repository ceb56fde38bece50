//! `deploy/examples/bff`: one file for the web, mobile and desktop front ends, each with its own routes and limits.

use crate::support::client::{Client, Request, Response, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::{Authority, Issued};
use rcgen::DnType;
use serde_json::{Value, json};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

const ITEMS: [(u64, &str); 3] = [(1, "lamp"), (2, "chair"), (3, "desk")];

/// The gateway of the example, its backends, and the authority of the workstation certificates.
struct Scene {
    gateway: Gateway,
    web: SocketAddr,
    mobile: SocketAddr,
    desktop: SocketAddr,
    authority: Authority,
    ann: Issued,
    catalog: Origin,
    orders: Origin,
    accounts: Origin,
    _certificates: tempfile::TempDir,
}

fn found(body: &Value) -> StubResponse {
    StubResponse::new(200, body.to_string())
        .header("Content-Type", "application/json")
        .header("X-Instance", "1")
}

fn catalog() -> Origin {
    let item = |(id, name): (u64, &str)| json!({ "id": id, "name": name, "cents": 4900, "text": "long ".repeat(30) });
    Origin::with(move |seen| match seen.raw_path().strip_prefix("/items") {
        Some("") => found(&ITEMS.map(item).into()),
        Some(id) => found(&ITEMS.into_iter().find(|(n, _)| id == format!("/{n}")).map(item).into()),
        None => StubResponse::new(404, ""),
    })
}

fn orders() -> Origin {
    let order = |(id, item, state): (u64, u64, &str)| json!({ "id": id, "item": item, "state": state });
    let all = [(7, 1, "shipped"), (8, 3, "paid"), (9, 2, "open")].map(order);
    Origin::with(move |seen| match seen.method.as_str() {
        "POST" => StubResponse::new(201, seen.length.to_string()),
        _ => found(&all.clone().into()),
    })
}

impl Scene {
    fn start() -> Scene {
        Scene::with(catalog())
    }

    fn with(catalog: Origin) -> Scene {
        let (orders, accounts) = (orders(), Origin::with(|seen| StubResponse::new(200, &seen.body)));
        let (authority, certificates) =
            (Authority::new("workstations"), tempfile::tempdir().expect("a directory"));
        let ann =
            authority.issue_with(&["ann.test"], |of| of.distinguished_name.push(DnType::CommonName, "ann"));
        let server = authority.issue(&["localhost"]);
        let file = |name: &str, text: &str| {
            let path = certificates.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let [web, mobile, desktop] = [ports::free_address(), ports::free_address(), ports::free_address()];
        let variables = [
            ("BFF_WEB", web.to_string()),
            ("BFF_MOBILE", mobile.to_string()),
            ("BFF_DESKTOP", desktop.to_string()),
            ("BFF_CERTIFICATE", file("server.pem", &server.chain)),
            ("BFF_KEY", file("server.key", &server.key)),
            ("BFF_CLIENT_CA", file("clients.pem", &authority.pem())),
            ("CATALOG_PORT", catalog.port().to_string()),
            ("CATALOG2_PORT", catalog.port().to_string()),
            ("ORDERS_PORT", orders.port().to_string()),
            ("ECHO_PORT", accounts.port().to_string()),
        ];
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/bff/gateway.json");
        let setup = Setup::text("").at(&example).own_listeners();
        let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let gateway = Gateway::start(&setup);
        Scene {
            gateway,
            web,
            mobile,
            desktop,
            authority,
            ann,
            catalog,
            orders,
            accounts,
            _certificates: certificates,
        }
    }

    fn web(&self, request: Request) -> Response {
        once(self.web, &request.header("Host", "web.shop.localhost")).expect("a response")
    }

    fn mobile(&self, request: Request) -> Response {
        once(self.mobile, &request.header("X-Client", "mobile/3.2")).expect("a response")
    }

    fn desktop(&self, request: &Request) -> Response {
        let config = self.authority.client(Some(&self.ann));
        Client::secure(self.desktop, "localhost", config).expect("a handshake").must(request)
    }
}

/// The decoded body, after a check of its encoding.
fn unzipped(answer: &Response, coding: &str) -> Value {
    assert_eq!(answer.header("content-encoding"), Some(coding));
    let mut text = String::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text),
        _ => brotli::Decompressor::new(&answer.body[..], 4096).read_to_string(&mut text),
    };
    read.expect("a sound encoding");
    serde_json::from_str(&text).expect("JSON")
}

fn post(path: &str, kib: usize) -> Request {
    Request::new("POST", path).body(vec![b'x'; kib << 10])
}

#[test]
fn the_web_front_end_is_matched_by_host_and_compressed() {
    let scene = Scene::start();
    let home = scene.web(Request::get("/home").header("Accept-Encoding", "br, gzip;q=0.5"));
    assert_eq!((home.status, home.header("vary")), (200, Some("Accept-Encoding")));
    let page = unzipped(&home, "br");
    assert_eq!(
        (page["orders"].as_array().map(Vec::len), &page["item"][1]["name"]),
        (Some(3), &json!("desk"))
    );
    assert_eq!(page["item"][0]["cents"], 4900, "whole items");
    let items = scene.web(Request::get("/items").header("Origin", "https://shop.example"));
    assert_eq!(items.header("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(items.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!((items.header("x-instance"), items.header("content-encoding")), (None, None));
    let received = scene.catalog.last();
    assert_eq!((received.header("x-channel"), received.header("x-workstation")), (Some("web"), None));
    let unmatched = once(scene.web, &Request::get("/items")).expect("a response");
    assert_eq!((unmatched.status, &unmatched.json()["code"]), (404, &json!("route.not_found")));
    assert_eq!(scene.web(post("/orders", 512)).status, 201);
    assert_eq!(scene.web(post("/orders", 2048)).status, 413);
}

#[test]
fn the_mobile_front_end_is_matched_by_header_with_smaller_limits() {
    let scene = Scene::start();
    let home = scene.mobile(Request::get("/home").header("X-Device", "1"));
    assert_eq!(home.text(), r#"{"open": 2, "names": ["lamp","desk","chair"]}"#);
    let whole = scene.web(Request::get("/home"));
    assert!(home.length * 4 < whole.length, "{} is not much less than {}", home.length, whole.length);
    let account = scene.mobile(Request::get("/account"));
    assert_eq!((account.status, account.header("content-security-policy")), (200, None));
    let received = scene.accounts.last();
    assert_eq!(
        (received.header("x-channel"), received.header("x-app-version")),
        (Some("mobile"), Some("3.2"))
    );
    let items = scene.mobile(Request::get("/items").header("Accept-Encoding", "gzip"));
    assert_eq!(unzipped(&items, "gzip")[2]["name"], "desk");
    assert_eq!(
        (scene.mobile(post("/orders", 32)).status, scene.mobile(post("/orders", 128)).status),
        (201, 413)
    );
    assert_eq!(scene.mobile(Request::get("/orders")).status, 404, "the app has no list of all orders");
}

#[test]
fn each_device_has_its_own_rate_limit() {
    let scene = Scene::start();
    let ask = |device: &str| scene.mobile(Request::get("/account").header("X-Device", device)).status;
    let good = (0..20).filter(|_| ask("one") == 200).count();
    assert_eq!((good, ask("one"), ask("two")), (20, 429, 200));
    assert_eq!(scene.web(Request::get("/account")).status, 200);
}

#[test]
fn a_workstation_is_identified_only_by_its_certificate() {
    let scene = Scene::start();
    let home = scene.desktop(&Request::get("/desktop/home").header("Accept-Encoding", "gzip"));
    assert_eq!((home.status, home.header("content-encoding")), (200, None));
    let page = home.json();
    assert_eq!(
        (page["desktop-items"].as_array().map(Vec::len), &page["desktop-orders"][0]["id"]),
        (Some(3), &json!(7))
    );
    let account = scene.desktop(&Request::get("/desktop/account").header("X-Workstation", "eve"));
    assert_eq!(account.status, 200);
    let received = scene.accounts.last();
    assert_eq!(
        (received.header("x-workstation"), received.header("x-channel")),
        (Some("ann"), Some("desktop"))
    );
    assert_eq!(scene.desktop(&post("/desktop/orders", 2048)).text(), (2048 << 10).to_string());
    for address in [scene.web, scene.mobile] {
        for path in ["/desktop/home", "/desktop/account", "/desktop/items"] {
            let refused = once(address, &Request::get(path)).expect("a response");
            assert_eq!((refused.status, &refused.json()["code"]), (404, &json!("route.not_found")), "{path}");
        }
    }
    let config = scene.authority.client(None);
    let without_certificate = Client::secure(scene.desktop, "localhost", config);
    assert!(
        without_certificate.map_or(true, |mut client| client.ask(&Request::get("/desktop/home")).is_err())
    );
    assert_eq!(scene.orders.last().method, "POST");
}

#[test]
fn pages_are_served_without_items_when_the_catalog_is_down() {
    let scene = Scene::with(Origin::with(|_| StubResponse::new(503, "away")));
    let web = scene.web(Request::get("/home"));
    assert_eq!((web.status, web.header("x-partial"), &web.json()["item"]), (200, Some("item"), &Value::Null));
    assert_eq!(web.json()["orders"][2]["state"], "open");
    let mobile = scene.mobile(Request::get("/home"));
    assert_eq!(
        (mobile.text().as_str(), mobile.header("x-partial")),
        (r#"{"open": 2, "names": []}"#, Some("item"))
    );
    assert_eq!(
        scene.desktop(&Request::get("/desktop/home")).status,
        502,
        "a workstation wants all or nothing"
    );
}

#[test]
fn graphql_passes_as_any_post() {
    let scene = Scene::start();
    let question = r#"{"query":"{ items { name } }"}"#;
    let ask = || Request::new("POST", "/graphql").header("Content-Type", "application/json").body(question);
    for answer in [scene.web(ask()), scene.mobile(ask())] {
        assert_eq!((answer.status, answer.text().as_str()), (200, question));
        let received = scene.accounts.last();
        assert_eq!(
            (received.raw_path(), received.header("content-type")),
            ("/graphql", Some("application/json"))
        );
    }
}

#[test]
fn a_cached_response_is_fetched_once_and_compressed_per_client() {
    let scene = Scene::start();
    for _ in 0..2 {
        for coding in ["br", "gzip"] {
            let items = scene.web(Request::get("/items").header("Accept-Encoding", coding));
            assert_eq!(unzipped(&items, coding)[0]["name"], "lamp");
        }
    }
    assert_eq!(scene.catalog.calls(), 1);
    let compressed = scene.gateway.admin("/metrics").text();
    assert!(compressed.contains("margay_compressed_responses_total{encoding=\"br\"} 2"), "{compressed}");
}
