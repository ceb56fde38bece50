//! A scan through more URLs than the cache can hold: memory stays within its bound. `SOAK=1` scans a million.

use super::document;
use crate::support::StopGuard;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const BOUND: u64 = 16 << 20;
const READERS: u64 = 4;

fn keys() -> u64 {
    if std::env::var("SOAK").is_ok() { 1_000_000 } else { 8_000 }
}

/// The bytes of stored responses, from the metrics.
fn stored_bytes(gateway: &Gateway) -> u64 {
    let text = gateway.admin("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix("margay_cache_bytes{region=\"\"} "));
    line.and_then(|n| n.parse().ok()).expect("the memory in use")
}

fn scan(gateway: &Gateway, from: u64, to: u64) {
    let mut client = gateway.connect();
    for key in from..to {
        client.send(Request::get(&format!("/scan/{key}")).bytes("gw"));
        assert_eq!(client.answer("GET").map(|answer| answer.status), Ok(200));
    }
}

#[test]
fn a_scan_stays_within_the_cache_memory_and_keeps_frequent_entries() {
    let body = "x".repeat(4096);
    let origin = Origin::with(move |_| StubResponse::new(200, &body).header("Cache-Control", "max-age=600"));
    let rest = json!({ "Cache": { "MaxSize": "16MiB" } });
    let setup = document(origin.port(), &json!({ "CacheOptions": { "Mode": "Http" } }), &rest);
    let gateway = Gateway::start(&Setup::json(&setup).threads(2));
    let used = |gateway: &Gateway| gateway.ask(&Request::get("/used").header("Host", "gw"));
    (0..50).for_each(|_| assert_eq!(used(&gateway).status, 200));
    let before = gateway.process.rss();
    let (most, highest, done) = (AtomicU64::new(0), AtomicU64::new(before), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&done);
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                most.fetch_max(stored_bytes(&gateway), Ordering::SeqCst);
                highest.fetch_max(gateway.process.rss(), Ordering::SeqCst);
                assert_eq!(used(&gateway).status, 200);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (part, gateway) = (keys() / READERS, &gateway);
        let readers: Vec<_> =
            (0..READERS).map(|n| scope.spawn(move || scan(gateway, n * part, (n + 1) * part))).collect();
        assert!(readers.into_iter().all(|reader| reader.join().is_ok()), "a reader failed");
    });
    let (most, grown) = (most.into_inner(), (highest.into_inner() - before) * 1024);
    assert!(most <= BOUND && most > BOUND / 2, "{most} bytes of {BOUND}");
    assert!(grown <= BOUND * 5 / 4, "grown by {grown} bytes, the bound is {BOUND}");
    let used = gateway.ask(&Request::get("/used").header("Host", "gw"));
    assert!(
        used.header("cache-status").is_some_and(|value| value.contains("; hit")),
        "{:?}",
        used.header("cache-status")
    );
}
