//! Unhealthy endpoints: health checks, outlier detection, and the removal of endpoints.

use super::over;
use crate::support::becomes_true;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::stub_backend::StubResponse;
use crate::support::tls::Authority;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(15);

/// A route balanced over these backends, with more settings.
fn balanced(origins: &[&Origin], more: &Value) -> Value {
    let endpoints: Vec<Value> =
        origins.iter().map(|o| json!({ "Host": "127.0.0.1", "Port": o.port() })).collect();
    let route = json!({ "Key": "shop", "DownstreamHostAndPorts": endpoints, "LoadBalancerOptions": { "Type": "RoundRobin" } });
    json!({ "Routes": [over(over(super::to(1), &route), more)] })
}

/// Requests other than probes.
fn calls(origin: &Origin) -> usize {
    origin.seen().iter().filter(|seen| seen.path != "/health").count()
}

/// The state of the first endpoint, from the administration.
fn first(gateway: &Gateway) -> Value {
    gateway.admin("/clusters").json()["clusters"][0]["endpoints"][0].clone()
}

/// Responds to probes with a variable status, and to everything else with 200.
fn probed() -> (Origin, Arc<AtomicU64>) {
    let status = Arc::new(AtomicU64::new(200));
    let known = status.clone();
    let answer = move |seen: &Seen| match seen.path.as_str() {
        "/health" => StubResponse::new(u16::try_from(known.load(Relaxed)).expect("a status"), "fine"),
        _ => StubResponse::new(200, "hello"),
    };
    (Origin::with(answer), status)
}

#[test]
fn an_endpoint_whose_probes_fail_gets_no_requests_until_they_succeed() {
    let ((one, status), (two, _)) = (probed(), probed());
    let active = json!({ "Path": "/health", "Interval": "100ms", "Jitter": 0, "ExpectedBody": "fine",
        "UnhealthyThreshold": 2, "HealthyThreshold": 2 });
    let document = balanced(&[&one, &two], &json!({ "HealthCheckOptions": { "Active": active } }));
    let gateway = Gateway::start(&Setup::json(&document).threads(2));
    assert!(becomes_true(WAIT_TIMEOUT, || first(&gateway)["health"] == "healthy"));
    status.store(503, Relaxed);
    assert!(becomes_true(WAIT_TIMEOUT, || first(&gateway)["health"] == "unhealthy"));
    let why = first(&gateway)["reason"].as_str().expect("a reason").to_owned();
    assert!(why.ends_with("/health: unexpected status 503"), "{why}");
    let before = calls(&one);
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!((calls(&one) - before, calls(&two) >= 10), (0, true));
    status.store(200, Relaxed);
    assert!(becomes_true(WAIT_TIMEOUT, || first(&gateway)["health"] == "healthy"));
    for _ in 0..4 {
        gateway.get("/");
    }
    assert_eq!(calls(&one) - before, 2);
    let metrics = gateway.admin("/metrics").text();
    let label = format!("cluster=\"shop\",endpoint=\"127.0.0.1:{}\"", one.port());
    assert!(metrics.contains(&format!("margay_endpoint_healthy{{{label}}} 1")), "{metrics}");
}

#[test]
fn without_a_healthy_endpoint_the_error_code_is_reported() {
    let (one, status) = probed();
    status.store(500, Relaxed);
    let active = json!({ "Path": "/health", "Interval": "100ms" });
    let gateway = Gateway::with(&balanced(&[&one], &json!({ "HealthCheckOptions": { "Active": active } })));
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").status == 503));
    let problem = gateway.get("/").json();
    assert_eq!(problem["code"], "backend.no_endpoint");
    let detail = problem["detail"].as_str().expect("a detail").to_owned();
    assert!(
        detail.starts_with("none of the 1 endpoints of shop is healthy") && detail.contains("500"),
        "{detail}"
    );
}

