//! Service discovery: registry changes within one watch interval, an unreachable registry, service names in the path.

use super::{ocelot, over, to};
use crate::support::client::{Client, Request};
use crate::support::consul::Consul;
use crate::support::gateway::{Gateway, binary};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{becomes_true, ports};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

fn provider(port: u16) -> Value {
    json!({ "Type": "Consul", "Host": "127.0.0.1", "Port": port, "Token": "s3cret-t0ken" })
}

/// A route to the service `shop` of that registry.
fn document(port: u16, rest: &Value) -> Value {
    let mut route = to(1);
    let into = route.as_object_mut().expect("an object");
    into.remove("DownstreamHostAndPorts");
    into.insert("ServiceName".into(), json!("shop"));
    into.insert("LoadBalancerOptions".into(), json!({ "Type": "RoundRobin" }));
    over(
        json!({ "Routes": [route], "GlobalConfiguration": { "ServiceDiscoveryProvider": provider(port) } }),
        rest,
    )
}

/// The first segment of the path selects the service.
fn dynamic(port: u16, rest: &Value) -> Value {
    over(
        json!({ "GlobalConfiguration": { "DownstreamScheme": "http", "ServiceDiscoveryProvider": provider(port) } }),
        rest,
    )
}

fn named(name: &'static str) -> Origin {
    Origin::with(move |seen| StubResponse::new(200, format!("{name} {}{}", seen.raw_path(), seen.query)))
}

#[test]
fn a_registry_change_is_applied_within_one_watch_interval() {
    let (consul, one, two) = (Consul::start(), named("one"), named("two"));
    consul.set("shop", &[one.port(), two.port()]);
    let gateway = Gateway::with(&document(consul.port(), &json!({})));
    let first = gateway.get("/a?b=1").text();
    let second = gateway.get("/a?b=1").text();
    assert!(first == "one /a?b=1" && second == "two /a?b=1", "{first}, {second}");
    let queries = consul.query_count("/v1/health/service/shop");
    consul.set("shop", &[two.port()]);
    let since = Instant::now();
    assert!(becomes_true(WAIT_TIMEOUT, || (0..4).all(|_| gateway.get("/").text() == "two /")));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert!(
        consul.query_count("/v1/health/service/shop") <= queries + 2,
        "the question was held, not repeated"
    );
    consul.set("shop", &[]);
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").status == 503));
    let refused = gateway.get("/");
    assert!(
        refused.text().contains("backend.no_endpoint") && refused.text().contains("shop"),
        "{}",
        refused.text()
    );
}

#[test]
fn an_unreachable_registry_keeps_the_last_endpoints_and_recovers() {
    let (consul, one, two) = (Consul::start(), named("one"), named("two"));
    consul.set("shop", &[one.port()]);
    let gateway = Gateway::with(&document(consul.port(), &json!({})));
    assert_eq!(gateway.get("/").text(), "one /");
    consul.break_down(Some(500));
    let up = |up: u8| {
        let line = format!("service=\"shop\"}} {up}");
        becomes_true(WAIT_TIMEOUT, || {
            let text = gateway.admin("/metrics").text();
            text.lines().any(|l| l.starts_with("margay_discovery_up") && l.ends_with(&line))
        })
    };
    assert!(up(0));
    assert_eq!(gateway.get("/").text(), "one /");
    consul.set("shop", &[two.port()]);
    consul.break_down(None);
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").text() == "two /"));
    assert!(up(1));
    let log = gateway.process.stderr();
    assert!(log.contains("cannot watch service") && !log.contains("s3cret"), "{log}");
}

#[test]
fn a_registry_down_at_startup_is_a_503_until_it_responds() {
    let one = named("one");
    let port = ports::free();
    let gateway = Gateway::with(&document(port, &json!({})));
    let refused = gateway.get("/");
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("backend.no_endpoint") && refused.text().contains("Consul"),
        "{}",
        refused.text()
    );
    assert!(!refused.text().contains("s3cret"), "{}", refused.text());
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let service = one.port();
    let _consul = Origin::on(listener, move |_| {
        let entry = json!([{ "Service": { "Address": "127.0.0.1", "Port": service } }]);
        StubResponse::new(200, entry.to_string())
    });
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").text() == "one /"));
}

