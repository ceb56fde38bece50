//! Who gets how much, with fixed seeds.

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

struct Picks {
    balancer: Balancer,
    ready: EndpointSet,
    exchange: Exchange,
}

impl Picks {
    fn new(kind: BalancerKind, weights: &[u32]) -> Picks {
        let sessions =
            matches!(kind, BalancerKind::Sticky(_)).then(|| Arc::new(Sessions::new(DEFAULT_EXPIRY)));
        let balancer = Balancer::new(kind, Arc::default(), sessions, ThreadRng::seeded(42));
        let ready = balancer.build(endpoints(weights), &EndpointSet::default());
        Picks { balancer, ready, exchange: exchange() }
    }

    fn pick(&self) -> Selection {
        self.balancer.pick(&self.ready, &self.exchange, &[]).unwrap()
    }

    fn ports(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| port(&self.pick())).collect()
    }

    /// How often each port was chosen, each exchange being over before the next.
    fn counts(&self, times: usize) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        self.ports(times).into_iter().for_each(|port| *counts.entry(port).or_default() += 1);
        counts
    }
}

pub(super) fn exchange() -> Exchange {
    let nobody = "127.0.0.1:0".parse().unwrap();
    Exchange::new(Peer::new(nobody, nobody, false), 0, Instant::now())
}

fn port(picked: &Selection) -> u16 {
    picked.endpoint.port.unwrap()
}

