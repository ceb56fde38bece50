//! Compiling never panics and is deterministic, whatever the document contains.

use super::compile;
use crate::config::{Environment, InMemoryFiles};
use crate::plan::document::load_texts;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Keys of routes, aggregates, options and the document, including unknown ones.
const KEYS: &[&str] = &[
    "Routes",
    "Aggregates",
    "DynamicRoutes",
    "GlobalConfiguration",
    "Listeners",
    "Limits",
    "ForwardedHeaders",
    "UpstreamPathTemplate",
    "DownstreamPathTemplate",
    "UpstreamHttpMethod",
    "UpstreamHost",
    "UpstreamHeaderTemplates",
    "RouteIsCaseSensitive",
    "Priority",
    "DownstreamScheme",
    "DownstreamHostAndPorts",
    "DownstreamCluster",
    "Clusters",
    "Endpoints",
    "Weight",
    "HashOn",
    "SetCookie",
    "HealthCheckOptions",
    "Active",
    "Passive",
    "Interval",
    "FailureRatio",
    "Host",
    "Port",
    "DownstreamHttpMethod",
    "DownstreamHttpVersion",
    "DownstreamHttpVersionPolicy",
    "Key",
    "ServiceName",
    "LoadBalancerOptions",
    "Type",
    "AuthenticationOptions",
    "AuthenticationProviderKey",
    "AuthenticationProviderKeys",
    "AllowAnonymous",
    "RouteClaimsRequirement",
    "AddHeadersToRequest",
    "ChangeDownstreamPathTemplate",
    "UpstreamHeaderTransform",
    "CacheOptions",
    "FileCacheOptions",
    "TtlSeconds",
    "RateLimitOptions",
    "Limit",
    "Period",
    "EnableRateLimiting",
    "Limits",
    "Wait",
    "Algorithm",
    "Burst",
    "PartitionBy",
    "StatusCode",
    "ConcurrencyLimitOptions",
    "QueueLimit",
    "QueueTimeout",
    "CorsOptions",
    "AllowedOrigins",
    "AllowedMethods",
    "AllowCredentials",
    "MaxAge",
    "RequestSizeOptions",
    "MaxRequestBodySize",
    "IPBlockedList",
    "QoSOptions",
    "MinimumThroughput",
    "TimeoutValue",
    "Timeout",
    "HttpHandlerOptions",
    "PooledConnectionLifetimeSeconds",
    "MaxConnectionsPerServer",
    "DelegatingHandlers",
    "RequestIdKey",
    "SecurityOptions",
    "IPAllowedList",
    "Metadata",
    "Policies",
    "PreserveHost",
    "RouteKeys",
    "RouteKeysConfig",
    "Aggregator",
    "ServiceDiscoveryProvider",
    "Compatibility",
    "Address",
    "TrustedProxies",
    "Headers",
    "MaxRequestLineSize",
    "ConnectTimeout",
    "MaxRequestHeaderCount",
    "AuthenticationSchemes",
    "ReloadOnChange",
    "Nope",
];

const WORDS: &[&str] = &[
    "",
    " ",
    "/",
    "/{x}",
    "/a/{x}",
    "/{x}/{x}",
    "/{",
    "/}",
    "/{}",
    "/{a{b}}",
    "a",
    "//",
    "http://x",
    "/a?{q}",
    "/a?x={x}&y",
    "GET",
    "get",
    "a b",
    "localhost",
    "[::1]",
    "h:1",
    "{header:x}",
    "(",
    "http",
    "HTTPS",
    "ftp",
    "1.1",
    "2.0",
    "9",
    "10",
    "RequestVersionExact",
    "K",
    "Missing",
    "RoundRobin",
    "roundrobin",
    "CookieStickySessions",
    "Claims[x] > value",
    "nonsense",
    "1.2.3.4/99",
    "10.0.0.0/8",
    "1s",
    "0s",
    "4KiB",
    "Ocelot",
    "127.0.0.1:8080",
    "é",
    "\u{0}",
    "${NOPE:-x}",
];

fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => select(WORDS).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => prop_oneof![Just(json!(0)), Just(json!(-1)), Just(json!(1)), Just(json!(70000)), Just(json!(1.5)), Just(json!(1e300))],
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    word().prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((select(KEYS), inner), 0..6).prop_map(object),
        ]
    })
}

fn object(members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

/// A route in which everything that a valid route has may be anything.
fn route() -> impl Strategy<Value = Value> {
    let path = || prop_oneof![3 => select(WORDS).prop_map(Value::from), 1 => value()];
    let hosts = prop_oneof![2 => Just(json!([{ "Host": "localhost", "Port": 1 }])), 1 => value()];
    (path(), path(), hosts, prop::collection::vec((select(KEYS), value()), 0..4)).prop_map(
        |(client, backend, hosts, more)| {
            let mut route = object(more);
            route["UpstreamPathTemplate"] = client;
            route["DownstreamPathTemplate"] = backend;
            route["DownstreamHostAndPorts"] = hosts;
            route
        },
    )
}

fn document() -> impl Strategy<Value = Value> {
    let routes = prop::collection::vec(route(), 0..4).prop_map(Value::from);
    (routes, value(), value(), prop::collection::vec((select(KEYS), value()), 0..3)).prop_map(
        |(routes, aggregate, global, more)| {
            let mut document = object(more);
            document["Routes"] = routes;
            document["Aggregates"] = json!([aggregate]);
            document["GlobalConfiguration"] = global;
            document
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_document_compiles_or_has_diagnostics(document in document(), ocelot: bool) {
        let text = document.to_string();
        let files = [("gateway.json", text.as_str())];
        let read = || load_texts(&InMemoryFiles { files: &files, ocelot, ..InMemoryFiles::default() }, Environment::of_process());
        let mut loaded = read();
        let blueprint = compile(&mut loaded);
        prop_assert_eq!(blueprint.is_some(), !loaded.diagnostics.has_errors());
        for diagnostic in &loaded.diagnostics.list {
            prop_assert!(!diagnostic.message.is_empty() && !diagnostic.message.ends_with('.'), "{:?}", diagnostic.message);
        }
        let mut again = read();
        compile(&mut again);
        prop_assert_eq!(format!("{:?}", loaded.diagnostics.list), format!("{:?}", again.diagnostics.list));
    }
}