#[test]
fn under_ocelot_a_service_without_instances_is_a_404_without_a_body() {
    let consul = Consul::start();
    let rest = over(ocelot(), &json!({}));
    let mut document = document(consul.port(), &json!({}));
    document["GlobalConfiguration"]["Compatibility"] = rest["GlobalConfiguration"]["Compatibility"].clone();
    let gateway = Gateway::with(&document);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (404, ""));
}

#[test]
fn a_reload_keeps_discovered_endpoints_and_clusters_may_use_their_own_registry() {
    let (consul, one) = (Consul::start(), named("one"));
    consul.set("shop", &[one.port()]);
    let gateway = Gateway::with(&document(consul.port(), &json!({})));
    assert_eq!(gateway.get("/").text(), "one /");
    let queries = consul.query_count("/v1/health/");
    let mut changed = document(consul.port(), &json!({}));
    changed["Routes"][0]["DownstreamPathTemplate"] = json!("/changed/{everything}");
    gateway.write(&changed.to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "one /changed/x"));
    assert!(consul.query_count("/v1/health/") <= queries + 1, "the watch continues");
    let clusters = json!({
        "Routes": [{ "UpstreamPathTemplate": "/c", "DownstreamPathTemplate": "/own", "DownstreamCluster": "own" }],
        "Clusters": { "own": { "ServiceName": "shop", "DownstreamScheme": "http", "Discovery": provider(consul.port()) } },
    });
    gateway.write(&clusters.to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/c").text() == "one /own"));
}

#[test]
fn the_path_selects_the_service_and_keeps_its_remainder() {
    let (consul, one, two) = (Consul::start(), named("one"), named("two"));
    consul.set("shop", &[one.port()]);
    consul.set("stock", &[two.port()]);
    let gateway = Gateway::with(&dynamic(consul.port(), &json!({})));
    assert_eq!(gateway.get("/shop/a?b=%20&b").text(), "one /a?b=%20&b");
    assert_eq!(gateway.get("/shop/other").text(), "one /other");
    assert_eq!(gateway.get("/stock").text(), "two /");
    consul.set("stock", &[one.port()]);
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/stock/x").text() == "one /x"));
    consul.set("stock", &[]);
    assert!(
        becomes_true(WAIT_TIMEOUT, || gateway.get("/stock/x").status == 503),
        "it was there, and has no instance now"
    );
}

#[test]
fn unknown_services_are_a_cheap_404() {
    let (consul, one) = (Consul::start(), named("one"));
    consul.set("shop", &[one.port()]);
    let gateway = Gateway::with(&dynamic(consul.port(), &json!({})));
    assert_eq!(gateway.get("/shop/").text(), "one /");
    let unknown = gateway.get("/nobody/x");
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.text().contains("route.not_found") && unknown.text().contains("nobody"),
        "{}",
        unknown.text()
    );
    let mut statuses = std::collections::HashMap::<u16, usize>::new();
    for n in 0..200 {
        *statuses.entry(gateway.get(&format!("/x{n}/")).status).or_default() += 1;
    }
    assert_eq!(
        statuses.get(&404).copied().unwrap_or(0) + statuses.get(&503).copied().unwrap_or(0),
        200,
        "{statuses:?}"
    );
    assert!(consul.query_count("/v1/health/service/x") <= 80 * 2, "a bounded number of concurrent lookups");
    assert_eq!(gateway.get("/shop/").text(), "one /", "those that are known are served on");
    for odd in ["/", "/a%2Fb/", "/%00/", "/a:b/"] {
        let status = gateway.ask(&Request::get(odd)).status;
        assert!(matches!(status, 400 | 404), "{odd}: {status}");
    }
    let metrics = gateway.admin("/metrics").text();
    assert!(!metrics.contains("nobody") && !metrics.contains("x17"), "names from requests are not labels");
}

