//! Health on a clock of the tests' own.

use super::*;
use crate::{
    backend::{
        Cluster,
        balance::BalancerKind,
        cluster::{AttemptReport, ClusterSpec, ClusterStates},
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

fn passive() -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: Some(3),
        failure_ratio: None,
        min_requests: 20,
        window: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(100),
        max_ejected_percent: 50,
        statuses: StatusSet::insert_range(500, 599),
    }
}

fn probing() -> ActiveCheck {
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

fn watching(passive: OutlierDetection) -> HealthConfig {
    HealthConfig { passive: Some(passive), ..HealthConfig::default() }
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

/// The ports that may be chosen.
fn used(cluster: &Cluster) -> Vec<u16> {
    let nobody = "127.0.0.1:0".parse().unwrap();
    let x = Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now());
    let ports = (0..20).filter_map(|_| cluster.pick(&x, &[]).ok()?.endpoint.port);
    let ports: std::collections::BTreeSet<u16> = ports.collect();
    ports.into_iter().collect()
}

fn shows(cluster: &Cluster, port: usize, shown: AttemptReport, times: usize, now: Instant) {
    (0..times).for_each(|_| cluster.record_at(&endpoint(cluster, port), shown, Duration::ZERO, now));
}

const RESET: AttemptReport = AttemptReport::Failed(ErrorCode::BackendReset);

#[test]
fn failures_in_a_row_have_an_endpoint_left_alone_and_a_success_between_them_does_not() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 2, watching(passive()));
    for shown in [
        RESET,
        RESET,
        AttemptReport::Answered(200),
        RESET,
        AttemptReport::Answered(503),
        AttemptReport::Abandoned,
    ] {
        shows(&cluster, 1, shown, 1, now);
    }
    assert_eq!(used(&cluster), [1, 2]);
    shows(&cluster, 1, AttemptReport::Answered(500), 1, now);
    assert_eq!(used(&cluster), [2]);
    let report = cluster.status_json(now);
    assert_eq!(report["endpoints"][0]["health"], "ejected");
    assert_eq!(report["endpoints"][0]["reason"], "3 failures in a row, the last one 500");
    assert_eq!(
        (&report["endpoints"][0]["ejected_for_seconds"], &report["endpoints"][1]["eligible"]),
        (&30.into(), &true.into())
    );
}

#[test]
fn an_ejection_ends_and_each_that_follows_closely_is_twice_as_long() {
    let (passive, start) = (passive(), Instant::now());
    let health = Health::default();
    let mut now = start;
    let lasts = [30, 60, 100, 100].map(|_| {
        let until = health.eject(&passive, String::new(), now);
        assert!(!health.end_ejection(until - Duration::from_millis(1)));
        assert!(health.end_ejection(until) && !health.end_ejection(until));
        let lasted = (until - now).as_secs();
        now = until + Duration::from_secs(1);
        lasted
    });
    assert_eq!(lasts, [30, 60, 100, 100]);
    let later = now + passive.max_ejection_time;
    assert_eq!((health.eject(&passive, String::new(), later) - later).as_secs(), 30);
}

#[test]
fn no_more_than_some_percent_are_left_alone() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 3, watching(passive()));
    (1..=3).for_each(|port| shows(&cluster, port, RESET, 9, now));
    assert_eq!(used(&cluster), [2, 3], "half of three is one");
}

#[test]
fn a_single_endpoint_is_never_left_alone() {
    let (states, now) = (states(), Instant::now());
    let cluster = cluster(&states, 1, watching(passive()));
    shows(&cluster, 1, RESET, 9, now);
    assert_eq!(used(&cluster), [1]);
}

#[test]
fn a_ratio_counts_within_its_window_once_there_were_enough_requests() {
    let spec = OutlierDetection {
        consecutive_failures: None,
        failure_ratio: Some(0.5),
        min_requests: 10,
        ..passive()
    };
    let (states, start) = (states(), Instant::now());
    let cluster = cluster(&states, 2, watching(spec));
    shows(&cluster, 1, RESET, 9, start);
    assert_eq!(used(&cluster), [1, 2], "not enough yet");
    let later = start + Duration::from_secs(11);
    shows(&cluster, 1, AttemptReport::Answered(200), 6, later);
    shows(&cluster, 1, RESET, 5, later);
    assert_eq!(used(&cluster), [1, 2], "a new window, and less than half");
    shows(&cluster, 1, RESET, 1, later);
    assert_eq!(used(&cluster), [2]);
}

#[test]
fn what_was_found_out_outlives_a_plan_and_counts_only_where_it_is_asked_for() {
    let (states, now) = (states(), Instant::now());
    let old = cluster(&states, 2, watching(passive()));
    shows(&old, 1, RESET, 3, now);
    let new = cluster(&states, 2, watching(passive()));
    assert_eq!(used(&new), [2]);
    assert_eq!(used(&cluster(&states, 2, HealthConfig::default())), [1, 2]);
    endpoint(&new, 1).state.health.end_ejection(now + Duration::from_secs(30));
    new.refresh();
    assert_eq!(used(&new), [1, 2]);
}

