//! Discovery providers: files, DNS, Eureka and Kubernetes.

use super::{over, to};
use crate::support::client::{Client, Request};
use crate::support::dns::{NameServer, Record};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{StopGuard, becomes_true};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// A route to the service `shop` of that registry.
fn document(registry: &Value, rest: &Value) -> Value {
    let mut route = to(1);
    route.as_object_mut().expect("an object").remove("DownstreamHostAndPorts");
    let route =
        over(route, &json!({ "ServiceName": "shop", "LoadBalancerOptions": { "Type": "RoundRobin" } }));
    let document =
        json!({ "Routes": [route], "GlobalConfiguration": { "ServiceDiscoveryProvider": registry } });
    over(document, rest)
}

fn of_file() -> Value {
    json!({ "Type": "File", "File": "instances.json", "PollingInterval": 20 })
}

fn named(name: &'static str) -> Origin {
    Origin::with(move |_| StubResponse::new(200, name))
}

fn says(gateway: &Gateway, text: &str) -> bool {
    becomes_true(RESPONSE_TIMEOUT, || gateway.get("/").text() == text)
}

#[test]
fn a_missing_endpoints_file_is_a_503_until_it_exists() {
    let (one, two) = (named("one"), named("two"));
    let gateway = Gateway::with(&document(&of_file(), &json!({})));
    let refused = gateway.get("/");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("backend.no_endpoint"), "{}", refused.text());
    gateway
        .write_file("instances.json", &json!({ "shop": [format!("127.0.0.1:{}", one.port())] }).to_string());
    assert!(says(&gateway, "one"));
    gateway.write_file("instances.json", "{ broken");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(gateway.get("/").text(), "one", "what was good last is kept");
    let object = json!({ "Host": "127.0.0.1", "Port": two.port(), "Weight": 3 });
    gateway.write_file("instances.json", &json!({ "shop": [object] }).to_string());
    assert!(says(&gateway, "two"));
    gateway.write_file("instances.json", "{}");
    assert!(becomes_true(RESPONSE_TIMEOUT, || gateway.get("/").status == 503));
}

/// This many loopback addresses, beginning with that one.
fn instances(from: usize, count: usize, port: u16) -> String {
    let one = |n: usize| format!("127.1.{}.{}:{port}", n / 250, n % 250 + 1);
    json!({ "shop": (from..from + count).map(one).collect::<Vec<_>>() }).to_string()
}

/// Sends requests until the flag is set; returns their number.
fn load(gateway: &Gateway, over: &AtomicBool) -> usize {
    let (mut client, mut requests) = (Client::connect(gateway.address), 0);
    while !over.load(Ordering::Relaxed) {
        let answer = client.ask(&Request::get("/")).expect("a response");
        assert_eq!(answer.status, 200, "after {requests} requests: {}", answer.text());
        requests += 1;
    }
    requests
}

