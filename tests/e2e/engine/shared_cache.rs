//! Several gateways with one cache on Redis.

use super::{document, over};
use crate::support::client::{Request, Response, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::redis::Redis;
use crate::support::stub_backend::StubResponse;
use crate::support::{announce, measures_time, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The same URL on every gateway: their addresses differ.
fn request(method: &str, target: &str) -> Request {
    Request::new(method, target).header("Host", "gw")
}

fn get(gateway: &Gateway, target: &str) -> Response {
    gateway.ask(&request("GET", target))
}

/// A backend that responds after a while, with a number that grows.
fn backend(delay: Duration, fields: &'static [(&'static str, &'static str)]) -> Origin {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    Origin::with(move |seen| {
        std::thread::sleep(delay);
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let size = seen.query.rsplit("size=").next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let body = format!("{call} {}", "x".repeat(size));
        fields
            .iter()
            .fold(StubResponse::new(200, &body), |response, (name, value)| response.header(name, value))
    })
}

fn gateway(origin: &Origin, redis: &Redis, route: &Value) -> Gateway {
    let cache = json!({ "CacheOptions": { "Mode": "Http", "TtlSeconds": 600 } });
    let rest =
        json!({ "SharedState": { "Url": redis.url(), "Timeout": "250ms" }, "Cache": { "Shared": true } });
    let gateway =
        Gateway::start(&Setup::json(&document(origin.port(), &over(cache, route), &rest)).threads(2));
    let available = || {
        let status: Value = serde_json::from_str(&gateway.admin("/v1/status").text()).expect("JSON");
        (status["shared_state"]["available"] == true).then_some(())
    };
    until(Duration::from_secs(10), available).expect("the shared state is available");
    gateway
}