#[test]
fn the_clusters_of_two_plans_hear_of_it_at_one_time() {
    let (states, now) = (states(), Instant::now());
    let old = cluster(&states, 2, watching(passive()));
    let new = cluster(&states, 2, watching(passive()));
    shows(&old, 2, RESET, 3, now);
    assert_eq!((used(&old), used(&new)), (vec![1], vec![1]));
}

#[test]
fn probes_decide_at_once_the_first_time_and_then_by_their_thresholds() {
    let (health, probing) = (Health::default(), probing());
    let spec = HealthConfig { active: Some(Arc::new(probing.clone())), ..HealthConfig::default() };
    let bad = || Err("no".to_owned());
    assert!(health.record_probe(bad(), &probing) && !spec.is_eligible(&health));
    assert!(!health.record_probe(Ok(()), &probing) && !spec.is_eligible(&health));
    assert!(!health.record_probe(bad(), &probing) && !health.record_probe(Ok(()), &probing));
    assert!(health.record_probe(Ok(()), &probing) && spec.is_eligible(&health));
    assert!(
        !health.record_probe(bad(), &probing)
            && !health.record_probe(bad(), &probing)
            && spec.is_eligible(&health)
    );
    assert!(health.record_probe(bad(), &probing) && !spec.is_eligible(&health));
}

#[test]
fn in_a_panic_all_are_used_and_without_one_nobody_is() {
    let out = |panic| {
        let active = Some(Arc::new(probing()));
        let states = states();
        let cluster = cluster(&states, 4, HealthConfig { active, passive: None, panic_threshold: panic });
        (1..=3).for_each(|port| cluster.record_probe(&endpoint(&cluster, port), Err("refused".into())));
        let three = used(&cluster);
        cluster.record_probe(&endpoint(&cluster, 4), Err("refused".into()));
        (three, used(&cluster), cluster.no_endpoint_error().detail.to_string())
    };
    assert_eq!(out(26).0, [1, 2, 3, 4]);
    let (three, four, why) = out(0);
    assert_eq!((three, four), (vec![4], vec![]));
    assert_eq!(why, "none of the 4 endpoints of shop is well; 127.0.0.1:1 is unhealthy: refused");
}

#[tokio::test]
async fn endpoints_are_probed_in_the_background_for_as_long_as_somebody_wants_it() {
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
        health: HealthConfig { active: Some(Arc::new(probing())), ..HealthConfig::default() },
        ..ClusterSpec::default()
    });
    assert_eq!(used(&cluster).len(), 2, "nothing is known yet");
    until(|| used(&cluster) == [open]).await;
    let text = metrics.render();
    assert!(
        text.contains(&format!(
            "margay_endpoint_healthy{{cluster=\"shop\",endpoint=\"127.0.0.1:{closed}\"}} 0"
        )),
        "{text}"
    );
    drop(listener);
    until(|| used(&cluster).is_empty()).await;
    let _again = tokio::net::TcpListener::bind(("127.0.0.1", open)).await.unwrap();
    until(|| used(&cluster) == [open]).await;
    let weak = Arc::downgrade(&cluster);
    drop(cluster);
    until(|| weak.strong_count() == 0).await;
}

#[tokio::test]
async fn an_endpoint_comes_back_by_itself() {
    let background = BackgroundRuntime::default();
    background.attach(tokio::runtime::Handle::current());
    let states = ClusterStates::with_runtime(Resolver::default(), background, None);
    let short = OutlierDetection { base_ejection_time: Duration::from_millis(100), ..passive() };
    let cluster = cluster(&states, 2, watching(short));
    shows(&cluster, 1, RESET, 3, Instant::now());
    assert_eq!(used(&cluster), [2]);
    until(|| used(&cluster) == [1, 2]).await;
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("that never happened");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever attempts see, in whatever order: there is always somebody to ask, never too many are left alone, and once
    /// all ejections are over all may be chosen.
    #[test]
    fn nobody_is_lost(seen in prop::collection::vec((1..=5usize, 0..4u8, 0..3_000u64), 1..300)) {
        let (states, start) = (states(), Instant::now());
        let spec = OutlierDetection { failure_ratio: Some(0.7), min_requests: 5, max_ejected_percent: 60, ..passive() };
        let cluster = cluster(&states, 5, watching(spec.clone()));
        let mut now = start;
        for (port, what, later) in seen {
            now += Duration::from_millis(later);
            for one in &cluster.members().endpoints {
                if one.state.health.end_ejection(now) {
                    cluster.refresh();
                }
            }
            let shown = [AttemptReport::Answered(200), AttemptReport::Answered(502), RESET, AttemptReport::Abandoned][usize::from(what)];
            shows(&cluster, port, shown, 1, now);
            let out = cluster.members().endpoints.iter().filter(|e| e.state.health.is_ejected()).count();
            prop_assert!(out <= 3);
            prop_assert_eq!(used(&cluster).len(), 5 - out);
        }
        now += spec.max_ejection_time;
        cluster.members().endpoints.iter().for_each(|e| { e.state.health.end_ejection(now); });
        cluster.refresh();
        prop_assert_eq!(used(&cluster).len(), 5);
    }
}
