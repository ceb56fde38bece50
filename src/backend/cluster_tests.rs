use super::*;
use crate::pipeline::exchange::Peer;
use std::time::Instant;

fn spec(balancer: BalancerKind) -> ClusterSpec {
    let instances = Some(vec![Instance::new("127.0.0.1", 1), Instance::new("::1", 80)]);
    ClusterSpec { key: "k".into(), label: "k".into(), instances, balancer, ..ClusterSpec::default() }
}

fn label(cluster: &Cluster) -> String {
    let address = "127.0.0.1:0".parse().unwrap();
    let exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    cluster
        .pick(&exchange, &[])
        .map_or_else(|error| error.code.name().into(), |selection| selection.endpoint.label.to_string())
}

#[test]
fn a_new_plan_continues_with_the_state_of_the_old_one() {
    let states = ClusterStates::new(Resolver::default());
    let old = states.cluster(&spec(BalancerKind::RoundRobin));
    let first = label(&old);
    let new = states.cluster(&spec(BalancerKind::RoundRobin));
    assert_ne!(label(&new), first);
    assert!(Arc::ptr_eq(&old.members().endpoints[0].state, &new.members().endpoints[0].state));
}

#[test]
fn results_of_attempts_move_requests_if_the_balancer_uses_them() {
    let cluster = ClusterStates::new(Resolver::default()).cluster(&spec(BalancerKind::PeakEwma));
    let slow = cluster.members().endpoints[0].clone();
    cluster.record_at(&slow, AttemptReport::Failed(ErrorCode::BackendReset), Duration::ZERO, Instant::now());
    cluster.record_at(
        &cluster.members().endpoints[1],
        AttemptReport::Response(200),
        Duration::from_millis(1),
        Instant::now(),
    );
    assert!((0..20).all(|_| label(&cluster) == "[::1]:80"));
}

#[test]
fn a_cluster_without_endpoints_returns_an_error_until_instances_are_set() {
    let states = ClusterStates::new(Resolver::default());
    let cluster = states.cluster(&ClusterSpec { instances: None, ..spec(BalancerKind::LeastConnection) });
    assert!(!cluster.members().is_known);
    assert_eq!(label(&cluster), "backend.no_endpoint");
    cluster.set_instances(&[Instance::new("127.0.0.1", 7)]);
    assert_eq!(label(&cluster), "127.0.0.1:7");
    cluster.set_instances(&[]);
    assert_eq!(label(&cluster), "backend.no_endpoint");
}

#[test]
fn a_drained_endpoint_gets_no_request_in_any_plan_until_it_is_enabled() {
    let states = ClusterStates::new(Resolver::default());
    let old = states.cluster(&spec(BalancerKind::RoundRobin));
    let labels = |cluster: &Cluster| -> Vec<String> { (0..4).map(|_| label(cluster)).collect() };
    assert_eq!(old.set_drained("127.0.0.1:1", true), Ok(()));
    let new = states.cluster(&spec(BalancerKind::RoundRobin));
    for cluster in [&old, &new] {
        assert_eq!(labels(cluster), ["[::1]:80"; 4]);
        let status = &cluster.status(Instant::now()).endpoints[0];
        assert_eq!((status.health.as_str(), status.eligible), ("drained", false));
    }
    new.set_instances(&[Instance::new("::1", 80)]);
    new.set_instances(&[Instance::new("127.0.0.1", 1), Instance::new("::1", 80)]);
    assert_eq!(labels(&new), ["[::1]:80"; 4], "also if it was removed and added again");
    assert_eq!(new.set_drained("[::1]:80", true), Ok(()));
    assert_eq!(label(&new), "backend.no_endpoint", "panic mode does not include drained endpoints");
    for endpoint in ["[::1]:80", "127.0.0.1:1"] {
        assert_eq!(new.set_drained(endpoint, false), Ok(()));
    }
    let after = labels(&new);
    assert!(
        after.iter().any(|label| label == "127.0.0.1:1") && after.iter().any(|label| label == "[::1]:80")
    );
    assert_eq!(new.set_drained("127.0.0.1:9", true), Err(DrainError::UnknownEndpoint));
}

#[test]
fn the_drain_of_a_removed_endpoint_can_be_ended() {
    let states = ClusterStates::new(Resolver::default());
    let cluster = states.cluster(&spec(BalancerKind::RoundRobin));
    assert_eq!(cluster.set_drained("127.0.0.1:1", true), Ok(()));
    cluster.set_instances(&[]);
    assert_eq!(cluster.set_drained("127.0.0.1:1", false), Ok(()));
    assert_eq!(cluster.set_drained("127.0.0.1:1", false), Err(DrainError::UnknownEndpoint));
    cluster.set_instances(&[Instance::new("127.0.0.1", 1)]);
    assert_eq!(label(&cluster), "127.0.0.1:1");
}
