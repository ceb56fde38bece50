//! The administration API of a running gateway: credentials, drain, explain, targets that lead to it, and health pages.

use super::{over, to};
use crate::support::client::{Client, Request, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::stub_backend::StubResponse;
use crate::support::tls::{Authority, Issued};
use crate::support::{becomes_true, until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

fn token(name: &str, role: &str) -> Value {
    let hash = Sha256::digest(name.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    json!({ "Name": name, "Hash": hash, "Role": role })
}

/// A route over several backends in turn.
fn balanced(origins: &[&Origin]) -> Value {
    let endpoints: Vec<Value> =
        origins.iter().map(|origin| json!({ "Host": "127.0.0.1", "Port": origin.port() })).collect();
    let route = json!({ "Key": "shop", "DownstreamHostAndPorts": endpoints, "LoadBalancerOptions": { "Type": "RoundRobin" } });
    json!({ "Routes": [over(to(1), &route)] })
}

fn named(name: &'static str) -> Origin {
    Origin::with(move |_| StubResponse::new(200, name))
}

fn send(gateway: &Gateway, request: &Request) -> (u16, Value) {
    let response = once(gateway.admin, request).expect("a response");
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

fn post(gateway: &Gateway, target: &str, body: &Value) -> (u16, Value) {
    let request = Request::new("POST", target).header("Content-Type", "application/json");
    send(gateway, &request.body(body.to_string()))
}

#[test]
fn tokens_are_required_by_role_and_can_be_rotated_by_a_reload() {
    let origin = Origin::hello();
    let document = |tokens: &[Value]| {
        over(to_document(&origin), &json!({ "Administration": { "Tokens": tokens } })).to_string()
    };
    let gateway = Gateway::start(&Setup::text(document(&[token("old", "read"), token("deploy", "write")])));
    let status = |method: &str, token: &str| {
        let request = Request::new(method, "/v1/status").header("Authorization", &format!("Bearer {token}"));
        send(&gateway, &request).0
    };
    assert_eq!(send(&gateway, &Request::get("/ready")).0, 401);
    assert_eq!([status("GET", "old"), status("GET", "deploy"), status("GET", "none")], [200, 200, 401]);
    assert_eq!([status("POST", "old"), status("POST", "deploy")], [403, 405]);
    gateway.write(&document(&[token("new", "read")]));
    assert!(becomes_true(WAIT_TIMEOUT, || status("GET", "new") == 200));
    assert_eq!([status("GET", "old"), status("GET", "deploy")], [401, 401]);
    assert!(gateway.process.stderr().contains("wrong token from 127.0.0.1"), "{}", gateway.process.stderr());
}

fn to_document(origin: &Origin) -> Value {
    json!({ "Routes": [to(origin.port())] })
}

#[test]
fn an_address_for_other_machines_without_credentials_is_rejected() {
    let document = json!({ "Administration": { "Address": "0.0.0.0:0" }, "Routes": [to(1)] });
    let ended = Gateway::try_start(&Setup::json(&document)).err().expect("an error");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("MG1203") && ended.stderr.contains("Health"), "{}", ended.stderr);
}

#[test]
fn the_health_address_serves_the_pages_for_probes_alone() {
    let health = ports::free_address();
    let document = json!({ "Health": { "Address": health.to_string() }, "Administration": { "Tokens": [token("a", "read")] },
        "Routes": [to(1)] });
    let gateway = Gateway::start(&Setup::json(&document));
    let status = |target: &str| once(health, &Request::get(target)).expect("a response").status;
    assert_eq!(["/live", "/ready", "/metrics"].map(status), [200; 3]);
    assert_eq!(["/v1/status", "/clusters", "/openapi.json", "/cache"].map(status), [404; 4]);
    assert_eq!(send(&gateway, &Request::get("/live")).0, 401, "the administration still needs a token");
}

#[test]
fn clients_that_hold_the_health_address_leave_room_for_the_administration() {
    let health = ports::free_address();
    let document = json!({ "Health": { "Address": health.to_string() }, "Routes": [to(1)] });
    let gateway = Gateway::with(&document);
    let incomplete = |number: u8| {
        let mut client = Client::connect_from([127, 0, 0, 2 + number % 12], health);
        client.send(b"GET /live HTTP/1.1\r\n");
        client
    };
    let held: Vec<_> = (0..96).map(incomplete).collect();
    assert_eq!(gateway.admin("/v1/status").status, 200);
    drop(held);
    assert!(becomes_true(WAIT_TIMEOUT, || {
        once(health, &Request::get("/live")).is_ok_and(|response| response.status == 200)
    }));
}

#[test]
fn a_client_certificate_is_a_credential() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("operators"));
    let (server, robot) = (servers.issue(&["localhost"]), clients.issue(&["robot"]));
    let tls = json!({
        "Certificates": [{ "CertificateFile": "server.pem", "KeyFile": "server.key" }],
        "ClientCertificates": { "CaFile": "clients.pem", "Mode": "Optional" },
    });
    let document = json!({ "Administration": { "Tls": tls, "CertificateRole": "write" }, "Routes": [to(1)] });
    let setup = Setup::json(&document)
        .file("server.pem", &server.chain)
        .file("server.key", &server.key)
        .file("clients.pem", &clients.pem())
        .secure_administration();
    let gateway = Gateway::start(&setup);
    let status = |own: Option<&Issued>, method: &str, target: &str| {
        let mut client =
            Client::secure(gateway.admin, "localhost", servers.client(own)).expect("a connection");
        client.must(&Request::new(method, target).header("Host", "localhost")).status
    };
    assert_eq!(status(None, "GET", "/v1/status"), 401);
    assert_eq!(status(Some(&robot), "GET", "/v1/status"), 200);
    assert_eq!(status(Some(&robot), "POST", "/cache/purge?all"), 200);
}

#[test]
fn a_drained_endpoint_gets_no_new_requests_across_reloads_until_it_is_enabled() {
    let (one, two) = (named("one"), named("two"));
    let gateway = Gateway::with(&balanced(&[&one, &two]));
    let texts = || -> Vec<String> { (0..6).map(|_| gateway.get("/").text()).collect() };
    let target = |what: &str| format!("/v1/clusters/shop/endpoints/127.0.0.1:{}/{what}", one.port());
    let (status, changed) = send(&gateway, &Request::new("POST", &target("drain")));
    assert_eq!((status, &changed["endpoint"]["health"]), (200, &json!("drained")), "{changed}");
    assert_eq!(texts(), ["two"; 6]);
    assert_eq!(gateway.admin("/clusters").json()["clusters"][0]["endpoints"][0]["eligible"], false);
    let metric =
        format!("margay_endpoint_drained{{cluster=\"shop\",endpoint=\"127.0.0.1:{}\"}} 1", one.port());
    assert!(gateway.admin("/metrics").text().contains(&metric));
    gateway.write(&over(balanced(&[&one, &two]), &json!({ "AccessLog": true })).to_string());
    let is_applied = || gateway.admin("/v1/status").json()["config"]["last_reload"]["outcome"] == "applied";
    assert!(becomes_true(WAIT_TIMEOUT, is_applied));
    assert_eq!(texts(), ["two"; 6]);
    assert_eq!(send(&gateway, &Request::new("POST", &target("enable"))).0, 200);
    assert!(texts().contains(&"one".to_owned()));
    assert!(!gateway.admin("/metrics").text().contains("margay_endpoint_drained{"));
    let unknown = Request::new("POST", "/v1/clusters/shop/endpoints/127.0.0.1:1/drain");
    assert_eq!(send(&gateway, &unknown).0, 404);
}

#[test]
fn explain_uses_the_active_plan_and_the_health_of_its_endpoints() {
    let (one, two) = (named("one"), named("two"));
    let mut document = balanced(&[&one, &two]);
    document["Routes"][0]["RateLimitOptions"] = json!({ "Limit": 5, "Period": "1h", "PartitionBy": ["IP"] });
    let gateway = Gateway::with(&document);
    send(
        &gateway,
        &Request::new("POST", &format!("/v1/clusters/shop/endpoints/127.0.0.1:{}/drain", two.port())),
    );
    let (status, explained) =
        post(&gateway, "/v1/explain", &json!({ "url": "/orders?a=b", "headers": ["X-A: b"] }));
    assert_eq!((status, &explained["route"]["name"]), (200, &json!("shop")), "{explained}");
    let endpoints = explained["endpoints"].to_string();
    assert!(endpoints.contains("drained by the administration"), "{endpoints}");
    assert!(explained["request"].to_string().contains("X-A: b"), "{explained}");
    assert_eq!((one.calls(), two.calls()), (0, 0), "nothing is sent");
    for used in [1, 2] {
        let limited = post(&gateway, "/v1/explain", &json!({ "url": "/orders" })).1["stages"].to_string();
        assert!(limited.contains(&format!("(would use {used} of 5)")), "{limited}");
        assert_eq!(gateway.get("/orders").status, 200);
    }
    let (status, problem) = post(&gateway, "/v1/explain", &json!({ "url": "/", "frm": "::1" }));
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/frm")), "{problem}");
}

#[test]
fn no_route_leads_to_the_administration_address() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&to_document(&origin));
    let port = gateway.admin.port();
    let hosts = ["127.0.0.1", "localhost", "127.0.0.2", "[::1]", "0.0.0.0", "::ffff:127.0.0.1"];
    for (number, host) in hosts.into_iter().enumerate() {
        let path = format!("/{number}");
        let endpoint = json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": "/v1/status",
            "DownstreamHostAndPorts": [{ "Host": host, "Port": port }] });
        gateway.write(&json!({ "Routes": [over(to(1), &endpoint)] }).to_string());
        let is_refused = || {
            let response = gateway.get(&path);
            response.status == 502 && response.json()["code"] == "backend.forbidden"
        };
        assert!(becomes_true(WAIT_TIMEOUT, is_refused), "{host}: {}", gateway.get(&path).text());
    }
    assert!(gateway.admin("/metrics").text().contains("margay_errors_total{code=\"backend.forbidden\"}"));
}