fn count(gateway: &Gateway, event: &str) -> u64 {
    let name = format!("margay_shared_state_cache_total{{event=\"{event}\"}} ");
    let metrics = gateway.admin("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

const CACHED: &[(&str, &str)] = &[("Cache-Control", "max-age=600"), ("Surrogate-Key", "news")];

#[test]
fn a_response_of_one_gateway_is_a_hit_on_the_other() {
    let (origin, redis) = (backend(Duration::ZERO, CACHED), Redis::start());
    let (one, two) = (gateway(&origin, &redis, &json!({})), gateway(&origin, &redis, &json!({})));
    for size in [0, 10_000, 3_000_000] {
        let target = format!("/a?size={size}");
        let first = get(&one, &target);
        until(Duration::from_secs(5), || (count(&one, "stored") > 0).then_some(())).expect("stored");
        let before = origin.calls();
        let second = until(Duration::from_secs(5), || {
            let response = get(&two, &target);
            response.header("cache-status").is_some_and(|status| status.contains("hit")).then_some(response)
        });
        let second = second.expect("a hit");
        assert_eq!(second.text().len(), first.text().len());
        assert!(origin.calls() <= before + 1, "the value may be stored a moment later");
    }
    assert!(count(&two, "hit") >= 1);
}

#[test]
fn a_thousand_misses_on_three_gateways_make_one_call() {
    let (origin, redis) = (backend(Duration::from_millis(300), CACHED), Redis::start());
    let gateways: Vec<_> = (0..3).map(|_| gateway(&origin, &redis, &json!({}))).collect();
    std::thread::scope(|scope| {
        for at in 0..250 {
            let gateway = &gateways[at % 3];
            scope.spawn(move || {
                let mut client = gateway.connect();
                for _ in 0..4 {
                    assert_eq!(client.ask(&request("GET", "/a")).expect("a response").status, 200);
                }
            });
        }
    });
    assert_eq!(origin.calls(), 1);
}

#[test]
fn a_purge_reaches_every_gateway() {
    let (origin, redis) = (backend(Duration::ZERO, CACHED), Redis::start());
    let gateways: Vec<_> = (0..3).map(|_| gateway(&origin, &redis, &json!({}))).collect();
    let mut durations = Vec::new();
    for round in 0..20 {
        for gateway in &gateways {
            let hit =
                || get(gateway, "/a").header("cache-status").is_some_and(|s| s.contains("hit")).then_some(());
            until(Duration::from_secs(5), hit).expect("a hit");
        }
        let selector = ["all", "tag=news", "prefix=http://"][round % 3];
        let old = get(&gateways[2], "/a").text();
        let started_at = Instant::now();
        let purge = Request::new("POST", &format!("/cache/purge?{selector}"));
        assert_eq!(once(gateways[0].admin, &purge).expect("a response").status, 200);
        until(Duration::from_secs(5), || (get(&gateways[2], "/a").text() != old).then_some(()))
            .expect("purged");
        durations.push(started_at.elapsed());
        assert_ne!(get(&gateways[1], "/a").text(), old);
    }
    durations.sort();
    announce(&format!(
        "a purge reached another gateway after {:?} (median), {:?} (worst)",
        durations[10], durations[19]
    ));
    let is_fast = durations[10] < Duration::from_millis(20) && durations[19] < Duration::from_millis(250);
    assert!(is_fast || !measures_time(), "{durations:?}");
}

#[test]
fn the_fetch_of_a_killed_gateway_is_taken_over_when_its_lock_expires() {
    let (origin, redis) = (backend(Duration::from_millis(1500), CACHED), Redis::start());
    let (one, two) = (gateway(&origin, &redis, &json!({})), gateway(&origin, &redis, &json!({})));
    let mut client = one.connect();
    client.send(b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n");
    until(Duration::from_secs(5), || (count(&one, "miss") == 1).then_some(())).expect("a fetch");
    one.process.signal("KILL");
    let started_at = Instant::now();
    let response = get(&two, "/a");
    assert_eq!(response.status, 200);
    announce(&format!("the other gateway responded after {:?}", started_at.elapsed()));
    assert!(started_at.elapsed() < Duration::from_millis(3000 + 1500 + 500));
}

#[test]
fn identities_and_vary_keep_responses_apart_on_all_gateways() {
    let fields = &[("Cache-Control", "max-age=600"), ("Vary", "Accept-Language")];
    let (origin, redis) = (backend(Duration::ZERO, fields), Redis::start());
    let (one, two) = (gateway(&origin, &redis, &json!({})), gateway(&origin, &redis, &json!({})));
    let ask = |gateway: &Gateway, language: &str| {
        gateway.ask(&request("GET", "/a").header("Accept-Language", language)).text()
    };
    let (german, english) = (ask(&one, "de"), ask(&one, "en"));
    assert_ne!(german, english);
    until(Duration::from_secs(5), || (count(&one, "stored") == 2).then_some(())).expect("stored");
    assert_eq!([ask(&two, "de"), ask(&two, "en")], [german, english]);
    assert_eq!(origin.calls(), 2);
}

#[test]
fn an_unsafe_request_invalidates_on_all_gateways() {
    let (origin, redis) = (backend(Duration::ZERO, CACHED), Redis::start());
    let (one, two) = (gateway(&origin, &redis, &json!({})), gateway(&origin, &redis, &json!({})));
    let text = |gateway: &Gateway| get(gateway, "/a").text();
    let old = text(&one);
    until(Duration::from_secs(5), || (text(&two) == old).then_some(())).expect("a hit");
    assert_eq!(one.ask(&request("POST", "/a")).status, 200);
    until(Duration::from_secs(5), || (text(&two) != old).then_some(())).expect("invalidated");
    assert_ne!(text(&one), old);
}

#[test]
fn without_redis_each_gateway_caches_by_itself() {
    let (origin, mut redis) = (backend(Duration::ZERO, CACHED), Redis::start());
    let gateway = gateway(&origin, &redis, &json!({}));
    redis.stop();
    let first = get(&gateway, "/a").text();
    assert_eq!([get(&gateway, "/a").text(), get(&gateway, "/a").text()], [first.clone(), first]);
    assert_eq!(origin.calls(), 1);
}
