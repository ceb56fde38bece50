//! Named clusters, and the weights of endpoints.

use super::*;
use crate::plan::blueprint::*;
use std::sync::Arc;

/// Two routes to clusters of these names.
fn to(first: &str, second: &str, clusters: &str) -> String {
    let route = |path: &str, name: &str| {
        format!(
            r#"{{ "UpstreamPathTemplate": "{path}", "DownstreamPathTemplate": "/", "DownstreamCluster": "{name}" }}"#
        )
    };
    let routes = [route("/a", first), route("/b", second)].join(",");
    format!(r#"{{ "Routes": [{routes}], "Clusters": {{ {clusters} }} }}"#)
}

const SHOP: &str = r#""shop": { "DownstreamScheme": "http",
    "Endpoints": [{ "Host": "a", "Port": 1, "Weight": 3 }, { "Host": "b", "Port": 2 }],
    "LoadBalancerOptions": { "Type": "RoundRobin" } }"#;

#[test]
fn routes_share_a_named_cluster() {
    let read = valid(&to("shop", "shop", SHOP), false);
    let [one, two] = [&read.routes[0].cluster, &read.routes[1].cluster];
    assert!(Arc::ptr_eq(one, two));
    assert_eq!((one.key.as_str(), one.balancer.value.clone()), ("cluster shop", BalancerKind::RoundRobin));
    let endpoints: Vec<_> = one.endpoints.iter().map(|e| (e.host.as_str(), e.port, e.weight)).collect();
    assert_eq!(endpoints, [("a", Some(1), 3), ("b", Some(2), 1)]);
    assert_eq!(reported(&to("shop", "shop", SHOP), false), [] as [&str; 0]);
}

#[test]
fn unknown_and_unused_clusters_are_reported() {
    assert_eq!(reported(&to("shop", "shpo", SHOP), false), [r#"MG0330 "shpo""#]);
    let mut loaded = load(&to("shop", "shpo", SHOP), false);
    compile(&mut loaded);
    assert_eq!(loaded.diagnostics.list[0].help[0], r#"did you mean "shop"?"#);
    let more = format!(r#"{SHOP}, "left": {{ "Endpoints": [{{ "Host": "h", "Port": 1 }}] }}"#);
    assert_eq!(reported(&to("shop", "shop", &more), false), [r#"(MG0331) "left""#]);
}

#[test]
fn a_route_must_not_set_what_its_cluster_sets() {
    let text = |setting: &str| {
        to("shop", "shop", SHOP).replacen(
            "\"DownstreamPathTemplate\"",
            &format!("{setting}, \"DownstreamPathTemplate\""),
            1,
        )
    };
    for (setting, place) in [
        (r#""DownstreamHostAndPorts": [{ "Host": "h", "Port": 1 }]"#, r#"[{ "Host": "h", "Port": 1 }]"#),
        (r#""DownstreamScheme": "http""#, r#""http""#),
        (r#""LoadBalancerOptions": { "Type": "Random" }"#, r#"{ "Type": "Random" }"#),
        (r#""HttpHandlerOptions": { "UseProxy": false }"#, r#"{ "UseProxy": false }"#),
    ] {
        assert_eq!(reported(&text(setting), false), [format!("MG0332 {place}")], "{setting}");
        assert_eq!(reported(&text(setting), true), [format!("MG0332 {place}")], "{setting}");
    }
}

#[test]
fn a_cluster_needs_valid_endpoints() {
    let cluster = |body: &str| reported(&to("c", "c", &format!(r#""c": {{ {body} }}"#)), true);
    assert_eq!(cluster(r#""Endpoints": []"#), ["MG0320 []"]);
    assert_eq!(cluster(r#""Endpoints": [{ "Port": 1 }]"#), [r#"MG0321 { "Port": 1 }"#]);
    assert_eq!(
        cluster(r#""Endpoints": [{ "Host": "a/b", "Port": 70000 }]"#),
        [r#"MG0322 "a/b""#, "MG0323 70000"]
    );
    let one = r#""Endpoints": [{ "Host": "a", "Port": 1 }]"#;
    assert_eq!(
        cluster(&format!(r#"{one}, "LoadBalancerOptions": {{ "Type": "random" }}"#)),
        [r#"MG0405 "random""#]
    );
}

#[test]
fn global_options_apply_to_clusters_unless_they_have_route_keys() {
    let kind = |keys: &str| {
        let global = format!(
            r#""GlobalConfiguration": {{ "LoadBalancerOptions": {{ "Type": "Random" {keys} }} }}, "Clusters""#
        );
        let shop = SHOP
            .replace(r#""LoadBalancerOptions": { "Type": "RoundRobin" }"#, r#""x-y": 0"#)
            .replace(r#", "Weight": 3"#, "");
        let text = to("shop", "shop", &shop).replace("\"Clusters\"", &global);
        valid(&text, false).routes[0].cluster.balancer.value.clone()
    };
    assert_eq!(
        (kind(""), kind(r#", "RouteKeys": ["k"]"#)),
        (BalancerKind::Random, BalancerKind::NoLoadBalancer)
    );
}

#[test]
fn a_weight_requires_a_balancer_with_several_endpoints() {
    let weight = |weight: &str, kind: &str| {
        both(&format!(
            r#""DownstreamHostAndPorts": [{{ "Host": "h", "Port": 1, "Weight": {weight} }}], "LoadBalancerOptions": {{ "Type": "{kind}" }}"#
        ))
        .0
    };
    assert_eq!(weight("1000", "RoundRobin"), [] as [&str; 0]);
    assert_eq!(weight("1001", "RoundRobin"), ["MG0333 1001"]);
    assert_eq!(weight("0", "LeastConnection"), ["MG0333 0"]);
    assert_eq!(weight("2", "NoLoadBalancer"), ["MG0333 2"]);
}
