//! Several gateways with one state on Redis.

use super::document;
use crate::support::client::{Request, Response, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::redis::Redis;
use crate::support::tls::Authority;
use crate::support::{announce, measures_time, until};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A gateway with a shared limit.
fn gateway(origin: &Origin, state: &Value, limit: &Value) -> Gateway {
    let mut limit = limit.clone();
    limit["Scope"] = "Shared".into();
    limit["PartitionBy"] = json!(["Route"]);
    let route = json!({ "RateLimitOptions": limit });
    let gateway = Gateway::start(
        &Setup::json(&document(origin.port(), &route, &json!({ "SharedState": state }))).threads(2),
    );
    wait_for(&gateway, true);
    gateway
}

/// Waits until the status page shows that the shared state is available, or is not.
fn wait_for(gateway: &Gateway, available: bool) {
    let shown = || {
        let status: Value = serde_json::from_str(&gateway.admin("/v1/status").text()).expect("JSON");
        (status["shared_state"]["available"] == available).then_some(())
    };
    until(Duration::from_secs(10), shown).expect("the status of the shared state");
}

fn single(redis: &Redis) -> Value {
    json!({ "Type": "Redis", "Url": redis.url(), "Timeout": "200ms" })
}

/// Requests over 64 connections to each gateway; the number of each status.
fn load(gateways: &[&Gateway], requests: usize) -> (usize, usize) {
    let (passed, rejected) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for gateway in gateways {
            for _ in 0..64 {
                let (passed, rejected) = (&passed, &rejected);
                scope.spawn(move || {
                    let mut client = gateway.connect();
                    for _ in 0..requests {
                        match client.ask(&Request::get("/a")).expect("a response").status {
                            200 => passed.fetch_add(1, SeqCst),
                            429 => rejected.fetch_add(1, SeqCst),
                            status => panic!("unexpected status {status}"),
                        };
                    }
                });
            }
        }
    });
    (passed.into_inner(), rejected.into_inner())
}

#[test]
fn two_gateways_with_64_connections_each_pass_exactly_the_limit() {
    let (origin, redis) = (Origin::hello(), Redis::start());
    for (algorithm, lease) in
        [("FixedWindow", "1"), ("TokenBucket", "1"), ("FixedWindow", "Adaptive"), ("TokenBucket", "Adaptive")]
    {
        redis.command(&["FLUSHALL"]);
        // A bucket that refills a token in 200 s.
        let limit = json!({ "Limit": 432, "Period": "1d", "Algorithm": algorithm, "Lease": lease });
        let (one, two) =
            (gateway(&origin, &single(&redis), &limit), gateway(&origin, &single(&redis), &limit));
        let (passed, rejected) = load(&[&one, &two], 8);
        announce(&format!("{algorithm} with lease {lease}: {passed} of 432 passed, {rejected} rejected"));
        assert_eq!((passed, rejected), (432, 2 * 64 * 8 - 432), "{algorithm} with lease {lease}");
        let rejection = one.get("/a");
        assert!(rejection.status == 429 && rejection.header("retry-after").is_some());
        assert_eq!(
            one.admin("/v1/limits/%2F%7Beverything%7D").json()["limits"][0]["counter"]["remaining"],
            0
        );
    }
}

#[test]
fn every_window_passes_its_limit_once() {
    let (origin, redis) = (Origin::hello(), Redis::start());
    let limit = json!({ "Limit": 20, "Period": "2s", "Lease": "1" });
    let (one, two) = (gateway(&origin, &single(&redis), &limit), gateway(&origin, &single(&redis), &limit));
    for window in 0..2 {
        // The first request that passes begins a window.
        until(Duration::from_secs(5), || (one.get("/a").status == 200).then_some(())).expect("a new window");
        let passed =
            (0..20).flat_map(|_| [&one, &two]).filter(|gateway| gateway.get("/a").status == 200).count();
        assert_eq!(passed, 19, "window {window}");
    }
}

