//! The distribution of requests, with fixed seeds.

use super::*;
use crate::{
    backend::endpoint::{EndpointRegistry, Instance, TlsMode},
    net::{connection_limit::PoolConfig, resolver::Resolver},
    pipeline::exchange::Peer,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Endpoints on ports 1, 2, ... with these weights.
pub(super) fn endpoints(weights: &[u32]) -> Box<[Arc<Endpoint>]> {
    let all = EndpointRegistry::new(Resolver::default());
    let instance = |(at, weight): (usize, &u32)| Instance {
        weight: *weight,
        ..Instance::new("127.0.0.1", at as u16 + 1)
    };
    weights
        .iter()
        .enumerate()
        .map(|one| all.get("k", &instance(one), &TlsMode::Plain, PoolConfig::default()))
        .collect()
}

struct TestBalancer {
    balancer: Balancer,
    set: EndpointSet,
    exchange: Exchange,
}

impl TestBalancer {
    fn new(kind: BalancerKind, weights: &[u32]) -> TestBalancer {
        let sessions =
            matches!(kind, BalancerKind::Sticky(_)).then(|| Arc::new(Sessions::new(DEFAULT_EXPIRY)));
        let balancer = Balancer::new(kind, Arc::default(), sessions);
        fastrand::seed(42);
        let set = balancer.build(endpoints(weights), &EndpointSet::default());
        TestBalancer { balancer, set, exchange: exchange() }
    }

    fn pick(&self) -> Selection {
        self.balancer.pick(&self.set, (&self.exchange).into(), &[]).unwrap()
    }

    fn ports(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| port(&self.pick())).collect()
    }

    /// How often each port was selected when each exchange ends before the next.
    fn counts(&self, times: usize) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        self.ports(times).into_iter().for_each(|port| *counts.entry(port).or_default() += 1);
        counts
    }
}

pub(super) fn exchange() -> Exchange {
    let address = "127.0.0.1:0".parse().unwrap();
    Exchange::new(Peer::new(address, address, false), 0, Instant::now())
}

fn port(selection: &Selection) -> u16 {
    selection.endpoint.port.unwrap()
}

fn sticky(store: SessionStore) -> BalancerKind {
    BalancerKind::Sticky(Sticky { cookie: "sid".into(), expiry: None, store })
}

fn kinds() -> [BalancerKind; 10] {
    [
        BalancerKind::NoLoadBalancer,
        BalancerKind::RoundRobin,
        BalancerKind::LeastConnection,
        BalancerKind::LeastRequest,
        BalancerKind::PeakEwma,
        BalancerKind::Random,
        BalancerKind::ConsistentHash(HashPolicy::Address),
        sticky(SessionStore::Unbounded),
        sticky(SessionStore::Bounded),
        sticky(SessionStore::Cookie),
    ]
}

