//! Health with a test clock.

use super::{state::Health, tasks::ProbedCluster, *};
use crate::{
    backend::{
        Cluster,
        balance::BalancerKind,
        cluster::{ClusterSpec, ClusterStates},
        endpoint::{Endpoint, Instance},
    },
    base::status_set::StatusSet,
    net::{background::BackgroundRuntime, resolver::Resolver},
    pipeline::{
        error::ErrorCode,
        exchange::{Exchange, Peer},
    },
    telemetry::Metrics,
};
use proptest::prelude::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn outlier_detection() -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: Some(3),
        failure_ratio: None,
        min_requests: 20,
        window: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(100),
        max_ejected_percent: 50,
        statuses: StatusSet::from_range(500, 599),
        counts_early_end: false,
    }
}

fn active_check() -> ActiveCheck {
    ActiveCheck {
        kind: ProbeKind::Tcp,
        port: None,
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        jitter: 0,
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    }
}

fn with_outlier_detection(outlier_detection: OutlierDetection) -> HealthConfig {
    HealthConfig { passive: Some(outlier_detection.into()), ..HealthConfig::default() }
}

/// A cluster of addresses on ports 1, 2, ...
fn cluster(states: &Arc<ClusterStates>, ports: u16, health: HealthConfig) -> Arc<Cluster> {
    let instances = Some((1..=ports).map(|port| Instance::new("127.0.0.1", port)).collect());
    let balancer = BalancerKind::RoundRobin;
    states.cluster(&ClusterSpec {
        key: "k".into(),
        label: "shop".into(),
        instances,
        balancer,
        health,
        ..ClusterSpec::default()
    })
}

fn states() -> Arc<ClusterStates> {
    ClusterStates::new(Resolver::default())
}

fn endpoint(cluster: &Cluster, port: usize) -> Arc<Endpoint> {
    cluster.members().endpoints[port - 1].clone()
}

/// The ports that may be selected.
fn selected(cluster: &Cluster) -> Vec<u16> {
    let address = "127.0.0.1:0".parse().unwrap();
    let exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    let ports = (0..20).filter_map(|_| cluster.pick(&exchange, &[]).ok()?.endpoint.port);
    let ports: std::collections::BTreeSet<u16> = ports.collect();
    ports.into_iter().collect()
}

fn record(cluster: &Cluster, port: usize, report: AttemptReport, times: usize, now: Instant) {
    (0..times).for_each(|_| cluster.record_at(&endpoint(cluster, port), report, Duration::ZERO, now));
}

const RESET: AttemptReport = AttemptReport::Failed(ErrorCode::BackendReset);

#[test]
fn consecutive_failures_eject_an_endpoint_and_a_success_resets_them() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 2, with_outlier_detection(outlier_detection()));
    for report in [
        RESET,
        RESET,
        AttemptReport::Response(200),
        RESET,
        AttemptReport::Response(503),
        AttemptReport::Abandoned,
    ] {
        record(&cluster, 1, report, 1, now);
    }
    assert_eq!(selected(&cluster), [1, 2]);
    record(&cluster, 1, AttemptReport::Response(500), 1, now);
    assert_eq!(selected(&cluster), [2]);
    let report = serde_json::json!(cluster.status(now));
    assert_eq!(report["endpoints"][0]["health"], "ejected");
    assert_eq!(report["endpoints"][0]["reason"], "3 consecutive failures, last: 500");
    assert_eq!(
        (&report["endpoints"][0]["ejected_for_seconds"], &report["endpoints"][1]["eligible"]),
        (&30.into(), &true.into())
    );
}

#[test]
fn an_ejection_ends_and_one_soon_after_it_lasts_twice_as_long() {
    let (outlier_detection, start) = (outlier_detection(), Instant::now());
    let health = Health::default();
    let mut now = start;
    let lasts = [30, 60, 100, 100].map(|_| {
        let until = health.eject(&outlier_detection, String::new(), now);
        assert!(!health.end_ejection(until - Duration::from_millis(1)));
        assert!(health.end_ejection(until) && !health.end_ejection(until));
        let lasted = (until - now).as_secs();
        now = until + Duration::from_secs(1);
        lasted
    });
    assert_eq!(lasts, [30, 60, 100, 100]);
    let later = now + outlier_detection.max_ejection_time;
    assert_eq!((health.eject(&outlier_detection, String::new(), later) - later).as_secs(), 30);
}

