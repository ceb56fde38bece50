//! Dynamic routes with an unreachable discovery provider.

use super::*;
use crate::{
    backend::endpoint::Instance,
    config::{Environment, InMemoryFiles},
    plan::{Plan, ProcessState, build, compile, document::load_texts},
    telemetry::Metrics,
};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const TEXT: &str = r#"{ "DynamicRoutes": [{ "ServiceName": "orders", "Timeout": 7 },
        { "ServiceName": "stock", "ServiceNamespace": "eu", "Timeout": 8 }],
    "GlobalConfiguration": { "ServiceDiscoveryProvider": { "Type": "Consul", "Port": 1 }, "Timeout": 9 } }"#;

fn plan() -> Plan {
    let none = |_: &str| None;
    let environment = Environment { variable: &none, read: &|_, _| Err(std::io::ErrorKind::NotFound.into()) };
    let texts = InMemoryFiles { files: &[("gateway.json", TEXT)], ..InMemoryFiles::default() };
    let mut loaded = load_texts(&texts, environment);
    let blueprint = compile(&mut loaded).unwrap_or_else(|| panic!("{:?}", loaded.diagnostics.list));
    build(&blueprint, "id".into(), &ProcessState::new(Metrics::new(1), 100)).unwrap()
}

fn seconds(route: &Route) -> u64 {
    route.cluster().unwrap().1.timeout.as_secs()
}

fn source(route: &Route) -> &Arc<crate::backend::discovery::ServiceWatch> {
    route.cluster().unwrap().0.source.get().unwrap()
}

#[test]
fn a_service_has_the_options_of_its_entry_or_the_defaults() {
    let plan = plan();
    let dynamic = plan.dynamic.as_ref().unwrap();
    let now = Instant::now();
    for (path, timeout, service, namespace) in [
        ("/orders/1", 7, "orders", ""),
        ("/team.orders/1", 9, "orders", "team"),
        ("/stock", 8, "stock", "eu"),
        ("/eu.stock/", 8, "stock", "eu"),
        ("/us.stock/", 9, "stock", "us"),
        ("/Orders/", 9, "Orders", ""),
    ] {
        let route = dynamic.find(path.as_bytes(), CLIENT, now).unwrap();
        let requested = &source(&route).service;
        assert_eq!(
            (seconds(&route), &*requested.name, &*requested.namespace),
            (timeout, service, namespace),
            "{path}"
        );
        assert!(Arc::ptr_eq(&route, &dynamic.find(path.as_bytes(), CLIENT, now).unwrap()), "created once");
    }
    assert_eq!(dynamic.labels().collect::<Vec<_>>(), ["orders", "eu.stock", "dynamic"]);
}

#[test]
fn an_invalid_name_matches_no_route() {
    let plan = plan();
    let long = format!("/{}", "a".repeat(254));
    for path in ["/", "//a", "/a%20b/c", "/.", "/a.", "/..", "/a..b", "/a:b", "/a*", long.as_str()] {
        let found = plan.dynamic.as_ref().unwrap().find(path.as_bytes(), CLIENT, Instant::now());
        assert_eq!(found.map(|_| ()).map_err(|cause| cause.code), Err(ErrorCode::RouteNotFound), "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn any_path_is_a_valid_service_name_or_matches_no_route(path in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok((namespace, service)) = display_name(&path) {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            proptest::prop_assert!(!service.is_empty() && service.bytes().chain(namespace.bytes()).all(plain));
            proptest::prop_assert!(!service.starts_with('.') && namespace.len() + service.len() <= MAX_NAME);
        }
    }
}

#[test]
fn unknown_services_are_bounded_per_client_and_dropped_but_configured_ones_are_not() {
    let plan = plan();
    let dynamic = plan.dynamic.as_ref().unwrap();
    let now = Instant::now();
    let of = |client: u8| IpAddr::from([192, 0, 2, client]);
    let ask = |n: usize, client, now| {
        dynamic.find(format!("/x{n}/").as_bytes(), of(client), now).map(|_| ()).map_err(|c| c.code)
    };
    let half = MAX_PENDING / 2;
    assert!((0..half).all(|n| ask(n, 1, now).is_ok()), "one client may take half");
    assert_eq!(ask(half, 1, now), Err(ErrorCode::BackendNoEndpoint), "and then no more than its share");
    assert!((half..half + MAX_PENDING_PER_CLIENT).all(|n| ask(n, 2, now).is_ok()));
    assert_eq!(ask(half + MAX_PENDING_PER_CLIENT, 2, now), Err(ErrorCode::BackendNoEndpoint));
    assert!(dynamic.find(b"/orders/", CLIENT, now).is_ok(), "the configuration has it");
    assert_eq!(ask(0, 1, now), Ok(()), "it is pending already");
    let later = now + PENDING_TIMEOUT;
    assert_eq!(ask(MAX_PENDING, 1, later), Ok(()));
    dynamic.evict_idle(later + PENDING_TIMEOUT);
    assert_eq!(dynamic.pending.lock().unwrap().len(), 0);
    assert!(dynamic.is_unknown(b"x0", later) && !dynamic.is_unknown(b"x0", later + 2 * UNKNOWN_TTL));
}

#[test]
fn a_new_plan_takes_over_the_services_that_were_found() {
    let (old, new) = (plan(), plan());
    let (old, new) = (old.dynamic.as_ref().unwrap(), new.dynamic.as_ref().unwrap());
    let now = Instant::now();
    for name in ["/found/", "/confirmed/", "/unknown/"] {
        let route = old.find(name.as_bytes(), CLIENT, now).unwrap();
        if name != "/unknown/" {
            source(&route).set_for_test(vec![Instance::new("127.0.0.1", 1)]);
        }
        if name == "/found/" {
            old.evict_idle(now);
        }
    }
    new.adopt(old, now);
    let mut names: Vec<_> = new.services.load().keys().cloned().collect();
    names.sort();
    assert_eq!(names, [b"confirmed"[..].into(), b"found"[..].into()]);
}

#[test]
fn a_service_with_instances_is_kept_until_it_is_idle() {
    let plan = plan();
    let dynamic = plan.dynamic.as_ref().unwrap();
    let now = Instant::now();
    let route = dynamic.find(b"/shop/a", CLIENT, now).unwrap();
    source(&route).set_for_test(vec![Instance::new("127.0.0.1", 1)]);
    assert_eq!(plan.all_clusters().count(), 0, "the provider has not confirmed it yet");
    dynamic.evict_idle(now + PENDING_TIMEOUT * 2);
    assert_eq!(plan.all_clusters().next().unwrap().status(now).service.as_deref(), Some("shop"));
    let later = now + PENDING_TIMEOUT * 3;
    assert!(Arc::ptr_eq(&route, &dynamic.find(b"/shop/b", CLIENT, later).unwrap()));
    dynamic.evict_idle(later + IDLE_TIMEOUT - Duration::from_secs(2));
    assert_eq!(dynamic.services.load().len(), 1);
    dynamic.evict_idle(later + IDLE_TIMEOUT + Duration::from_secs(1));
    assert_eq!(dynamic.services.load().len(), 0);
}