#[test]
fn an_ejected_endpoint_stays_ejected_after_a_reload() {
    let bad = Origin::with(|_| StubResponse::new(500, "no"));
    let good = Origin::hello();
    let passive = json!({ "ConsecutiveFailures": 3, "EjectionTime": "1h", "MaxEjectionTime": "1h" });
    let more = json!({ "HealthCheckOptions": { "Passive": passive } });
    let gateway = Gateway::start(&Setup::json(&balanced(&[&bad, &good], &more)).threads(2));
    let statuses: Vec<u16> = (0..20).map(|_| gateway.get("/").status).collect();
    assert_eq!((bad.calls(), good.calls()), (3, 17), "{statuses:?}");
    assert_eq!(
        (&first(&gateway)["health"], &first(&gateway)["eligible"]),
        (&json!("ejected"), &json!(false))
    );
    let document = over(balanced(&[&bad, &good], &more), &json!({ "AccessLog": true }));
    gateway.write(&document.to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || {
        assert_eq!(gateway.get("/").status, 200);
        !gateway.access_log().is_empty()
    }));
    assert_eq!((bad.calls(), first(&gateway)["health"].clone()), (3, json!("ejected")));
    // Without the setting no endpoint is ejected.
    gateway.write(&balanced(&[&bad, &good], &json!({})).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").status == 500));
}

#[test]
fn an_ejected_endpoint_returns_after_its_ejection_time() {
    let bad = Origin::with(|_| StubResponse::new(503, "no"));
    let passive = json!({ "ConsecutiveFailures": 1, "EjectionTime": "200ms" });
    let more = json!({ "HealthCheckOptions": { "Passive": passive } });
    let gateway = Gateway::with(&balanced(&[&bad, &Origin::hello()], &more));
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/").status == 503));
    assert!(becomes_true(WAIT_TIMEOUT, || {
        gateway.get("/");
        bad.calls() >= 3
    }));
}

#[test]
fn connections_to_a_removed_endpoint_close_when_idle() {
    let slow = |seen: &Seen| {
        StubResponse::new(200, "done").after(Duration::from_millis(if seen.path == "/slow" {
            1500
        } else {
            0
        }))
    };
    let (one, two) = (Origin::with(slow), Origin::hello());
    let gateway = Gateway::with(&balanced(&[&one, &two], &json!({})));
    for _ in 0..4 {
        gateway.get("/");
    }
    assert_eq!(one.open(), 1);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut answers = (0..2).map(|_| gateway.get("/slow").text());
            answers.any(|text| text == "done")
        });
        assert!(becomes_true(WAIT_TIMEOUT, || one.seen().iter().any(|seen| seen.path == "/slow")));
        gateway.write(&balanced(&[&two], &json!({})).to_string());
        assert!(busy.join().expect("the requests end"));
    });
    assert!(becomes_true(WAIT_TIMEOUT, || one.open() == 0), "{} are open", one.open());
}

#[test]
fn tls_backends_are_probed_over_tls_with_verification() {
    let authority = Authority::new("ours");
    let secure = |names: &[&str]| {
        Origin::secure_with(authority.issue(names).server(&["http/1.1"], None), |_| {
            StubResponse::new(200, "hello")
        })
    };
    let (good, other) = (secure(&["localhost"]), secure(&["somebody.else"]));
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let hosts = [&other, &good].map(|o| json!({ "Host": "localhost", "Port": o.port() }));
    let more = json!({ "DownstreamScheme": "https", "DownstreamHostAndPorts": hosts,
        "HealthCheckOptions": { "Active": { "Interval": "100ms" } } });
    let document = balanced(&[], &more);
    let gateway = Gateway::start(&Setup::json(&document).env("SSL_CERT_FILE", file.to_str().expect("UTF-8")));
    assert!(becomes_true(WAIT_TIMEOUT, || first(&gateway)["health"] == "unhealthy"));
    let why = first(&gateway)["reason"].to_string();
    assert!(why.contains("certificate"), "{why}");
    for _ in 0..4 {
        assert_eq!(gateway.get("/x").status, 200);
    }
    assert!(good.calls() > 4 && other.calls() == 0);
}