#[test]
fn at_most_the_configured_percentage_is_ejected() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 3, with_outlier_detection(outlier_detection()));
    (1..=3).for_each(|port| record(&cluster, port, RESET, 9, now));
    assert_eq!(selected(&cluster), [2, 3], "half of three is one");
}

#[test]
fn a_single_endpoint_is_never_ejected() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 1, with_outlier_detection(outlier_detection()));
    record(&cluster, 1, RESET, 9, now);
    assert_eq!(selected(&cluster), [1]);
}

#[test]
fn a_failure_ratio_applies_within_its_window_with_enough_requests() {
    let spec = OutlierDetection {
        consecutive_failures: None,
        failure_ratio: Some(0.5),
        min_requests: 10,
        ..outlier_detection()
    };
    let (states, start) = (states(), Instant::now());
    let cluster = cluster(&states, 2, with_outlier_detection(spec));
    record(&cluster, 1, RESET, 9, start);
    assert_eq!(selected(&cluster), [1, 2], "not enough yet");
    let later = start + Duration::from_secs(11);
    record(&cluster, 1, AttemptReport::Response(200), 6, later);
    record(&cluster, 1, RESET, 5, later);
    assert_eq!(selected(&cluster), [1, 2], "a new window, and less than half");
    record(&cluster, 1, RESET, 1, later);
    assert_eq!(selected(&cluster), [2]);
}

#[test]
fn health_outlives_a_plan_and_applies_only_if_configured() {
    let (states, now) = (states(), Instant::now());
    let old = cluster(&states, 2, with_outlier_detection(outlier_detection()));
    record(&old, 1, RESET, 3, now);
    let new = cluster(&states, 2, with_outlier_detection(outlier_detection()));
    assert_eq!(selected(&new), [2]);
    assert_eq!(selected(&cluster(&states, 2, HealthConfig::default())), [1, 2]);
    endpoint(&new, 1).state.health.end_ejection(now + Duration::from_secs(30));
    new.refresh();
    assert_eq!(selected(&new), [1, 2]);
}

#[test]
fn an_ejection_applies_to_the_clusters_of_both_plans() {
    let (states, now) = (states(), Instant::now());
    let old = cluster(&states, 2, with_outlier_detection(outlier_detection()));
    let new = cluster(&states, 2, with_outlier_detection(outlier_detection()));
    record(&old, 2, RESET, 3, now);
    assert_eq!((selected(&old), selected(&new)), (vec![1], vec![1]));
}

#[test]
fn the_first_probe_decides_at_once_and_later_ones_by_their_thresholds() {
    let (health, active_check) = (Health::default(), active_check());
    let spec = HealthConfig { active: Some(Arc::new(active_check.clone())), ..HealthConfig::default() };
    let bad = || Err("no".to_owned());
    assert!(health.record_probe(bad(), &active_check) && !health.is_eligible(&spec));
    assert!(!health.record_probe(Ok(()), &active_check) && !health.is_eligible(&spec));
    assert!(!health.record_probe(bad(), &active_check) && !health.record_probe(Ok(()), &active_check));
    assert!(health.record_probe(Ok(()), &active_check) && health.is_eligible(&spec));
    assert!(
        !health.record_probe(bad(), &active_check)
            && !health.record_probe(bad(), &active_check)
            && health.is_eligible(&spec)
    );
    assert!(health.record_probe(bad(), &active_check) && !health.is_eligible(&spec));
}