#[test]
fn services_have_their_own_options() {
    let (consul, one) = (Consul::start(), named("one"));
    consul.set("shop", &[one.port()]);
    consul.set("stock", &[one.port()]);
    let limited = json!({ "ServiceName": "shop", "RateLimitOptions": { "Limit": 1, "Period": "1h" } });
    let gateway = Gateway::with(&dynamic(consul.port(), &json!({ "DynamicRoutes": [limited] })));
    let ask = |path: &str| gateway.ask(&Request::get(path).header("Oc-Client", "somebody")).status;
    assert_eq!((ask("/shop/"), ask("/shop/")), (200, 429));
    assert_eq!((ask("/stock/"), ask("/stock/")), (200, 200));
}

#[test]
fn explain_shows_the_registry_and_its_endpoints() {
    let consul = Consul::start();
    consul.set("shop", &[9101, 9102]);
    let home = tempfile::tempdir().expect("a directory");
    let explain = |document: &Value, path: &str| {
        let file = home.path().join("gateway.json");
        std::fs::write(&file, document.to_string()).expect("write");
        let mut command = std::process::Command::new(binary());
        let output = command.arg("explain").arg("--config").arg(&file).args(["GET", path]).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
    };
    let registry = format!("Consul http://127.0.0.1:{}", consul.port());
    let written = explain(&document(consul.port(), &json!({})), "/a");
    assert!(written.contains(&format!("discovery    shop  {registry}  2 instances")), "{written}");
    assert!(written.contains("127.0.0.1:9101 or 127.0.0.1:9102") && !written.contains("s3cret"), "{written}");
    let named = explain(&dynamic(consul.port(), &json!({})), "/shop/a?b");
    assert!(named.contains("route        dynamic") && named.contains("GET /a?b HTTP/1.1"), "{named}");
    let unknown = explain(&dynamic(consul.port(), &json!({})), "/nobody/a");
    assert!(
        unknown.contains("404  route.not_found") && unknown.contains("unknown service nobody"),
        "{unknown}"
    );
}

#[test]
fn a_flood_of_unknown_names_displaces_no_service_of_the_registry() {
    let (consul, shop) = (Consul::start(), named("shop"));
    let names: Vec<String> = (0..6).map(|n| format!("s{n}")).collect();
    names.iter().for_each(|name| consul.set(name, &[shop.port()]));
    let gateway = Gateway::with(&dynamic(consul.port(), &json!({})));
    assert_eq!(gateway.get("/s0/a").status, 200);
    let _flood = Flood::start(&gateway);
    std::thread::sleep(Duration::from_millis(1500));
    names[1..].iter().for_each(|name| assert_eq!(gateway.get(&format!("/{name}/a")).status, 200, "{name}"));
    assert!(consul.query_count("/v1/health/service/unknown") < 150, "most were refused without a query");
    let reloads =
        || gateway.admin("/metrics").text().contains("margay_config_reloads_total{outcome=\"applied\"} 1");
    gateway.write(&dynamic(consul.port(), &json!({ "AccessLog": true })).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, reloads), "{}", gateway.admin("/metrics").text());
    names.iter().for_each(|name| assert_eq!(gateway.get(&format!("/{name}/a")).status, 200, "{name}"));
}

#[test]
fn a_reload_during_a_flood_keeps_the_services_of_a_registry_without_a_catalogue() {
    let (consul, shop) = (Consul::start(), named("shop"));
    consul.hide_catalogue();
    consul.set("shop", &[shop.port()]);
    let gateway = Gateway::with(&dynamic(consul.port(), &json!({})));
    assert_eq!(gateway.get("/shop/a").status, 200);
    let _flood = Flood::start(&gateway);
    gateway.write(&dynamic(consul.port(), &json!({ "AccessLog": true })).to_string());
    let reloaded =
        || gateway.admin("/metrics").text().contains("margay_config_reloads_total{outcome=\"applied\"} 1");
    assert!(becomes_true(WAIT_TIMEOUT, reloaded));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(gateway.get("/shop/a").status, 200);
}

/// Requests for names that the registry does not know, 200 a second, until it is dropped.
struct Flood(Arc<AtomicBool>);

impl Flood {
    fn start(gateway: &Gateway) -> Flood {
        let (address, stop) = (gateway.address, Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut client) = Client::try_connect(address) else { continue };
                client.send(format!("GET /unknown{n}/ HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Flood(stop)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