#[test]
fn counters_survive_the_gateways_and_an_empty_redis_starts_over() {
    let (origin, mut redis) = (Origin::hello(), Redis::start());
    let limit = json!({ "Limit": 3, "Period": "1h", "Lease": "1" });
    let first = gateway(&origin, &single(&redis), &limit);
    assert_eq!([200, 200], [first.get("/a").status, first.get("/a").status]);
    drop(first);
    let second = gateway(&origin, &single(&redis), &limit);
    assert_eq!([200, 429], [second.get("/a").status, second.get("/a").status]);
    redis.restart();
    wait_for(&second, true);
    let started_at = Instant::now();
    drop(second);
    let third = gateway(&origin, &single(&redis), &limit);
    assert_eq!(third.get("/a").status, 200, "after {:?}", started_at.elapsed());
}

#[test]
fn a_server_that_stops_costs_one_timeout_and_no_request_fails() {
    let (origin, redis) = (Origin::hello(), Redis::start());
    let mut state = single(&redis);
    state["Timeout"] = "50ms".into();
    let gateway = gateway(&origin, &state, &json!({ "Limit": 1_000_000, "Period": "1h", "Lease": "1" }));
    let mut client = gateway.connect();
    let mut timed = || {
        let started_at = Instant::now();
        assert_eq!(client.ask(&Request::get("/a")).expect("a response").status, 200);
        started_at.elapsed()
    };
    (0..50).for_each(|_| assert!(timed() < Duration::from_secs(5)));
    redis.signal("STOP");
    let durations: Vec<_> = (0..200).map(|_| timed()).collect();
    let slow = durations.iter().filter(|duration| **duration > Duration::from_millis(25)).count();
    assert!(slow <= 5 || !measures_time(), "{slow} requests waited: the circuit opens after 5 timeouts");
    wait_for(&gateway, false);
    redis.signal("CONT");
    wait_for(&gateway, true);
    assert!(timed() < Duration::from_millis(50) || !measures_time());
    assert!(
        gateway.admin("/metrics").text().contains("margay_shared_state_errors_total{reason=\"timeout\"} 5")
    );
}

#[test]
fn a_lost_server_leaves_the_decision_to_each_gateway_or_rejects() {
    let (origin, mut redis) = (Origin::hello(), Redis::start());
    let mut refusing = single(&redis);
    refusing["OnFailure"] = "Refuse".into();
    refusing["Prefix"] = "other".into();
    let limit = json!({ "Limit": 2, "Period": "1h", "Lease": "1" });
    let (local, refuse) = (gateway(&origin, &single(&redis), &limit), gateway(&origin, &refusing, &limit));
    redis.stop();
    wait_for(&local, false);
    wait_for(&refuse, false);
    assert_eq!([200, 200, 429], [(); 3].map(|()| local.get("/a").status));
    let refused = refuse.get("/a");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("state.unavailable")));
    assert_eq!(refuse.admin("/ready").status, 200, "the gateway is ready without Redis");
    redis.restart();
    wait_for(&refuse, true);
    assert_eq!(refuse.get("/a").status, 200);
}

#[test]
fn a_cluster_of_three_nodes_shares_limits() {
    let (origin, nodes) = (Origin::hello(), Redis::cluster());
    let urls: Vec<_> = nodes.iter().map(Redis::url).collect();
    let state = json!({ "Url": urls, "Mode": "cluster", "Timeout": "500ms" });
    let limit = json!({ "Limit": 100, "Period": "1h", "Lease": "1",
        "Limits": [{ "Name": "b", "Limit": 1000, "Period": "1h" }] });
    let (one, two) = (gateway(&origin, &state, &limit), gateway(&origin, &state, &limit));
    assert_eq!(load(&[&one, &two], 2), (100, 156));
}