fn sticky(keeps: SessionStore) -> BalancerKind {
    BalancerKind::Sticky(Sticky { cookie: "sid".into(), expiry: None, keeps })
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
fn round_robin_begins_with_the_first_and_is_exact_across_threads() {
    let picks = Picks::new(BalancerKind::RoundRobin, &[1, 1]);
    assert_eq!(port(&picks.pick()), 1);
    let firsts: usize = std::thread::scope(|scope| {
        let run = || picks.ports(49).into_iter().filter(|port| *port == 1).count();
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(firsts, 49);
}

#[test]
fn heavy_ones_have_more_turns_and_those_are_spread() {
    assert_eq!(Picks::new(BalancerKind::RoundRobin, &[2, 1]).ports(6), [1, 2, 1, 1, 2, 1]);
    assert_eq!(Picks::new(BalancerKind::RoundRobin, &[300, 100]).ports(4), [1, 1, 2, 1]);
    let ports = Picks::new(BalancerKind::RoundRobin, &[5, 1, 1]).ports(7);
    assert!(!ports.windows(4).any(|four| four == [1; 4]), "{ports:?}");
}

#[test]
fn chance_follows_the_weights() {
    for kind in [BalancerKind::Random, BalancerKind::LeastRequest] {
        let counts = Picks::new(kind.clone(), &[1, 1, 2]).counts(8_000);
        assert!((1_800..2_200).contains(&counts[&1]), "{kind:?} {counts:?}");
        assert!((3_700..4_300).contains(&counts[&3]), "{kind:?} {counts:?}");
    }
}

#[test]
fn the_weights_of_registries_may_be_any_number() {
    let picks = Picks::new(BalancerKind::RoundRobin, &[u32::MAX, 1, 0]);
    let counts = picks.counts(70_000);
    assert!(counts[&1] > 69_000 && counts[&2] >= 1 && counts[&3] >= 1, "{counts:?}");
}

#[test]
fn least_connection_takes_the_idlest_and_the_first_of_equals() {
    let picks = Picks::new(BalancerKind::LeastConnection, &[1, 1]);
    let (one, two) = (picks.pick(), picks.pick());
    assert_eq!((port(&one), port(&two)), (1, 2));
    drop(two);
    assert_eq!(port(&picks.pick()), 2);
    drop(one);
    assert_eq!(port(&picks.pick()), 1);
}

#[test]
fn least_connection_fills_by_weight() {
    let picks = Picks::new(BalancerKind::LeastConnection, &[1, 3]);
    let held: Vec<Selection> = (0..8).map(|_| picks.pick()).collect();
    assert_eq!(held.iter().filter(|picked| port(picked) == 2).count(), 6);
}

#[test]
fn of_two_the_idler_one_is_taken() {
    let picks = Picks::new(BalancerKind::LeastRequest, &[1, 1, 1, 1]);
    // The first never ends an exchange: it is left alone as soon as it has more than the others.
    let mut stuck = Vec::new();
    let mut counts = [0; 5];
    for _ in 0..1_000 {
        let picked = picks.pick();
        counts[usize::from(port(&picked))] += 1;
        if port(&picked) == 1 {
            stuck.push(picked);
        }
    }
    assert_eq!(counts[1], 1, "{counts:?}");
    assert!(counts[2..].iter().all(|n| *n > 250), "{counts:?}");
}

#[test]
fn peak_ewma_sends_least_to_a_slow_endpoint() {
    let mut picks = Picks::new(BalancerKind::PeakEwma, &[1, 1, 1]);
    let start = Instant::now();
    let mut counts = [0; 4];
    for n in 0..3_000 {
        picks.exchange.now = start + Duration::from_millis(n);
        let picked = picks.pick();
        counts[usize::from(port(&picked))] += 1;
        let took = Duration::from_millis(if port(&picked) == 1 { 100 } else { 5 });
        picked.endpoint.state.latency.add(took, false, picks.exchange.now);
    }
    assert!(counts[1] < 30 && counts[2] > 1_000 && counts[3] > 1_000, "{counts:?}");
}

#[test]
fn peak_ewma_tries_a_slow_endpoint_again_in_time() {
    let mut picks = Picks::new(BalancerKind::PeakEwma, &[1, 1]);
    let start = picks.exchange.now;
    let took = |port: usize, ms| {
        picks.ready.endpoints[port - 1].state.latency.add(Duration::from_millis(ms), false, start);
    };
    took(1, 500);
    took(2, 5);
    assert_eq!(port(&picks.pick()), 2);
    picks.exchange.now = start + Duration::from_secs(60);
    picks.ready.endpoints[1].state.latency.add(Duration::from_millis(5), false, picks.exchange.now);
    assert_eq!(port(&picks.pick()), 1);
}

#[test]
fn what_was_tried_is_not_chosen_again_while_there_is_another() {
    for kind in kinds() {
        let picks = Picks::new(kind.clone(), &[3, 1, 2]);
        for _ in 0..20 {
            let mut tried: Vec<Arc<Endpoint>> = Vec::new();
            for _ in 0..3 {
                let picked = picks.balancer.pick(&picks.ready, &picks.exchange, &tried).unwrap();
                assert!(exclude_tried(&picked.endpoint, &tried), "{kind:?}");
                tried.push(picked.endpoint);
            }
            assert!(picks.balancer.pick(&picks.ready, &picks.exchange, &tried).is_some(), "{kind:?}");
        }
    }
}

#[test]
fn nobody_is_chosen_of_nobody_and_one_of_one() {
    for kind in kinds() {
        let none = Picks::new(kind.clone(), &[]);
        assert!(none.balancer.pick(&none.ready, &none.exchange, &[]).is_none(), "{kind:?}");
        assert_eq!(Picks::new(kind.clone(), &[7]).ports(3), [1, 1, 1], "{kind:?}");
    }
}

#[test]
fn leases_end_with_what_holds_them() {
    for kind in [BalancerKind::LeastConnection, BalancerKind::LeastRequest, BalancerKind::PeakEwma] {
        let picks = Picks::new(kind, &[1]);
        let held = [picks.pick(), picks.pick()];
        assert_eq!(picks.ready.endpoints[0].state.in_flight.load(Ordering::Relaxed), 2);
        drop(held);
        assert_eq!(picks.ready.endpoints[0].state.in_flight.load(Ordering::Relaxed), 0);
    }
}

/// A request with this cookie.
fn with_cookie(value: &str) -> Exchange {
    let mut x = exchange();
    x.request = crate::pipeline::head::Head::request(b"GET", b"/");
    x.request.append(b"Cookie", format!("sid={value}").as_bytes());
    x
}

impl Picks {
    fn port_for(&self, exchange: &Exchange) -> u16 {
        port(&self.balancer.pick(&self.ready, exchange, &[]).unwrap())
    }

    /// From now on there are only those of the endpoints.
    fn keep(&mut self, keep: impl Fn(u16) -> bool) {
        let kept = self.ready.endpoints.iter().filter(|e| keep(e.port.unwrap())).cloned().collect();
        self.ready = self.balancer.build(kept, &self.ready);
    }
}

#[test]
fn a_session_stays_and_new_ones_take_turns() {
    for keeps in [SessionStore::Unbounded, SessionStore::Bounded] {
        let picks = Picks::new(sticky(keeps), &[1, 1, 1]);
        let homes: Vec<u16> = ["a", "b", "c"].map(|who| picks.port_for(&with_cookie(who))).into();
        assert_eq!(homes, [1, 2, 3]);
        for _ in 0..3 {
            assert_eq!(["c", "a", "b"].map(|who| picks.port_for(&with_cookie(who))), [3, 1, 2]);
        }
    }
}

#[test]
fn without_a_cookie_all_are_one_session_in_ocelot_and_none_outside() {
    let nobody = |keeps| {
        let picks = Picks::new(sticky(keeps), &[1, 1]);
        [0; 4].map(|_| picks.port_for(&exchange()))
    };
    assert_eq!(nobody(SessionStore::Unbounded), [1, 1, 1, 1]);
    assert_eq!(nobody(SessionStore::Bounded), [1, 2, 1, 2]);
    assert_eq!(nobody(SessionStore::Cookie), [1, 2, 1, 2]);
}

#[test]
fn a_session_whose_endpoint_is_gone_moves_but_not_in_ocelot() {
    let after = |keeps| {
        let mut picks = Picks::new(sticky(keeps), &[1, 1, 1]);
        let (one, two) = (with_cookie("a"), with_cookie("b"));
        assert_eq!((picks.port_for(&one), picks.port_for(&two)), (1, 2));
        picks.keep(|port| port != 1);
        let moved = picks.port_for(&one);
        assert_eq!((picks.port_for(&one), picks.port_for(&two)), (moved, 2));
        moved
    };
    assert_eq!(after(SessionStore::Unbounded), 1);
    assert!(after(SessionStore::Bounded) > 1);
}

#[test]
fn only_ocelots_sessions_need_no_news_of_the_endpoints() {
    for keeps in [SessionStore::Unbounded, SessionStore::Bounded, SessionStore::Cookie] {
        let (picks, x) = (Picks::new(sticky(keeps), &[1, 1]), with_cookie("a"));
        assert!(!picks.balancer.has_session(&x));
        picks.port_for(&x);
        assert_eq!(picks.balancer.has_session(&x), keeps == SessionStore::Unbounded);
        assert!(!picks.balancer.has_session(&with_cookie("b")));
    }
}

#[test]
fn of_many_requests_of_a_new_session_all_go_to_one_endpoint() {
    let picks = Picks::new(sticky(SessionStore::Bounded), &[1, 1, 1]);
    let ports: Vec<u16> = std::thread::scope(|scope| {
        let run = || (0..50).map(|_| picks.port_for(&with_cookie("new"))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

/// Where each of many keys goes.
fn homes(picks: &Picks) -> Vec<u16> {
    let key = |n: u32| {
        let mut x = exchange();
        x.routing.balancer_key = Some(crate::base::hash::stable_hash(format!("/items/{n}").as_bytes()));
        picks.port_for(&x)
    };
    (0..20_000).map(key).collect()
}

fn hashing(weights: &[u32]) -> Picks {
    Picks::new(BalancerKind::ConsistentHash(HashPolicy::Path("id".into())), weights)
}

#[test]
fn when_an_endpoint_goes_only_its_keys_move_and_those_are_its_share() {
    for n in [2, 3, 10] {
        let mut picks = hashing(&vec![1; n]);
        let before = homes(&picks);
        picks.keep(|port| port != 2);
        let after = homes(&picks);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved as f64 / 20_000.0 <= 1.0 / n as f64 + 0.05, "{moved} of {n}");
        assert!(before.iter().zip(&after).all(|(a, b)| a == b || *a == 2));
    }
}

#[test]
fn slots_that_were_worked_out_step_by_step_are_those_worked_out_at_once() {
    let mut picks = hashing(&[1, 1, 1, 1]);
    let all = picks.ready.endpoints.clone();
    picks.keep(|port| port > 1);
    picks.ready = picks.balancer.build(all, &picks.ready);
    assert_eq!(homes(&picks), homes(&hashing(&[1, 1, 1, 1])));
}

#[test]
fn keys_are_shared_out_by_weight() {
    let homes = homes(&hashing(&[1, 3]));
    let first = homes.iter().filter(|port| **port == 1).count();
    assert!((4_500..5_500).contains(&first), "{first}");
}

#[test]
fn a_key_is_what_it_is_said_to_be_and_else_the_address() {
    let request = |from: &str, fields: &[(&str, &str)]| {
        let from = from.parse().unwrap();
        let mut x = Exchange::new(Peer::new(from, from, false), 0, Instant::now());
        x.request = crate::pipeline::head::Head::request(b"GET", b"/");
        fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
        x
    };
    let spread_over = |on: &str, make: &dyn Fn(u32) -> Exchange| {
        let picks = Picks::new(BalancerKind::ConsistentHash(HashPolicy::parse(on).unwrap()), &[1; 8]);
        let ports: std::collections::BTreeSet<u16> = (0..200).map(|n| picks.port_for(&make(n))).collect();
        ports.len()
    };
    let by = |n: u32| n.to_string();
    assert_eq!(spread_over("Header:X-User", &|n| request("10.0.0.1:1", &[("x-user", &by(n))])), 8);
    assert_eq!(
        spread_over("Header:X-User", &|n| request("10.0.0.1:1", &[("x-user", "a"), ("x", &by(n))])),
        1
    );
    assert_eq!(spread_over("cookie:sid", &|n| with_cookie(&by(n))), 8);
    assert_eq!(spread_over("IP", &|n| request(&format!("10.0.0.{n}:1"), &[])), 8);
    assert_eq!(spread_over("Cookie:none", &|n| request(&format!("10.0.0.{n}:1"), &[])), 8);
    assert_eq!(spread_over("IP", &|n| request("10.0.0.1:1", &[("X-User", &by(n))])), 1);
}