#[test]
fn a_discovered_endpoint_does_not_lead_to_the_administration_address() {
    let mut route = to(1);
    route.as_object_mut().expect("an object").remove("DownstreamHostAndPorts");
    let route = over(route, &json!({ "ServiceName": "shop" }));
    let document = json!({ "Routes": [route],
        "GlobalConfiguration": { "ServiceDiscoveryProvider": { "Type": "File", "File": "services.json" } } });
    let gateway = Gateway::start(&Setup::json(&document).file("services.json", "{ \"shop\": [] }"));
    let port = gateway.admin.port();
    gateway
        .write_file("services.json", &json!({ "shop": [{ "Host": "localhost", "Port": port }] }).to_string());
    let is_refused = || gateway.get("/v1/status").text().contains("backend.forbidden");
    assert!(becomes_true(WAIT_TIMEOUT, is_refused), "{}", gateway.get("/v1/status").text());
}

#[test]
fn routes_show_rates_latencies_and_errors_by_code() {
    let origin = Origin::hello();
    let broken = json!({ "UpstreamPathTemplate": "/broken", "DownstreamPathTemplate": "/", "Key": "broken",
        "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": ports::free() }] });
    let shop = json!({ "UpstreamPathTemplate": "/shop/{x}", "DownstreamPathTemplate": "/{x}", "Key": "shop",
        "Timeout": "5s" });
    let document = json!({ "Routes": [over(to(origin.port()), &shop), over(to(1), &broken)] });
    let gateway = Gateway::with(&document);
    (0..3).for_each(|_| assert_eq!(gateway.get("/shop/1").status, 200));
    assert_eq!([gateway.get("/broken").status, gateway.get("/none").status], [502, 404]);
    // A request is counted after its response was sent.
    let counted = || {
        let list = gateway.admin("/v1/routes").json();
        let routes = list["routes"].as_array().expect("a list");
        let last = routes.iter().find(|route| route["name"] == "(none)").expect("unrouted requests");
        (last["traffic"]["errors"] != json!({})).then_some(list)
    };
    let list = until(Duration::from_secs(5), counted).expect("the last request is counted");
    let traffic = |name: &str| {
        let routes = list["routes"].as_array().expect("a list").iter();
        routes.into_iter().find(|route| route["name"] == name).expect(name)["traffic"].clone()
    };
    assert_eq!((&traffic("shop")["requests_total"], &traffic("shop")["in_flight"]), (&json!(3), &json!(0)));
    assert!(
        traffic("shop")["latency_seconds"]["p99"].as_f64().is_some_and(|seconds| seconds > 0.0),
        "{list}"
    );
    assert!(traffic("shop")["requests_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{list}");
    assert_eq!(traffic("broken")["errors"], json!({ "backend.connect": 1 }));
    assert_eq!(traffic("broken")["server_error_ratio"], json!(1.0));
    assert_eq!(traffic("(none)")["errors"], json!({ "route.not_found": 1 }));
    let shop = gateway.admin("/v1/routes/shop").json();
    assert_eq!(shop["route"]["target"], json!({ "kind": "cluster", "name": "shop" }));
    let timeout = shop["settings"].as_array().expect("a list").iter().find(|one| one["name"] == "Timeout");
    assert_eq!(timeout.expect("a setting")["value"], "5s");
    assert_eq!(gateway.admin("/v1/routes/nothing").status, 404);
}