#[test]
fn below_the_panic_threshold_all_endpoints_are_used_and_without_one_none_is() {
    let with_panic_threshold = |panic| {
        let active = Some(Arc::new(active_check()));
        let states = states();
        let cluster = cluster(&states, 4, HealthConfig { active, passive: None, panic_threshold: panic });
        (1..=3).for_each(|port| cluster.record_probe(&endpoint(&cluster, port), Err("refused".into())));
        let three = selected(&cluster);
        cluster.record_probe(&endpoint(&cluster, 4), Err("refused".into()));
        (three, selected(&cluster), cluster.no_endpoint_error().detail.to_string())
    };
    assert_eq!(with_panic_threshold(26).0, [1, 2, 3, 4]);
    let (three, four, reason) = with_panic_threshold(0);
    assert_eq!((three, four), (vec![4], vec![]));
    assert_eq!(reason, "none of the 4 endpoints of shop is healthy; 127.0.0.1:1 is unhealthy: refused");
}

#[tokio::test]
async fn endpoints_are_probed_in_the_background_while_a_cluster_uses_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (open, background) = (listener.local_addr().unwrap().port(), BackgroundRuntime::default());
    background.attach(tokio::runtime::Handle::current());
    let metrics = Metrics::new(1);
    let states = ClusterStates::with_runtime(Resolver::default(), background, Some(metrics.clone()));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = states.cluster(&ClusterSpec {
        key: "k".into(),
        label: "shop".into(),
        instances: Some([open, closed].map(|port| Instance::new("127.0.0.1", port)).into()),
        balancer: BalancerKind::RoundRobin,
        health: HealthConfig { active: Some(Arc::new(active_check())), ..HealthConfig::default() },
        ..ClusterSpec::default()
    });
    assert_eq!(selected(&cluster).len(), 2, "no probe has finished yet");
    until(|| selected(&cluster) == [open]).await;
    let text = metrics.render();
    assert!(
        text.contains(&format!(
            "margay_endpoint_healthy{{cluster=\"shop\",endpoint=\"127.0.0.1:{closed}\"}} 0"
        )),
        "{text}"
    );
    drop(listener);
    until(|| selected(&cluster).is_empty()).await;
    let _again = tokio::net::TcpListener::bind(("127.0.0.1", open)).await.unwrap();
    until(|| selected(&cluster) == [open]).await;
    let weak = Arc::downgrade(&cluster);
    drop(cluster);
    until(|| weak.strong_count() == 0).await;
}

#[tokio::test]
async fn an_ejection_ends_by_itself() {
    let background = BackgroundRuntime::default();
    background.attach(tokio::runtime::Handle::current());
    let states = ClusterStates::with_runtime(Resolver::default(), background, None);
    let short = OutlierDetection { base_ejection_time: Duration::from_millis(100), ..outlier_detection() };
    let cluster = cluster(&states, 2, with_outlier_detection(short));
    record(&cluster, 1, RESET, 3, Instant::now());
    assert_eq!(selected(&cluster), [2]);
    until(|| selected(&cluster) == [1, 2]).await;
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("timed out");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any sequence of results: at least one endpoint is eligible, never too many are ejected, and once
    /// all ejections end, all endpoints are eligible.
    #[test]
    fn no_endpoint_is_lost(results in prop::collection::vec((1..=5usize, 0..4u8, 0..3_000u64), 1..300)) {
        let (states, start) = (states(), Instant::now());
        let spec = OutlierDetection { failure_ratio: Some(0.7), min_requests: 5, max_ejected_percent: 60, ..outlier_detection() };
        let cluster = cluster(&states, 5, with_outlier_detection(spec.clone()));
        let mut now = start;
        for (port, what, later) in results {
            now += Duration::from_millis(later);
            for one in &cluster.members().endpoints {
                if one.state.health.end_ejection(now) {
                    cluster.refresh();
                }
            }
            let report = [AttemptReport::Response(200), AttemptReport::Response(502), RESET, AttemptReport::Abandoned][usize::from(what)];
            record(&cluster, port, report, 1, now);
            let ejected = cluster.members().endpoints.iter().filter(|e| e.state.health.is_ejected()).count();
            prop_assert!(ejected <= 3);
            prop_assert_eq!(selected(&cluster).len(), 5 - ejected);
        }
        now += spec.max_ejection_time;
        cluster.members().endpoints.iter().for_each(|e| { e.state.health.end_ejection(now); });
        cluster.refresh();
        prop_assert_eq!(selected(&cluster).len(), 5);
    }
}