#[test]
fn round_robin_starts_with_the_first_endpoint_and_is_exact_across_threads() {
    let balancer = TestBalancer::new(BalancerKind::RoundRobin, &[1, 1]);
    assert_eq!(port(&balancer.pick()), 1);
    let firsts: usize = std::thread::scope(|scope| {
        let run = || balancer.ports(49).into_iter().filter(|port| *port == 1).count();
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(firsts, 49);
}

#[test]
fn heavier_endpoints_have_more_slots_evenly_interleaved() {
    assert_eq!(TestBalancer::new(BalancerKind::RoundRobin, &[2, 1]).ports(6), [1, 2, 1, 1, 2, 1]);
    assert_eq!(TestBalancer::new(BalancerKind::RoundRobin, &[300, 100]).ports(4), [1, 1, 2, 1]);
    let ports = TestBalancer::new(BalancerKind::RoundRobin, &[5, 1, 1]).ports(7);
    assert!(!ports.windows(4).any(|four| four == [1; 4]), "{ports:?}");
}

#[test]
fn random_selection_is_proportional_to_the_weights() {
    for kind in [BalancerKind::Random, BalancerKind::LeastRequest] {
        let counts = TestBalancer::new(kind.clone(), &[1, 1, 2]).counts(8_000);
        assert!((1_800..2_200).contains(&counts[&1]), "{kind:?} {counts:?}");
        assert!((3_700..4_300).contains(&counts[&3]), "{kind:?} {counts:?}");
    }
}

#[test]
fn weights_may_be_any_number() {
    let balancer = TestBalancer::new(BalancerKind::RoundRobin, &[u32::MAX, 1, 0]);
    let counts = balancer.counts(70_000);
    assert!(counts[&1] > 69_000 && counts[&2] >= 1 && counts[&3] >= 1, "{counts:?}");
}

#[test]
fn least_connection_selects_the_least_loaded_endpoint_and_the_first_on_ties() {
    let balancer = TestBalancer::new(BalancerKind::LeastConnection, &[1, 1]);
    let (one, two) = (balancer.pick(), balancer.pick());
    assert_eq!((port(&one), port(&two)), (1, 2));
    drop(two);
    assert_eq!(port(&balancer.pick()), 2);
    drop(one);
    assert_eq!(port(&balancer.pick()), 1);
}

#[test]
fn least_connection_distributes_by_weight() {
    let balancer = TestBalancer::new(BalancerKind::LeastConnection, &[1, 3]);
    let held: Vec<Selection> = (0..8).map(|_| balancer.pick()).collect();
    assert_eq!(held.iter().filter(|selection| port(selection) == 2).count(), 6);
}

#[test]
fn least_request_selects_the_less_loaded_of_two() {
    let balancer = TestBalancer::new(BalancerKind::LeastRequest, &[1, 1, 1, 1]);
    // Exchanges of the first endpoint never end: it gets no more of them once it has more than the others.
    let mut stuck = Vec::new();
    let mut counts = [0; 5];
    for _ in 0..1_000 {
        let selection = balancer.pick();
        counts[usize::from(port(&selection))] += 1;
        if port(&selection) == 1 {
            stuck.push(selection);
        }
    }
    assert_eq!(counts[1], 1, "{counts:?}");
    assert!(counts[2..].iter().all(|n| *n > 250), "{counts:?}");
}

#[test]
fn peak_ewma_sends_few_requests_to_a_slow_endpoint() {
    let mut balancer = TestBalancer::new(BalancerKind::PeakEwma, &[1, 1, 1]);
    let start = Instant::now();
    let mut counts = [0; 4];
    for n in 0..3_000 {
        balancer.exchange.now = start + Duration::from_millis(n);
        let selection = balancer.pick();
        counts[usize::from(port(&selection))] += 1;
        let took = Duration::from_millis(if port(&selection) == 1 { 100 } else { 5 });
        selection.endpoint.state.latency.add(took, false, balancer.exchange.now);
    }
    assert!(counts[1] < 30 && counts[2] > 1_000 && counts[3] > 1_000, "{counts:?}");
}

#[test]
fn peak_ewma_retries_a_slow_endpoint_after_a_while() {
    let mut balancer = TestBalancer::new(BalancerKind::PeakEwma, &[1, 1]);
    let start = balancer.exchange.now;
    let took = |port: usize, ms| {
        balancer.set.endpoints[port - 1].state.latency.add(Duration::from_millis(ms), false, start);
    };
    took(1, 500);
    took(2, 5);
    assert_eq!(port(&balancer.pick()), 2);
    balancer.exchange.now = start + Duration::from_secs(60);
    balancer.set.endpoints[1].state.latency.add(Duration::from_millis(5), false, balancer.exchange.now);
    assert_eq!(port(&balancer.pick()), 1);
}

#[test]
fn tried_endpoints_are_avoided_while_there_is_another() {
    for kind in kinds() {
        let balancer = TestBalancer::new(kind.clone(), &[3, 1, 2]);
        for _ in 0..20 {
            let mut tried: Vec<Arc<Endpoint>> = Vec::new();
            for _ in 0..3 {
                let selection =
                    balancer.balancer.pick(&balancer.set, (&balancer.exchange).into(), &tried).unwrap();
                assert!(is_untried(&selection.endpoint, &tried), "{kind:?}");
                tried.push(selection.endpoint);
            }
            assert!(
                balancer.balancer.pick(&balancer.set, (&balancer.exchange).into(), &tried).is_some(),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn an_empty_set_has_no_selection_and_a_single_endpoint_is_always_selected() {
    for kind in kinds() {
        let none = TestBalancer::new(kind.clone(), &[]);
        assert!(none.balancer.pick(&none.set, (&none.exchange).into(), &[]).is_none(), "{kind:?}");
        assert_eq!(TestBalancer::new(kind.clone(), &[7]).ports(3), [1, 1, 1], "{kind:?}");
    }
}

#[test]
fn in_flight_counts_end_with_their_guards() {
    for kind in [BalancerKind::LeastConnection, BalancerKind::LeastRequest, BalancerKind::PeakEwma] {
        let balancer = TestBalancer::new(kind, &[1]);
        let held = [balancer.pick(), balancer.pick()];
        assert_eq!(balancer.set.endpoints[0].state.in_flight.load(Ordering::Relaxed), 2);
        drop(held);
        assert_eq!(balancer.set.endpoints[0].state.in_flight.load(Ordering::Relaxed), 0);
    }
}

/// A request with a session cookie.
fn with_cookie(value: &str) -> Exchange {
    let mut exchange = exchange();
    exchange.request = crate::pipeline::head::Head::request(b"GET", b"/");
    exchange.request.append(b"Cookie", format!("sid={value}").as_bytes());
    exchange
}

impl TestBalancer {
    fn port_for(&self, exchange: &Exchange) -> u16 {
        port(&self.balancer.pick(&self.set, exchange.into(), &[]).unwrap())
    }

    /// Removes the other endpoints.
    fn keep(&mut self, keep: impl Fn(u16) -> bool) {
        let remaining = self.set.endpoints.iter().filter(|e| keep(e.port.unwrap())).cloned().collect();
        self.set = self.balancer.build(remaining, &self.set);
    }
}

#[test]
fn a_session_keeps_its_endpoint_and_new_sessions_rotate() {
    for store in [SessionStore::Unbounded, SessionStore::Bounded] {
        let balancer = TestBalancer::new(sticky(store), &[1, 1, 1]);
        let ports_of_keys: Vec<u16> =
            ["a", "b", "c"].map(|session| balancer.port_for(&with_cookie(session))).into();
        assert_eq!(ports_of_keys, [1, 2, 3]);
        for _ in 0..3 {
            assert_eq!(["c", "a", "b"].map(|session| balancer.port_for(&with_cookie(session))), [3, 1, 2]);
        }
    }
}

#[test]
fn requests_without_a_cookie_are_one_session_in_ocelot_mode_only() {
    let ports = |store| {
        let balancer = TestBalancer::new(sticky(store), &[1, 1]);
        [0; 4].map(|_| balancer.port_for(&exchange()))
    };
    assert_eq!(ports(SessionStore::Unbounded), [1, 1, 1, 1]);
    assert_eq!(ports(SessionStore::Bounded), [1, 2, 1, 2]);
    assert_eq!(ports(SessionStore::Cookie), [1, 2, 1, 2]);
}

#[test]
fn a_session_whose_endpoint_is_gone_moves_except_in_ocelot_mode() {
    let after = |store| {
        let mut balancer = TestBalancer::new(sticky(store), &[1, 1, 1]);
        let (one, two) = (with_cookie("a"), with_cookie("b"));
        assert_eq!((balancer.port_for(&one), balancer.port_for(&two)), (1, 2));
        balancer.keep(|port| port != 1);
        let moved = balancer.port_for(&one);
        assert_eq!((balancer.port_for(&one), balancer.port_for(&two)), (moved, 2));
        moved
    };
    assert_eq!(after(SessionStore::Unbounded), 1);
    assert!(after(SessionStore::Bounded) > 1);
}

#[test]
fn only_ocelot_sessions_need_no_discovery() {
    for store in [SessionStore::Unbounded, SessionStore::Bounded, SessionStore::Cookie] {
        let (balancer, exchange) = (TestBalancer::new(sticky(store), &[1, 1]), with_cookie("a"));
        assert!(!balancer.balancer.has_session(&exchange));
        balancer.port_for(&exchange);
        assert_eq!(balancer.balancer.has_session(&exchange), store == SessionStore::Unbounded);
        assert!(!balancer.balancer.has_session(&with_cookie("b")));
    }
}

#[test]
fn concurrent_requests_of_a_new_session_go_to_one_endpoint() {
    let balancer = TestBalancer::new(sticky(SessionStore::Bounded), &[1, 1, 1]);
    let ports: Vec<u16> = std::thread::scope(|scope| {
        let run = || (0..50).map(|_| balancer.port_for(&with_cookie("new"))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

/// The endpoint of each of many keys.
fn ports_of_keys(balancer: &TestBalancer) -> Vec<u16> {
    let key = |n: u32| {
        let mut exchange = exchange();
        exchange.routing.balancer_key =
            Some(crate::base::hash::stable_hash(format!("/items/{n}").as_bytes()));
        balancer.port_for(&exchange)
    };
    (0..20_000).map(key).collect()
}

fn hashing(weights: &[u32]) -> TestBalancer {
    TestBalancer::new(BalancerKind::ConsistentHash(HashPolicy::Path("id".into())), weights)
}

#[test]
fn only_the_keys_of_a_removed_endpoint_move() {
    for n in [2, 3, 10] {
        let mut balancer = hashing(&vec![1; n]);
        let before = ports_of_keys(&balancer);
        balancer.keep(|port| port != 2);
        let after = ports_of_keys(&balancer);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved as f64 / 20_000.0 <= 1.0 / n as f64 + 0.05, "{moved} of {n}");
        assert!(before.iter().zip(&after).all(|(a, b)| a == b || *a == 2));
    }
}

#[test]
fn an_incrementally_built_table_equals_one_built_at_once() {
    let mut balancer = hashing(&[1, 1, 1, 1]);
    let all = balancer.set.endpoints.clone();
    balancer.keep(|port| port > 1);
    balancer.set = balancer.balancer.build(all, &balancer.set);
    assert_eq!(ports_of_keys(&balancer), ports_of_keys(&hashing(&[1, 1, 1, 1])));
}

#[test]
fn keys_are_distributed_by_weight() {
    let ports_of_keys = ports_of_keys(&hashing(&[1, 3]));
    let first = ports_of_keys.iter().filter(|port| **port == 1).count();
    assert!((4_500..5_500).contains(&first), "{first}");
}

#[test]
fn the_hash_key_is_the_configured_one_or_else_the_address() {
    let request = |from: &str, fields: &[(&str, &str)]| {
        let from = from.parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        exchange.request = crate::pipeline::head::Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
        exchange
    };
    let ports_reached = |on: &str, make: &dyn Fn(u32) -> Exchange| {
        let balancer =
            TestBalancer::new(BalancerKind::ConsistentHash(HashPolicy::parse(on).unwrap()), &[1; 8]);
        let ports: std::collections::BTreeSet<u16> = (0..200).map(|n| balancer.port_for(&make(n))).collect();
        ports.len()
    };
    let by = |n: u32| n.to_string();
    assert_eq!(ports_reached("Header:X-User", &|n| request("10.0.0.1:1", &[("x-user", &by(n))])), 8);
    assert_eq!(
        ports_reached("Header:X-User", &|n| request("10.0.0.1:1", &[("x-user", "a"), ("x", &by(n))])),
        1
    );
    assert_eq!(ports_reached("cookie:sid", &|n| with_cookie(&by(n))), 8);
    assert_eq!(ports_reached("IP", &|n| request(&format!("10.0.0.{n}:1"), &[])), 8);
    assert_eq!(ports_reached("Cookie:none", &|n| request(&format!("10.0.0.{n}:1"), &[])), 8);
    assert_eq!(ports_reached("IP", &|n| request("10.0.0.1:1", &[("X-User", &by(n))])), 1);
}
