//! Load balancing: the selected endpoint, exact across workers.

use super::over;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::time::Duration;

fn balanced(origins: &[&Origin], kind: &str) -> Value {
    let endpoints: Vec<Value> =
        origins.iter().map(|o| json!({ "Host": "127.0.0.1", "Port": o.port() })).collect();
    let route = json!({ "DownstreamHostAndPorts": endpoints, "LoadBalancerOptions": { "Type": kind } });
    json!({ "Routes": [over(super::to(1), &route)] })
}

fn call_in_parallel(gateway: &Gateway, times: usize) {
    std::thread::scope(|scope| {
        for _ in 0..times {
            scope.spawn(|| assert_eq!(gateway.ask(&Request::get("/")).status, 200));
        }
    });
}

#[test]
fn round_robin_divides_exactly_across_workers() {
    let (one, two) = (Origin::hello(), Origin::hello());
    let setup = Setup::json(&balanced(&[&one, &two], "RoundRobin")).threads(2);
    let gateway = Gateway::start(&setup);
    call_in_parallel(&gateway, 99);
    assert_eq!((one.calls(), two.calls()), (50, 49));
}

#[test]
fn least_connection_avoids_the_busy_endpoint() {
    let busy = Origin::with(|_| StubResponse::new(200, "").after(Duration::from_secs(2)));
    let free = Origin::hello();
    let setup = Setup::json(&balanced(&[&busy, &free], "LeastConnection")).threads(2);
    let gateway = Gateway::start(&setup);
    std::thread::scope(|scope| {
        scope.spawn(|| gateway.get("/"));
        assert!(crate::support::becomes_true(Duration::from_secs(5), || busy.calls() == 1));
        for _ in 0..10 {
            gateway.get("/");
        }
    });
    assert_eq!((busy.calls(), free.calls()), (1, 10));
}

#[test]
fn least_connection_divides_pending_calls_across_workers() {
    let slow = || Origin::with(|_| StubResponse::new(200, "").after(Duration::from_millis(600)));
    let (one, two) = (slow(), slow());
    let setup = Setup::json(&balanced(&[&one, &two], "LeastConnection")).threads(2);
    let gateway = Gateway::start(&setup);
    call_in_parallel(&gateway, 40);
    assert!(
        (18..=22).contains(&one.calls()) && one.calls() + two.calls() == 40,
        "{} {}",
        one.calls(),
        two.calls()
    );
}

#[test]
fn without_a_balancer_the_first_endpoint_is_used() {
    let (one, two) = (Origin::hello(), Origin::hello());
    for kind in ["NoLoadBalancer", ""] {
        let gateway = Gateway::with(&balanced(&[&one, &two], kind));
        call_in_parallel(&gateway, 6);
    }
    assert_eq!((one.calls(), two.calls()), (12, 0));
}