#[test]
fn a_thousand_endpoints_come_and_go_under_load_without_an_error() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let origin = Origin::on(listener, |_| StubResponse::new(200, "here"));
    let start = instances(0, 5, origin.port());
    let setup = Setup::json(&document(&of_file(), &json!({}))).file("instances.json", &start).threads(2);
    let gateway = Gateway::start(&setup);
    assert!(says(&gateway, "here"));
    let known = || {
        let text = gateway.admin("/metrics").text();
        let line = text.lines().find(|line| line.starts_with("margay_discovery_instances{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).unwrap_or(0)
    };
    let over = AtomicBool::new(false);
    let requests: usize = std::thread::scope(|scope| {
        let stop_guard = StopGuard(&over);
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(|| load(&gateway, &over))).collect();
        // All appear, others replace them, most disappear, and again.
        for (from, count) in [(0, 1000), (1000, 1000), (1500, 1000), (1700, 10), (0, 1000), (7, 1)] {
            gateway.write_file("instances.json", &instances(from, count, origin.port()));
            assert!(becomes_true(RESPONSE_TIMEOUT, || known() == count), "{} instead of {count}", known());
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(stop_guard);
        loads.into_iter().map(|load| load.join().expect("no request failed")).sum()
    });
    assert!(requests > 100, "{requests} requests");
}

#[test]
fn srv_records_give_hosts_and_ports_for_their_ttl() {
    let (server, one, two) = (NameServer::start(), named("one"), named("two"));
    server.addresses("host.test", 60, &["127.0.0.1"]);
    let record =
        |origin: &Origin, priority| Record::Service(priority, 5, origin.port(), "host.test".to_owned());
    let dns = json!({ "Dns": { "Servers": [server.address()], "Timeout": "300ms" } });
    let mut document = document(&json!({ "Type": "DnsSrv" }), &dns);
    document["Routes"][0]["ServiceName"] = json!("_http._tcp.shop.test");
    let gateway = Gateway::with(&document);
    assert_eq!(gateway.get("/").status, 503, "the name does not exist yet");
    server.records("_http._tcp.shop.test", 1, vec![record(&one, 1), record(&two, 2)]);
    assert!(says(&gateway, "one"));
    server.records("_http._tcp.shop.test", 1, vec![record(&two, 2)]);
    let changed = Instant::now();
    assert!(says(&gateway, "two"));
    assert!(changed.elapsed() < Duration::from_secs(3), "{:?}", changed.elapsed());
    assert!((0..5).all(|_| gateway.get("/").text() == "two"));
}

#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let (server, origin) = (NameServer::start(), Origin::on(listener, |_| StubResponse::new(200, "here")));
    server.addresses("shop.test", 1, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let dns = json!({ "Dns": { "Servers": [server.address()] } });
    let mut document = document(&json!({ "Type": "Dns", "Port": origin.port() }), &dns);
    document["Routes"][0]["ServiceName"] = json!("shop.test");
    let gateway = Gateway::with(&document);
    assert!(says(&gateway, "here"));
    (0..12).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(origin.connections(), 3, "one connection to each");
}

/// Eureka's response for the application `SHOP`.
fn apps(hash: &str, origins: &[(&Origin, &str)]) -> String {
    let one = |(origin, action): &(&Origin, &str)| {
        json!({ "instanceId": origin.port().to_string(), "hostName": "127.0.0.1", "status": "UP", "actionType": action,
                "port": { "$": origin.port(), "@enabled": "true" }, "vipAddress": "shop" })
    };
    let all: Vec<Value> = origins.iter().map(one).collect();
    let application = json!([{ "name": "SHOP", "instance": all }]);
    json!({ "applications": { "apps__hashcode": hash, "application": application } }).to_string()
}

#[test]
fn eureka_is_read_once_then_polled_for_deltas() {
    let (one, two) = (named("one"), named("two"));
    let (full, delta) =
        (apps("UP_1_", &[(&one, "ADDED")]), apps("UP_1_", &[(&one, "DELETED"), (&two, "ADDED")]));
    let eureka = Origin::with(move |seen| match seen.path.as_str() {
        "/eureka/apps" => StubResponse::new(200, &full),
        "/eureka/apps/delta" => StubResponse::new(200, &delta),
        _ => StubResponse::new(404, ""),
    });
    let registry =
        json!({ "Type": "Eureka", "Host": "127.0.0.1", "Port": eureka.port(), "PollingInterval": 300 });
    let gateway = Gateway::with(&document(&registry, &json!({})));
    assert!(says(&gateway, "one"));
    assert!(says(&gateway, "two"));
    let requests = eureka.seen().iter().filter(|seen| seen.path == "/eureka/apps").count();
    assert_eq!(requests, 1);
}

#[test]
fn kubernetes_is_watched_and_missing_permissions_are_reported() {
    let (one, two) = (named("one"), named("two"));
    let slice = |origin: &Origin| {
        json!({ "metadata": { "name": "shop-x", "resourceVersion": "6" }, "ports": [{ "name": "http", "port": origin.port() }],
                "endpoints": [{ "addresses": ["127.0.0.1"] }] })
    };
    let list = json!({ "metadata": { "resourceVersion": "5" }, "items": [slice(&one)] }).to_string();
    let event = json!({ "type": "MODIFIED", "object": slice(&two) }).to_string();
    let allowed = std::sync::Arc::new(AtomicBool::new(false));
    let may = allowed.clone();
    let server = Origin::with(move |seen| match seen.query.contains("watch=1") {
        _ if !may.load(Ordering::Relaxed) => StubResponse::new(403, ""),
        true => StubResponse::new(200, format!("{event}\n")).after(Duration::from_millis(500)),
        false => StubResponse::new(200, &list),
    });
    let registry = json!({ "Type": "WatchKube", "Host": "127.0.0.1", "Port": server.port(), "Token": "t",
                           "Namespace": "ns1", "EndpointSlices": true });
    let gateway = Gateway::with(&document(&registry, &json!({})));
    assert_eq!(gateway.get("/").status, 503);
    assert!(becomes_true(RESPONSE_TIMEOUT, || gateway
        .process
        .stderr()
        .contains("may not get, list and watch")));
    allowed.store(true, Ordering::Relaxed);
    assert!(says(&gateway, "one"));
    assert!(says(&gateway, "two"));
}