#[test]
fn the_tail_contains_requests_that_match_its_filters() {
    let origin = Origin::hello();
    let gateway = Gateway::with(&to_document(&origin));
    let mut reader = TcpStream::connect(gateway.admin).expect("a connection");
    reader.set_read_timeout(Some(WAIT_TIMEOUT)).expect("a timeout");
    let request = "GET /v1/tail?status=2xx&client=127.0.0.0/8 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    reader.write_all(request.as_bytes()).expect("sent");
    let mut lines = BufReader::new(reader).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("keep-alive")), "it is attached");
    gateway.ask(&Request::new("CONNECT", "/refused"));
    assert_eq!(gateway.get("/seen?secret=hunter2").status, 200);
    let data = lines.find(|line| line.starts_with("data: ")).expect("an event");
    assert!(data.contains("\"path\":\"/seen\"") && !data.contains("hunter2"), "{data}");
    assert_eq!(gateway.admin("/v1/tail?status=abc").status, 400);
    assert_eq!(gateway.admin("/v1/tail?unknown=1").status, 400);
}

#[test]
fn the_log_level_is_changed_for_a_limited_time() {
    let gateway = Gateway::with(&json!({ "Routes": [to(1)] }));
    let level = || gateway.admin("/v1/log-level").json()["level"].clone();
    assert_eq!(level(), "warn");
    let request = Request::new("PUT", "/v1/log-level").header("Content-Type", "application/json");
    let change = |body: &str| send(&gateway, &request.clone().body(body)).0;
    assert_eq!(change(r#"{ "level": "debug", "for": "1s" }"#), 200);
    assert_eq!(level(), "debug");
    gateway.get("/");
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.process.stderr().contains("margay: debug: ")));
    assert!(becomes_true(WAIT_TIMEOUT, || level() == "warn"), "it reverts by itself");
    assert_eq!([change(r#"{ "level": "loud" }"#), change(r#"{ "level": "info", "for": "9d" }"#)], [400, 400]);
}

#[test]
fn limits_are_shown_and_reset_by_client() {
    let origin = Origin::hello();
    let limit =
        json!({ "Key": "shop", "RateLimitOptions": { "Limit": 2, "Period": "1h", "PartitionBy": ["IP"] } });
    let gateway = Gateway::with(&json!({ "Routes": [over(to(origin.port()), &limit)] }));
    let statuses = || [(); 3].map(|()| gateway.get("/").status);
    assert_eq!(statuses(), [200, 200, 429]);
    let remaining = |key: &str| {
        let list = gateway.admin(&format!("/v1/limits/shop?key={key}")).json();
        list["limits"][0]["counter"]["remaining"].clone()
    };
    assert_eq!([remaining("127.0.0.1"), remaining("10.0.0.1")], [json!(0), json!(2)]);
    let (status, reset) = send(&gateway, &Request::new("DELETE", "/v1/limits/shop?key=127.0.0.1"));
    assert_eq!((status, &reset["reset"]), (200, &json!(1)));
    assert_eq!(statuses(), [200, 200, 429]);
    assert_eq!(gateway.admin("/v1/limits/none").status, 404);
}

#[test]
fn the_configuration_is_shown_without_secrets_and_with_an_entity_tag() {
    let document =
        over(to_document(&Origin::hello()), &json!({ "Administration": { "AllowedHosts": ["${NAME}"] } }));
    let gateway = Gateway::start(&Setup::json(&document).env("NAME", "hunter2.test"));
    let shown = gateway.admin("/v1/config");
    assert!(shown.text().contains("${NAME}") && !shown.text().contains("hunter2"), "{}", shown.text());
    let tag = shown.header("etag").expect("an entity tag").to_owned();
    assert_eq!(
        tag,
        format!("\"{}\"", gateway.admin("/v1/status").json()["config"]["id"].as_str().expect("an id"))
    );
    assert_eq!(send(&gateway, &Request::get("/v1/config").header("If-None-Match", &tag)).0, 304);
    let origins = shown.json()["origins"].clone();
    let origin = origins["/Routes/0/UpstreamPathTemplate"].as_str().expect("an origin").to_owned();
    assert!(origin.contains("gateway.json:1:"), "{origin}");
}