#[test]
fn requests_are_counted_exactly_across_workers() {
    let origin = Origin::hello();
    let gateway = Gateway::start(&Setup::json(&balanced(&[&origin], "RoundRobin")).threads(2));
    call_in_parallel(&gateway, 200);
    let counted = || {
        let text = gateway.admin("/metrics").text();
        let lines = text.lines().filter(|l| l.starts_with("margay_requests_total"));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    assert!(
        crate::support::becomes_true(Duration::from_secs(3), || (counted() - 200.0).abs() < 0.5),
        "{}",
        counted()
    );
}

/// Two routes to one cluster.
fn shared(origins: &[&Origin], options: &Value) -> Value {
    let endpoints: Vec<Value> =
        origins.iter().map(|o| json!({ "Host": "127.0.0.1", "Port": o.port() })).collect();
    let route = |path: &str| json!({ "UpstreamPathTemplate": format!("{path}/{{id}}"), "DownstreamPathTemplate": "/{id}", "DownstreamCluster": "c" });
    let cluster = over(json!({ "DownstreamScheme": "http", "Endpoints": endpoints }), options);
    json!({ "Routes": [route("/a"), route("/b")], "Clusters": { "c": cluster } })
}

#[test]
fn weights_are_exact_across_workers() {
    let (one, two) = (Origin::hello(), Origin::hello());
    let mut document = balanced(&[&one, &two], "RoundRobin");
    document["Routes"][0]["DownstreamHostAndPorts"][0]["Weight"] = 3.into();
    let gateway = Gateway::start(&Setup::json(&document).threads(2));
    call_in_parallel(&gateway, 80);
    assert_eq!((one.calls(), two.calls()), (60, 20));
}

#[test]
fn routes_to_one_cluster_share_its_round_robin() {
    let (one, two) = (Origin::hello(), Origin::hello());
    let options = json!({ "LoadBalancerOptions": { "Type": "RoundRobin" } });
    let gateway = Gateway::with(&shared(&[&one, &two], &options));
    for _ in 0..5 {
        gateway.get("/a/1");
        gateway.get("/b/1");
    }
    assert!(one.seen().len() == 5 && two.seen().len() == 5);
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[test]
fn a_path_key_maps_to_one_endpoint_from_every_route() {
    let (one, two) = (Origin::hello(), Origin::hello());
    let options = json!({ "LoadBalancerOptions": { "Type": "ConsistentHash", "HashOn": "Path:id" } });
    let gateway = Gateway::with(&shared(&[&one, &two], &options));
    for id in 0..40 {
        gateway.get(&format!("/a/{id}"));
        gateway.get(&format!("/b/{id}"));
    }
    assert!(one.calls() > 10 && two.calls() > 10 && one.calls() + two.calls() == 80);
    let paths: std::collections::BTreeSet<String> = one.seen().into_iter().map(|seen| seen.path).collect();
    assert!(two.seen().iter().all(|seen| !paths.contains(&seen.path)));
}

#[test]
fn the_affinity_cookie_keeps_a_client_on_its_endpoint() {
    let (one, two) =
        (Origin::with(|_| StubResponse::new(200, "1")), Origin::with(|_| StubResponse::new(200, "2")));
    let mut document = balanced(&[&one, &two], "CookieStickySessions");
    document["Routes"][0]["LoadBalancerOptions"]["SetCookie"] = true.into();
    let gateway = Gateway::start(&Setup::json(&document).threads(2));
    let first = gateway.get("/");
    let set = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("MargayEndpoint=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split(';').next().expect("a value");
    for _ in 0..5 {
        let again = gateway.ask(&Request::get("/").header("Cookie", cookie));
        assert_eq!((again.text(), again.header("set-cookie")), (first.text(), None));
    }
}

#[test]
fn sticky_sessions_survive_a_reload_and_leave_a_removed_endpoint() {
    let (one, two) =
        (Origin::with(|_| StubResponse::new(200, "1")), Origin::with(|_| StubResponse::new(200, "2")));
    let document = |more: &Value, origins: &[&Origin]| {
        let options = json!({ "LoadBalancerOptions": { "Type": "CookieStickySessions", "Key": "sid" } });
        over(shared(origins, &options), more)
    };
    let gateway = Gateway::with(&document(&json!({}), &[&one, &two]));
    let ask = |who: &str| gateway.ask(&Request::get("/a/1").header("Cookie", &format!("sid={who}"))).text();
    assert_eq!([ask("a"), ask("b"), ask("a"), ask("b")], ["1", "2", "1", "2"]);
    gateway.write(&document(&json!({ "AccessLog": true }), &[&one, &two]).to_string());
    assert!(crate::support::becomes_true(Duration::from_secs(10), || {
        assert_eq!([ask("b"), ask("a")], ["2", "1"]);
        !gateway.access_log().is_empty()
    }));
    gateway.write(&document(&json!({}), &[&two]).to_string());
    assert!(crate::support::becomes_true(Duration::from_secs(10), || ask("a") == "2"));
}
