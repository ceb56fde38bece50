//! Named clusters, and the weights of addresses.

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
fn routes_share_the_cluster_that_they_name() {
    let read = sound(&to("shop", "shop", SHOP), false);
    let [one, two] = [&read.routes[0].cluster, &read.routes[1].cluster];
    assert!(Arc::ptr_eq(one, two));
    assert_eq!((one.key.as_str(), one.balancer.value.clone()), ("cluster shop", BalancerKind::RoundRobin));
    let endpoints: Vec<_> = one.endpoints.iter().map(|e| (e.host.as_str(), e.port, e.weight)).collect();
    assert_eq!(endpoints, [("a", Some(1), 3), ("b", Some(2), 1)]);
    assert_eq!(said(&to("shop", "shop", SHOP), false), [] as [&str; 0]);
}

#[test]
fn unknown_and_unused_clusters_are_told() {
    assert_eq!(said(&to("shop", "shpo", SHOP), false), [r#"MG0330 "shpo""#]);
    let mut loaded = load(&to("shop", "shpo", SHOP), false);
    compile(&mut loaded);
    assert_eq!(loaded.diagnostics.list[0].help[0], r#"did you mean "shop"?"#);
    let more = format!(r#"{SHOP}, "left": {{ "Endpoints": [{{ "Host": "h", "Port": 1 }}] }}"#);
    assert_eq!(said(&to("shop", "shop", &more), false), [r#"(MG0331) "left""#]);
}

#[test]
fn a_route_says_nothing_that_its_cluster_says() {
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
        assert_eq!(said(&text(setting), false), [format!("MG0332 {place}")], "{setting}");
        assert_eq!(said(&text(setting), true), [format!("MG0332 {place}")], "{setting}");
    }
}

#[test]
fn a_cluster_needs_addresses_that_are_some() {
    let cluster = |body: &str| said(&to("c", "c", &format!(r#""c": {{ {body} }}"#)), true);
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
fn global_options_are_for_clusters_too_unless_they_are_for_certain_routes() {
    let kind = |keys: &str| {
        let global = format!(
            r#""GlobalConfiguration": {{ "LoadBalancerOptions": {{ "Type": "Random" {keys} }} }}, "Clusters""#
        );
        let shop = SHOP
            .replace(r#""LoadBalancerOptions": { "Type": "RoundRobin" }"#, r#""x-y": 0"#)
            .replace(r#", "Weight": 3"#, "");
        let text = to("shop", "shop", &shop).replace("\"Clusters\"", &global);
        sound(&text, false).routes[0].cluster.balancer.value.clone()
    };
    assert_eq!(
        (kind(""), kind(r#", "RouteKeys": ["k"]"#)),
        (BalancerKind::Random, BalancerKind::NoLoadBalancer)
    );
}

#[test]
fn a_weight_is_a_share_of_several() {
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
