//! Load balancing and health checks: how they are compiled, and their diagnostics.

use super::*;
use crate::backend::balance::{HashPolicy, SessionStore, Sticky};
use crate::backend::health::ProbeKind;
use crate::plan::blueprint::*;
use std::time::Duration;

fn kind(options: &str, ocelot: bool) -> BalancerKind {
    let text = with(&format!(r#""LoadBalancerOptions": {options}"#));
    valid(&text, ocelot).routes[0].cluster.balancer.value.clone()
}

#[test]
fn sticky_sessions_are_ocelots_under_ocelot_and_ours_outside_it() {
    let read = |options: &str, ocelot| match kind(options, ocelot) {
        BalancerKind::Sticky(Sticky { cookie, expiry, store }) => (cookie.to_string(), expiry, store),
        other => panic!("{other:?}"),
    };
    let bare = r#"{ "Type": "CookieStickySessions" }"#;
    assert_eq!(read(bare, true), (".AspNetCore.Session".into(), None, SessionStore::Unbounded));
    assert_eq!(read(bare, false).2, SessionStore::Bounded);
    let own = r#"{ "Type": "CookieStickySessions", "SetCookie": true }"#;
    assert_eq!(read(own, true), ("MargayEndpoint".into(), None, SessionStore::Cookie));
    let reported = r#"{ "Type": "CookieStickySessions", "Key": "sid", "Expiry": 1500 }"#;
    assert_eq!(
        read(reported, false),
        ("sid".into(), Some(Duration::from_millis(1500)), SessionStore::Bounded)
    );
}

#[test]
fn invalid_session_settings_are_reported() {
    let options =
        |rest: &str| format!(r#""LoadBalancerOptions": {{ "Type": "CookieStickySessions", {rest} }}"#);
    lenient(&options(r#""Expiry": 0"#), "MG0335 0");
    lenient(&options(r#""Key": "a b""#), r#"MG0335 "a b""#);
    assert_eq!(kind(r#"{ "Type": "CookieStickySessions", "Expiry": -1 }"#, true), BalancerKind::RoundRobin);
}

#[test]
fn a_hash_key_is_a_value_of_requests() {
    let hash = |on: &str| kind(&format!(r#"{{ "Type": "ConsistentHash"{on} }}"#), false);
    assert_eq!(hash(""), BalancerKind::ConsistentHash(HashPolicy::Address));
    assert_eq!(
        hash(r#", "HashOn": "header:X-User""#),
        BalancerKind::ConsistentHash(HashPolicy::Header("X-User".into()))
    );
    assert_eq!(hash(r#", "HashOn": "Path:x""#), BalancerKind::ConsistentHash(HashPolicy::Path("x".into())));
    let refused = |on: &str| {
        both(&format!(r#""LoadBalancerOptions": {{ "Type": "ConsistentHash", "HashOn": {on} }}"#)).0
    };
    assert_eq!(refused(r#""Claim:sub""#), [r#"MG0336 "Claim:sub""#]);
    assert_eq!(refused(r#""Header:a b""#), [r#"MG0336 "Header:a b""#]);
    assert_eq!(refused(r#""Path:y""#), [r#"MG0336 "ConsistentHash""#]);
}

#[test]
fn a_setting_of_another_balancer_is_refused() {
    always(r#""LoadBalancerOptions": { "Type": "Random", "HashOn": "IP" }"#, r#"MG0334 "IP""#);
    always(r#""LoadBalancerOptions": { "Type": "RoundRobin", "SetCookie": true }"#, "MG0334 true");
    always(r#""LoadBalancerOptions": { "SetCookie": true }"#, "MG0334 true");
    quiet(r#""LoadBalancerOptions": { "Type": "NoLoadBalancer", "Key": "sid", "Expiry": 5 }"#);
}

fn health(options: &str) -> HealthConfig {
    let text = with(&format!(r#""HealthCheckOptions": {options}"#));
    valid(&text, false).routes[0].cluster.health.value.clone()
}

#[test]
fn health_is_off_unless_something_is_checked() {
    assert!(health("{}").is_disabled());
    let active = health(r#"{ "Active": {} }"#).active.expect("probes");
    assert_eq!((active.interval, active.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    assert!(
        matches!(&active.kind, ProbeKind::Http { target, statuses, .. } if target == "/" && statuses.contains(204))
    );
    let passive = health(r#"{ "Passive": {} }"#).passive.expect("ejection");
    assert_eq!(
        (passive.consecutive_failures, passive.failure_ratio, passive.max_ejected_percent),
        (Some(5), None, 50)
    );
    let ratio = health(r#"{ "Passive": { "FailureRatio": 0.5, "FailureStatuses": ["503"] } }"#)
        .passive
        .expect("ejection");
    assert_eq!(
        (ratio.consecutive_failures, ratio.failure_ratio, ratio.statuses.contains(500)),
        (None, Some(0.5), false)
    );
    let short = health(r#"{ "Active": { "Type": "tcp", "Interval": "500ms" } }"#).active.expect("probes");
    assert_eq!((short.kind.clone(), short.timeout), (ProbeKind::Tcp, Duration::from_millis(500)));
}

#[test]
fn invalid_health_checks_are_reported() {
    for (options, place) in [
        (r#"{ "Active": { "Type": "Ping" } }"#, r#""Ping""#),
        (r#"{ "Active": { "Path": "health" } }"#, r#""health""#),
        (r#"{ "Active": { "Type": "Tcp", "Path": "/x" } }"#, r#""/x""#),
        (r#"{ "Active": { "Interval": "1ms" } }"#, r#""1ms""#),
        (r#"{ "Active": { "Interval": "1s", "Timeout": "2s" } }"#, r#""2s""#),
        (r#"{ "Active": { "ExpectedStatus": ["ok"] } }"#, r#""ok""#),
        (r#"{ "Active": { "Port": 0 } }"#, "0"),
        (r#"{ "Active": { "UnhealthyThreshold": 0 } }"#, "0"),
        (r#"{ "Passive": { "FailureRatio": 0 } }"#, "0"),
        (r#"{ "Passive": { "ConsecutiveFailures": 0 } }"#, "0"),
        (r#"{ "Passive": { "EjectionTime": "10m", "MaxEjectionTime": "1m" } }"#, r#""1m""#),
        (r#"{ "PanicThreshold": 50 }"#, "50"),
        (r#"{ "Active": {}, "PanicThreshold": 101 }"#, "101"),
    ] {
        always(&format!(r#""HealthCheckOptions": {options}"#), &format!("MG0337 {place}"));
    }
    let portless = |active: &str| {
        with(&format!(
            r#""DownstreamHostAndPorts": [{{ "Host": "h" }}], "HealthCheckOptions": {{ "Active": {active} }}"#
        ))
    };
    let found = reported(&portless("{}"), true);
    assert!(
        found.iter().any(|line| line.starts_with("MG0337")),
        "the port of the listener is not probed: {found:?}"
    );
    assert!(
        reported(&portless("{}"), false).is_empty(),
        "without compatibility mode it is that of the scheme"
    );
    assert!(reported(&portless(r#"{ "Port": 80 }"#), true).iter().all(|line| line.starts_with("(MG0340)")));
}

#[test]
fn global_health_checks_are_inherited_as_a_whole() {
    let global =
        r#"{ "HealthCheckOptions": { "Active": { "Path": "/a", "Interval": "1s" }, "PanicThreshold": 30 } }"#;
    let text = document(&route(r#""HealthCheckOptions": { "Active": { "Path": "/b" } }"#), global);
    let read = valid(&text, false).routes[0].cluster.health.value.clone();
    let active = read.active.expect("probes");
    assert_eq!((active.interval, read.panic_threshold), (Duration::from_secs(10), 30));
    let inherited = valid(&document(&route(""), global), false).routes[0].cluster.health.value.clone();
    assert_eq!(inherited.active.expect("probes").interval, Duration::from_secs(1));
}
