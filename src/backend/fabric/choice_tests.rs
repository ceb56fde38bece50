use super::*;
use crate::backend::fabric::address::ReplicaAddress;
use std::{collections::BTreeMap, time::Instant};

fn replica(id: &str, role: ReplicaRole, address: &str) -> Replica {
    Replica {
        id: id.into(),
        role,
        address: Some(Arc::new(ReplicaAddress::parse(address))),
        state: Arc::new(ReplicaState::default()),
    }
}

fn snapshot(replicas: Vec<Replica>) -> PartitionSnapshot {
    PartitionSnapshot {
        replicas: replicas.into(),
        version: 1,
        token: "".into(),
        confirmed_at: Instant::now(),
    }
}

fn stateful() -> PartitionSnapshot {
    snapshot(vec![
        replica("11", ReplicaRole::Primary, "http://a"),
        replica("12", ReplicaRole::Secondary, "http://b"),
        replica("13", ReplicaRole::Secondary, "http://c"),
    ])
}

static NO_HOSTS: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();

fn http() -> EndpointRule<'static> {
    EndpointRule {
        http: true,
        https: false,
        assumed_scheme: None,
        listener: None,
        refuses_loopback: false,
        refuses_link_local: false,
        host_map: &NO_HOSTS,
    }
}

/// The ids of all replicas that may be chosen.
fn chosen(snapshot: &PartitionSnapshot, selector: Selector, tried: &[Arc<ReplicaState>]) -> Vec<String> {
    let mut ids = Vec::new();
    for at in 0..8 {
        match choose(snapshot, selector, &http(), tried, 1, |count| at % count) {
            Ok(choice) => ids.push(snapshot.replicas[choice.replica].id.to_string()),
            Err(error) => return vec![format!("{error:?}")],
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn a_selector_selects_by_role() {
    let all = stateful();
    assert_eq!(chosen(&all, Selector::Primary, &[]), ["11"]);
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[]), ["12", "13"]);
    assert_eq!(chosen(&all, Selector::RandomReplica, &[]), ["11", "12", "13"]);
    let instances = snapshot(vec![
        replica("1", ReplicaRole::Instance, "http://a"),
        replica("2", ReplicaRole::Instance, "http://b"),
    ]);
    assert_eq!(chosen(&instances, Selector::Primary, &[]), ["1", "2"]);
    assert_eq!(chosen(&snapshot(Vec::new()), Selector::Primary, &[]), ["Offline"]);
}

#[test]
fn replicas_that_failed_are_left_out_while_there_is_another() {
    let all = stateful();
    let state = |at: usize| all.replicas[at].state.clone();
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[state(1)]), ["13"]);
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[state(1), state(2)]), ["12", "13"]);
    assert_eq!(chosen(&all, Selector::Primary, &[state(0)]), ["11"], "there is one primary");
    assert!(has_untried(&all, Selector::RandomSecondary, &http(), &[state(1)]));
    assert!(!has_untried(&all, Selector::Primary, &http(), &[state(0)]));
}

#[test]
fn replicas_that_refused_a_connection_are_left_out_for_ten_seconds_unless_all_did() {
    let all = stateful();
    all.replicas[1].state.leave_out(0);
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[]), ["13"]);
    all.replicas[2].state.leave_out(0);
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[]), ["12", "13"]);
    assert!(all.replicas[1].state.is_left_out(9_999) && !all.replicas[1].state.is_left_out(10_000));
    all.replicas[1].state.accept();
    assert_eq!(chosen(&all, Selector::RandomSecondary, &[]), ["12"]);
}

#[test]
fn a_replica_without_a_usable_endpoint_is_skipped_and_no_endpoint_is_final() {
    let mixed = snapshot(vec![
        replica("1", ReplicaRole::Instance, "https://a"),
        replica("2", ReplicaRole::Instance, "http://b"),
    ]);
    assert_eq!(chosen(&mixed, Selector::Primary, &[]), ["2"]);
    let secure = snapshot(vec![replica("1", ReplicaRole::Instance, "https://a")]);
    assert_eq!(chosen(&secure, Selector::Primary, &[]), ["NoEndpoint"]);
    let mut silent = replica("1", ReplicaRole::Primary, "");
    silent.address = None;
    assert_eq!(
        chosen(&snapshot(vec![silent]), Selector::Primary, &[]),
        ["Offline"],
        "it reports no address yet"
    );
}

fn selected(rule: &EndpointRule, address: &str) -> Option<String> {
    let address = ReplicaAddress::parse(address);
    let (at, scheme) = rule.select(&address.endpoints)?;
    Some(format!("{}={}://{}", address.endpoints[at].name, scheme.name(), address.endpoints[at].host))
}

#[test]
fn the_endpoint_is_the_named_one_or_the_first_in_byte_order() {
    let map = r#"{"Endpoints":{"b":"http://b","a":"http://a","B2":"http://c","s":"https://d","g":"e:1"}}"#;
    let with = |change: fn(&mut EndpointRule<'static>)| {
        let mut rule = http();
        change(&mut rule);
        selected(&rule, map)
    };
    assert_eq!(with(|_| {}).as_deref(), Some("B2=http://c"));
    assert_eq!(with(|rule| rule.listener = Some("A")).as_deref(), Some("a=http://a"));
    assert_eq!(with(|rule| rule.listener = Some("s")), None);
    assert_eq!(with(|rule| rule.listener = Some("g")), None);
    let assumed = with(|rule| (rule.listener, rule.assumed_scheme) = (Some("g"), Some(EndpointScheme::Http)));
    assert_eq!(assumed.as_deref(), Some("g=http://e"));
    assert_eq!(with(|rule| (rule.http, rule.https) = (false, true)).as_deref(), Some("s=https://d"));
}

#[test]
fn local_addresses_are_refused_unless_the_configuration_maps_them() {
    let map = BTreeMap::from([("127.0.0.1".into(), "127.0.0.1".into())]);
    let refusing = EndpointRule { refuses_loopback: true, refuses_link_local: true, ..http() };
    for address in ["http://127.0.0.1:1", "http://localhost:1", "http://169.254.169.254"] {
        assert_eq!(selected(&refusing, address), None, "{address}");
        assert!(selected(&http(), address).is_some(), "{address}");
    }
    assert!(selected(&EndpointRule { host_map: &map, ..refusing }, "http://127.0.0.1:1").is_some());
    let link_only = EndpointRule { refuses_link_local: true, ..http() };
    assert!(selected(&link_only, "http://127.0.0.1:1").is_some());
    assert_eq!(selected(&link_only, "http://169.254.169.254"), None);
}