#[test]
fn after_a_failover_by_sentinel_the_limit_holds_again() {
    let (origin, mut primary) = (Origin::hello(), Redis::start());
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let synchronized = || replica.command(&["GET", "ready"]).starts_with("$1").then_some(());
    primary.command(&["SET", "ready", "1"]);
    until(Duration::from_secs(10), synchronized).expect("the replica is synchronized");
    let sentinel = Redis::sentinel(primary.port);
    let state = json!({ "Url": [sentinel.url()], "Mode": "sentinel", "Timeout": "200ms" });
    let limit = json!({ "Limit": 40, "Period": "1h", "Lease": "1" });
    let gateway = gateway(&origin, &state, &limit);
    assert_eq!((0..30).filter(|_| gateway.get("/a").status == 200).count(), 30);
    // The Sentinel knows the replica after its next INFO.
    let known = || sentinel.command(&["SENTINEL", "replicas", "mymaster"]).starts_with("*1").then_some(());
    until(Duration::from_secs(15), known).expect("the Sentinel knows the replica");
    primary.stop();
    wait_for(&gateway, false);
    wait_for(&gateway, true);
    let passed = (0..40).filter(|_| gateway.get("/a").status == 200).count();
    announce(&format!("after the failover {passed} of 10 more requests passed"));
    assert_eq!(passed, 10);
}

#[test]
fn a_wrong_password_is_logged_with_its_cure_and_no_request_fails() {
    let (origin, redis) = (Origin::hello(), Redis::with(&["--requirepass", "right"]));
    let limit = json!({ "RateLimitOptions": { "Limit": 5, "Period": "1h", "Scope": "Shared", "PartitionBy": ["IP"] } });
    let state = json!({ "SharedState": { "Url": redis.url(), "Password": "wrong" } });
    let gateway = Gateway::with(&document(origin.port(), &limit, &state));
    assert_eq!(gateway.get("/a").status, 200);
    let logged =
        || gateway.process.stderr().contains("check SharedState.User and SharedState.Password").then_some(());
    until(Duration::from_secs(5), logged).expect("a log line with the cure");
    assert!(!gateway.process.stderr().contains("wrong\""));
}

#[test]
fn redis_over_tls_is_verified_and_may_require_a_client_certificate() {
    let (origin, authority, other) = (Origin::hello(), Authority::new("redis"), Authority::new("other"));
    let (redis, port) = Redis::secure(&authority);
    let own = authority.issue(&["gateway.internal"]);
    let start = |tls: Value| {
        let limit = json!({ "RateLimitOptions": { "Limit": 2, "Period": "1h", "Scope": "Shared", "Lease": "1",
            "PartitionBy": ["Route"] } });
        let state = json!({ "Url": format!("rediss://127.0.0.1:{port}"), "Prefix": "tls", "Timeout": "1s", "Tls": tls });
        let setup = Setup::json(&document(origin.port(), &limit, &json!({ "SharedState": state })));
        Gateway::start(
            &setup
                .file("ca.pem", &authority.pem())
                .file("other.pem", &other.pem())
                .file("own.pem", &own.chain)
                .file("own.key", &own.key),
        )
    };
    let logs = |gateway: &Gateway, cure: &str| {
        assert_eq!(gateway.get("/a").status, 200, "each gateway decides by itself");
        let logged = || gateway.process.stderr().contains(cure).then_some(());
        until(Duration::from_secs(5), logged).unwrap_or_else(|| panic!("{}", gateway.process.stderr()));
    };
    let named = |ca: &str| json!({ "CaFile": ca, "ServerName": "redis.internal" });
    let certified = |tls: Value| {
        let mut tls = tls;
        (tls["CertificateFile"], tls["KeyFile"]) = ("own.pem".into(), "own.key".into());
        tls
    };
    logs(&start(certified(named("other.pem"))), "check SharedState.Tls: CaFile and ServerName");
    logs(&start(certified(json!({ "CaFile": "ca.pem" }))), "check SharedState.Tls: CaFile and ServerName");
    logs(&start(named("ca.pem")), "set SharedState.Tls.CertificateFile and KeyFile");
    assert_eq!(redis.command(&["DBSIZE"]), ":0", "nothing was counted there");
    let gateway = start(certified(named("ca.pem")));
    wait_for(&gateway, true);
    assert_eq!([200, 200, 429], [(); 3].map(|()| gateway.get("/a").status));
    assert_eq!(redis.command(&["DBSIZE"]), ":1");
}

