//! Services with partitions: a page that does not exist, a look-up storm, a cluster that is gone, what operators see.

use crate::support::client::{Body, Request, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{becomes_true, ports};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A stateful service with one partition and one primary.
pub fn services(replicas: &Value) -> Value {
    json!({ "Applications": [{ "Name": "fabric:/A", "TypeName": "T", "TypeVersion": "1", "Services": [
        { "Name": "fabric:/A/S", "ServiceKind": "Stateful", "Partitioning": { "Kind": "Singleton" },
          "Partitions": [{ "Replicas": replicas }] }] }] })
}

pub fn primary(port: u16) -> Value {
    json!([{ "ReplicaId": "11", "Role": "Primary", "Endpoints": { "": format!("http://127.0.0.1:{port}/base") } }])
}

/// Routes by address, and the naming interface.
fn registry_document(more: &Value) -> Value {
    super::over(
        json!({
            "ServiceFabric": { "Resolvers": { "local": { "Type": "Registry", "File": "services.json", "Writable": true } } },
            "Routes": [
                { "UpstreamPathTemplate": "/_naming/{everything}", "DownstreamPathTemplate": "/{everything}",
                  "DownstreamService": "ServiceFabricNaming" },
                { "Key": "services", "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
                  "ServiceFabricOptions": { "Services": ["*"] } },
            ],
        }),
        more,
    )
}

fn with_registry(services: &Value, more: &Value) -> Gateway {
    Gateway::start(&Setup::json(&registry_document(more)).file("services.json", &services.to_string()))
}

/// Puts a replica, or does something else with the only partition of the service.
pub fn change(gateway: &Gateway, method: &str, path: &str, body: &Value) -> u16 {
    let resolved = gateway.get("/_naming/Services/A~S/$/ResolvePartition?api-version=6.0").json();
    let partition = resolved["PartitionInformation"]["Id"].as_str().expect("a partition");
    let target = format!("/_naming/Services/A~S/$/GetPartitions/{partition}/$/{path}api-version=6.0");
    let mut request = Request::new(method, &target);
    request.body = Body::CompleteResponse(body.to_string().into_bytes());
    gateway.ask(&request).status
}

#[test]
fn a_missing_page_of_a_service_that_knows_nothing_of_the_header_is_answered_within_half_a_second() {
    let origin = Origin::with(|_| StubResponse::new(404, "no such page"));
    let gateway = with_registry(&services(&primary(origin.port())), &json!({}));
    for round in 0..10 {
        let (calls, since) = (origin.calls(), Instant::now());
        let response = gateway.get("/A/S/missing");
        let took = since.elapsed();
        assert_eq!((response.status, &*response.text()), (404, "no such page"));
        assert!(took < Duration::from_millis(500), "{took:?}");
        let attempts = origin.calls() - calls;
        // The retry budget of the service is ten retries.
        assert!(if round < 2 { attempts == 5 } else { (1..=5).contains(&attempts) }, "{attempts} attempts");
    }
}

#[test]
fn the_access_log_explain_and_the_administration_name_service_partition_and_replica() {
    let origin = Origin::hello();
    let log = json!({ "AccessLog": true });
    let gateway = with_registry(&services(&primary(origin.port())), &log);
    assert_eq!(gateway.get("/A/S/x?PartitionKey=1&y").status, 200);
    let line = gateway.logged(|line| line["path"] == "/A/S/x").expect("an access log line");
    let id = line["partition"].as_str().expect("a partition").to_owned();
    assert_eq!(
        [&line["service"], &line["replica"], &line["replica_role"]],
        [&json!("A/S"), &json!("11"), &json!("primary")]
    );
    let page = gateway.admin("/fabric").json();
    let partition = &page["resolvers"][0]["services"][0]["partitions"][0];
    assert_eq!(
        (partition["id"].as_str(), partition["replicas"][0]["role"].as_str()),
        (Some(&*id), Some("primary"))
    );
    let explained = json!({ "url": "/A/S/x?PartitionKey=1&y" }).to_string();
    let explained =
        Request::new("POST", "/v1/explain").header("Content-Type", "application/json").body(explained);
    let explained = once(gateway.admin, &explained).expect("a response").text();
    let url = format!("http://127.0.0.1:{}/base/x?y", origin.port());
    assert!(explained.contains(&url) && explained.contains(&id), "{explained}");
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_fabric_resolve_total{outcome=\"hit\",resolver=\"local\"}"), "{metrics}");
}

#[test]
fn a_primary_that_swaps_is_used_at_once_and_only_a_writable_registry_is_changed() {
    let named = |name: &'static str| Origin::with(move |_| StubResponse::new(200, name));
    let (one, two) = (named("one"), named("two"));
    let both = json!([
        { "ReplicaId": "1", "Role": "Primary", "Endpoints": { "": format!("http://127.0.0.1:{}", one.port()) } },
        { "ReplicaId": "2", "Role": "ActiveSecondary", "Endpoints": { "": format!("http://127.0.0.1:{}", two.port()) } },
    ]);
    let gateway = with_registry(&services(&both), &json!({}));
    assert_eq!(gateway.get("/A/S").text(), "one");
    assert_eq!(change(&gateway, "POST", "SwapPrimary?ReplicaId=2&", &json!({})), 200);
    assert_eq!(gateway.get("/A/S").text(), "two");
    assert_eq!(change(&gateway, "POST", "SwapPrimary?ReplicaId=9&", &json!({})), 404);
    assert_eq!(change(&gateway, "PUT", "GetReplicas/3?", &json!({ "Role": "Leader", "Endpoints": {} })), 400);
    let resolvers = json!({ "Resolvers": { "local": { "Type": "Registry", "File": "services.json" } } });
    let fixed = with_registry(&services(&both), &json!({ "ServiceFabric": resolvers }));
    assert_eq!(change(&fixed, "POST", "SwapPrimary?ReplicaId=2&", &json!({})), 405);
}

