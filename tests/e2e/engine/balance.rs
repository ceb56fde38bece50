//! Which endpoint is asked: exact across workers.

use super::over;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub::Answer;
use serde_json::{Value, json};
use std::time::Duration;

fn between(origins: &[&Origin], kind: &str) -> Value {
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
    let setup = Setup::json(&between(&[&one, &two], "RoundRobin")).threads(2);
    let gateway = Gateway::start(&setup);
    call_in_parallel(&gateway, 99);
    assert_eq!((one.calls(), two.calls()), (50, 49));
}

#[test]
fn least_connection_leaves_the_busy_endpoint_alone() {
    let busy = Origin::with(|_| Answer::new(200, "").after(Duration::from_secs(2)));
    let free = Origin::hello();
    let setup = Setup::json(&between(&[&busy, &free], "LeastConnection")).threads(2);
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
fn least_connection_divides_waiting_calls_across_workers() {
    let slow = || Origin::with(|_| Answer::new(200, "").after(Duration::from_millis(600)));
    let (one, two) = (slow(), slow());
    let setup = Setup::json(&between(&[&one, &two], "LeastConnection")).threads(2);
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
fn without_a_balancer_the_first_endpoint_is_asked() {
    let (one, two) = (Origin::hello(), Origin::hello());
    for kind in ["NoLoadBalancer", ""] {
        let gateway = Gateway::with(&between(&[&one, &two], kind));
        call_in_parallel(&gateway, 6);
    }
    assert_eq!((one.calls(), two.calls()), (12, 0));
}

#[test]
fn requests_are_counted_exactly_across_workers() {
    let origin = Origin::hello();
    let gateway = Gateway::start(&Setup::json(&between(&[&origin], "RoundRobin")).threads(2));
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
