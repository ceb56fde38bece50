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