/// A cluster with one service, whose partition is on a port that changes.
struct StubCluster {
    origin: Origin,
    port: Arc<AtomicU16>,
    resolved: Arc<AtomicUsize>,
}

impl StubCluster {
    fn start(first: u16) -> StubCluster {
        let (port, resolved) = (Arc::new(AtomicU16::new(first)), Arc::new(AtomicUsize::new(0)));
        let (current, count) = (port.clone(), resolved.clone());
        let origin = Origin::with(move |seen| {
            let body = match seen.raw_path() {
                "/Applications" => {
                    json!({ "ContinuationToken": "", "Items": [{ "Id": "A", "Name": "fabric:/A" }] })
                }
                "/Applications/A/$/GetServices" => json!({ "ContinuationToken": "", "Items": [
                    { "Id": "A~S", "Name": "fabric:/A/S", "ServiceKind": "Stateful" }] }),
                _ => {
                    count.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    let port = current.load(Ordering::SeqCst);
                    json!({ "Name": "fabric:/A/S",
                        "PartitionInformation": { "ServicePartitionKind": "Singleton", "Id": "00000000-0000-0000-0000-000000000001" },
                        "Endpoints": [{ "Kind": "StatefulPrimary", "Address": format!("http://127.0.0.1:{port}") }],
                        "Version": format!("%7B%22v%22%3A{port}%7D") })
                }
            };
            StubResponse::new(200, body.to_string()).header("Content-Type", "application/json")
        });
        StubCluster { origin, port, resolved }
    }
}

fn with_cluster(port: u16, resolver: &Value) -> Gateway {
    let resolver = super::over(
        json!({ "Type": "Cluster", "Endpoints": [format!("http://127.0.0.1:{port}")] }),
        resolver,
    );
    Gateway::with(&json!({
        "ServiceFabric": { "Resolvers": { "prod": resolver } },
        "Routes": [{ "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
            "ServiceFabricOptions": { "Services": ["*"] } }],
    }))
}

#[test]
fn a_thousand_requests_for_a_partition_that_moved_cause_at_most_two_look_ups() {
    const CONNECTIONS: usize = 50;
    let (old, new) = (Origin::with(|_| StubResponse::new(404, "another service")), Origin::hello());
    let first = Origin::hello();
    let cluster = StubCluster::start(first.port());
    let gateway = with_cluster(cluster.origin.port(), &json!({}));
    assert_eq!(gateway.get("/A/S/x").status, 200);
    // The port of the first replica now belongs to another service.
    cluster.port.store(old.port(), Ordering::SeqCst);
    drop(first);
    assert!(becomes_true(Duration::from_secs(5), || gateway.get("/A/S/x").status == 404));
    cluster.port.store(new.port(), Ordering::SeqCst);
    let before = cluster.resolved.load(Ordering::SeqCst);
    // The last look-up must be older than the pause between two.
    std::thread::sleep(Duration::from_millis(150));
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = gateway.connect();
                for _ in 0..1000 / CONNECTIONS {
                    assert_eq!(client.get("/A/S/x").status, 200);
                }
            });
        }
    });
    let look_ups = cluster.resolved.load(Ordering::SeqCst) - before;
    assert!((1..=2).contains(&look_ups), "{look_ups} look-ups");
}

#[test]
fn what_is_known_is_used_while_the_cluster_is_gone() {
    let origin = Origin::hello();
    let cluster = StubCluster::start(origin.port());
    let gateway = with_cluster(
        cluster.origin.port(),
        &json!({ "MaxAge": "1s", "RefreshInterval": "1s", "ResolveTimeout": "500ms" }),
    );
    assert_eq!(gateway.get("/A/S/x").status, 200);
    drop(cluster);
    let (since, mut slowest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < Duration::from_secs(3) {
        let began = Instant::now();
        assert_eq!(gateway.get("/A/S/x").status, 200);
        slowest = slowest.max(began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    let stale = "margay_fabric_stale_total{resolver=\"prod\"} ";
    let counted = |line: &str| line.strip_prefix(stale).is_some_and(|count| count != "0");
    assert!(gateway.admin("/metrics").text().lines().any(counted));
    assert!(gateway.admin("/metrics").text().contains("margay_fabric_up{resolver=\"prod\"} 0"));
}

#[test]
fn a_cluster_that_was_never_reachable_is_reported_after_all_attempts() {
    let gateway = with_cluster(ports::Closed::reserve().port, &json!({}));
    let response = gateway.get("/A/S/x");
    assert_eq!((response.status, &*response.reason), (503, "FABRIC_E_GATEWAY_NOT_REACHABLE"));
    assert_eq!(response.json()["code"], "fabric.naming");
}