#[test]
fn a_server_that_is_no_redis_is_logged_with_its_cure_and_no_request_fails() {
    let (origin, stranger) = (Origin::hello(), Origin::hello());
    let limit = json!({ "RateLimitOptions": { "Limit": 5, "Period": "1h", "Scope": "Shared", "PartitionBy": ["IP"] } });
    let state = json!({ "Url": format!("redis://127.0.0.1:{}", stranger.port()) });
    let gateway = Gateway::with(&document(origin.port(), &limit, &json!({ "SharedState": state })));
    assert_eq!(gateway.get("/a").status, 200);
    let logged = || gateway.process.stderr().contains("SharedState.Url").then_some(());
    until(Duration::from_secs(5), logged).unwrap_or_else(|| panic!("{}", gateway.process.stderr()));
}

#[test]
fn a_request_holds_a_shared_slot_until_its_response_ends() {
    let (origin, redis) = (Origin::hello(), Redis::start());
    let route = json!({ "ConcurrencyLimitOptions": { "Limit": 1, "Scope": "Shared" } });
    let start = || {
        let rest = json!({ "SharedState": single(&redis) });
        let gateway = Gateway::with(&document(origin.port(), &route, &rest));
        wait_for(&gateway, true);
        gateway
    };
    let (one, two) = (start(), start());
    let mut slow = one.connect();
    slow.send(b"POST /a HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nab");
    let held = || (redis.command(&["DBSIZE"]) == ":1").then_some(());
    until(Duration::from_secs(5), held).expect("the slot is held");
    let full = || (two.get("/a").status == 503).then_some(());
    until(Duration::from_secs(5), full).expect("the slot is in use");
    slow.send(b"cde");
    let free = || (two.get("/a").status == 200).then_some(());
    until(Duration::from_secs(5), free).expect("the slot is free again");
    let _: Option<Response> = once(two.address, &Request::get("/a")).ok();
}

#[test]
fn a_sticky_session_goes_to_the_same_endpoint_on_every_gateway() {
    let redis = Redis::start();
    let origins: Vec<_> = (0..4).map(|_| Origin::hello()).collect();
    let hosts: Vec<_> =
        origins.iter().map(|origin| json!({ "Host": "127.0.0.1", "Port": origin.port() })).collect();
    let route = json!({ "DownstreamHostAndPorts": hosts,
        "LoadBalancerOptions": { "Type": "CookieStickySessions", "Key": "sid", "Scope": "Shared" } });
    let start = || {
        let gateway = Gateway::with(&document(0, &route, &json!({ "SharedState": single(&redis) })));
        wait_for(&gateway, true);
        gateway
    };
    let (one, two) = (start(), start());
    let ask = |gateway: &Gateway, session: usize| {
        let cookie = format!("sid={session}");
        assert_eq!(gateway.ask(&Request::get("/a").header("Cookie", &cookie)).status, 200);
        let at = origins.iter().position(|origin| origin.calls() > 0).expect("a call");
        origins.iter().for_each(Origin::forget);
        at
    };
    let endpoints: Vec<_> = (0..8).map(|session| ask(&one, session)).collect();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((0..8).map(|session| ask(&two, session)).collect::<Vec<_>>(), endpoints);
    drop((one, two));
    let three = start();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((0..8).map(|session| ask(&three, session)).collect::<Vec<_>>(), endpoints, "after a restart");
}
