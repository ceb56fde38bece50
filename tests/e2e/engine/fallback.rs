//! Fallbacks after failed attempts, and limits of backend connections.

use super::{document, over};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::ports::Closed;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_static_fallback_replaces_an_unreachable_backend() {
    let closed = Closed::reserve();
    let reply = json!({ "Status": 200, "Headers": { "Content-Type": "application/json", "X-From": "here" }, "Body": "[]" });
    let gateway =
        Gateway::with(&document(closed.port, &json!({ "FallbackOptions": { "Reply": reply } }), &json!({})));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-from")), (200, "[]", Some("here")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_fallbacks_total{route=\"/{everything}\"} 1"), "{metrics}");
}

/// A backend, a spare cluster, and the fallback options.
fn with_spare(port: u16, spare: u16, options: &Value) -> Gateway {
    let clusters = json!({ "spare": {
        "DownstreamScheme": "http", "Endpoints": [{ "Host": "127.0.0.1", "Port": spare }],
    } });
    Gateway::with(&document(port, &json!({ "FallbackOptions": options }), &json!({ "Clusters": clusters })))
}

#[test]
fn a_fallback_cluster_gets_the_whole_body() {
    let (closed, spare) = (Closed::reserve(), Origin::with(|seen| StubResponse::new(200, &seen.body)));
    let gateway = with_spare(closed.port, spare.port(), &json!({ "Cluster": "spare" }));
    assert_eq!(gateway.ask(&Request::new("POST", "/").body("all of it")).text(), "all of it");
    let failing = Origin::with(|_| StubResponse::new(500, "no"));
    let gateway = with_spare(failing.port(), spare.port(), &json!({ "Cluster": "spare", "OnStatus": [500] }));
    let sent = gateway.ask(&Request::new("POST", "/").chunks(&["a", "bc"]));
    assert_eq!((sent.status, sent.text().as_str(), failing.last().length), (200, "abc", 3));
}

#[test]
fn the_static_fallback_follows_a_failed_cluster_for_listed_causes_only() {
    let (one, other) = (Closed::reserve(), Closed::reserve());
    let reply = json!({ "Status": 503, "Body": "closed for today" });
    let both = with_spare(one.port, other.port, &json!({ "Cluster": "spare", "Reply": reply }));
    assert_eq!(both.get("/").text(), "closed for today");
    let other_failure = with_spare(one.port, other.port, &json!({ "On": ["Timeout"], "Reply": reply }));
    assert_eq!(other_failure.get("/").json()["code"], json!("backend.connect"));
}

fn limited(port: u16, options: &Value, more: &Value) -> Value {
    let route = over(json!({ "HttpHandlerOptions": options }), more);
    document(port, &route, &json!({}))
}

#[test]
fn the_connection_limit_holds_across_workers() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, worst) = (now.clone(), most.clone());
    let origin = Origin::with(move |_| {
        worst.fetch_max(counts.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        counts.fetch_sub(1, Ordering::SeqCst);
        StubResponse::new(200, "ok")
    });
    let config = limited(origin.port(), &json!({ "MaxConnectionsPerServer": 3 }), &json!({}));
    let gateway = Gateway::start(&Setup::json(&config).threads(2));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
            });
        }
    });
    assert_eq!((origin.calls(), most.load(Ordering::SeqCst)), (120, 3));
    assert!(origin.connections() < 90, "connections are handed on: {}", origin.connections());
}

#[test]
fn an_idle_connection_of_another_worker_is_closed_for_a_queued_request() {
    let origin = Origin::hello();
    let config = limited(origin.port(), &json!({ "MaxConnectionsPerServer": 1 }), &json!({}));
    let gateway = Gateway::start(&Setup::json(&config).threads(2));
    let start = Instant::now();
    let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for _ in 0..3 {
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(becomes_true(Duration::from_secs(2), || origin.open() <= 1));
}

#[test]
fn a_full_or_slow_queue_is_a_connection_limit_error() {
    let slow = Origin::with(|_| StubResponse::new(200, "").after(Duration::from_millis(800)));
    let options =
        json!({ "MaxConnectionsPerServer": 1, "ConnectionQueueLimit": 1, "ConnectionQueueTimeout": "200ms" });
    let gateway = Gateway::with(&limited(slow.port(), &options, &json!({})));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| gateway.get("/1"));
        std::thread::sleep(Duration::from_millis(200));
        let second = scope.spawn(|| (gateway.get("/2"), Instant::now()));
        std::thread::sleep(Duration::from_millis(50));
        let third = gateway.get("/3");
        assert_eq!((third.status, &third.json()["code"]), (503, &json!("backend.connection_limit")));
        let (second, _) = second.join().expect("no panic");
        assert_eq!((second.status, &second.json()["code"]), (503, &json!("backend.connection_limit")));
        assert_eq!(first.join().expect("no panic").status, 200);
    });
    assert_eq!(slow.calls(), 1);
}

#[test]
fn a_connection_is_not_reused_beyond_its_lifetime() {
    let origin = Origin::hello();
    let gateway =
        Gateway::with(&limited(origin.port(), &json!({ "PooledConnectionLifetimeSeconds": 0 }), &json!({})));
    (0..3).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(origin.connections(), 3);
    let origin = Origin::hello();
    let gateway =
        Gateway::with(&limited(origin.port(), &json!({ "PooledConnectionLifetimeSeconds": 1 }), &json!({})));
    assert_eq!([gateway.get("/").status, gateway.get("/").status], [200, 200]);
    assert_eq!(origin.connections(), 1);
    assert!(becomes_true(Duration::from_secs(4), || origin.open() == 0), "it is closed when it is old");
}

#[test]
fn the_route_timeout_covers_the_wait_for_a_connection() {
    let slow = Origin::with(|_| StubResponse::new(200, "").after(Duration::from_secs(3)));
    let config =
        limited(slow.port(), &json!({ "MaxConnectionsPerServer": 1 }), &json!({ "Timeout": "600ms" }));
    let gateway = Gateway::with(&over(config, &json!({ "AccessLog": true })));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(gateway.get("/").json()["code"], json!("backend.timeout")));
        }
    });
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
