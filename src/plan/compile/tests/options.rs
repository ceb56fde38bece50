//! Options with and without inheritance, and unsupported features.

use super::*;
use crate::plan::blueprint::*;
use std::time::Duration;

#[test]
fn balancers_have_exact_names_and_others_respond_500_under_ocelot() {
    let kind = |kind: &str| {
        valid(&with(&format!(r#""LoadBalancerOptions": {{ "Type": "{kind}" }}"#)), true).routes[0]
            .cluster
            .balancer
            .value
            .clone()
    };
    assert_eq!(kind("RoundRobin"), BalancerKind::RoundRobin);
    assert_eq!(kind("LeastConnection"), BalancerKind::LeastConnection);
    assert_eq!(
        (kind(""), kind("NoLoadBalancer")),
        (BalancerKind::NoLoadBalancer, BalancerKind::NoLoadBalancer)
    );
    lenient(r#""LoadBalancerOptions": { "Type": "roundrobin" }"#, r#"MG0405 "roundrobin""#);
    assert_eq!(status(r#""LoadBalancerOptions": { "Type": "Nope" }"#), Some(500));
}

#[test]
fn timeouts_of_zero_and_less_are_ninety_seconds_under_ocelot() {
    lenient(r#""Timeout": 0"#, "MG0328 0");
    let timeout = |route: &str, global: &str| {
        let read = valid(&document(&self::route(route), global), true);
        read.routes[0].timeout.value
    };
    assert_eq!(timeout(r#""Timeout": 0"#, r#"{ "Timeout": 4 }"#), Duration::from_secs(90));
    assert_eq!(timeout("", r#"{ "Timeout": 4 }"#), Duration::from_secs(4));
    assert_eq!(timeout(r#""Timeout": "1500ms""#, r#"{ "Timeout": 4 }"#), Duration::from_millis(1500));
}

#[test]
fn a_rate_limit_of_a_route_has_its_own_limit_and_period() {
    let limit = |options: &str| -> Vec<String> {
        reported(&with(&format!(r#""RateLimitOptions": {options}"#)), true)
    };
    assert_eq!(limit(r#"{ "Limit": 0, "Period": "1s" }"#), ["MG0402 0"]);
    assert_eq!(limit(r#"{ "Limit": -1, "Period": "1s" }"#), ["MG0402 -1"]);
    assert_eq!(limit(r#"{ "Limit": 1 }"#), [r#"MG0403 { "Limit": 1 }"#]);
    assert_eq!(limit(r#"{ "Limit": 1, "Period": "s" }"#), [r#"MG0404 "s""#]);
    assert_eq!(limit(r#"{ "EnableRateLimiting": false, "Limit": 0 }"#), [] as [&str; 0]);
    assert_eq!(limit("{}"), [] as [&str; 0]);
    assert_eq!(
        reported(&document(&route(""), r#"{ "RateLimitOptions": { "Limit": 0 } }"#), true),
        ["(MG0402) 0"]
    );
}

#[test]
fn named_authentication_schemes_exist() {
    let lines = |options: &str| -> Vec<String> {
        let text = format!(
            r#"{{ "AuthenticationSchemes": {{ "Bearer": {{ "Type": "JwtBearer", "SigningKey": "0123456789abcdef0123456789abcdef" }} }}, "Routes": [{}] }}"#,
            route(&format!(r#""AuthenticationOptions": {options}"#))
        );
        reported(&text, true)
    };
    assert_eq!(lines(r#"{ "AuthenticationProviderKeys": ["Bearer"] }"#), [] as [&str; 0]);
    assert_eq!(lines(r#"{ "AuthenticationProviderKeys": ["Bearer", "bearer"] }"#), [r#"MG0401 "bearer""#]);
    assert_eq!(
        lines(r#"{ "AuthenticationProviderKey": "Bearer", "AuthenticationProviderKeys": ["X"] }"#),
        [] as [&str; 0]
    );
    assert_eq!(lines(r#"{ "AuthenticationProviderKey": "X" }"#), [r#"MG0401 "X""#]);
    let global = document(
        &route(""),
        r#"{ "AuthenticationOptions": { "AuthenticationProviderKeys": ["X"], "AllowAnonymous": true } }"#,
    );
    assert_eq!(reported(&global, true), [r#"MG0401 "X""#]);
}

#[test]
fn the_help_for_an_unknown_scheme_is_json_to_paste() {
    let mut loaded =
        load(&with(r#""AuthenticationOptions": { "AuthenticationProviderKeys": ["My Key"] }"#), true);
    compile(&mut loaded);
    let help = loaded.diagnostics.list[0].help.join("\n");
    assert!(help.contains("\"AuthenticationSchemes\": {\n  \"My Key\": {"), "{help}");
    assert!(help.contains("${MY_KEY_SIGNING_KEY}"), "{help}");
}

#[test]
fn options_that_enable_nothing_are_accepted() {
    for settings in [
        r#""QoSOptions": {}, "CacheOptions": { "TtlSeconds": 0 }, "HttpHandlerOptions": { "UseTracing": false }"#,
        r#""QoSOptions": { "MinimumThroughput": 0, "Timeout": 0 }, "FileCacheOptions": { "TtlSeconds": 0, "Region": "x" }"#,
        r#""RateLimitOptions": { "EnableRateLimiting": false }, "SecurityOptions": { "IPAllowedList": [] }"#,
        r#""AuthenticationOptions": { "AllowedScopes": ["x"] }, "AddHeadersToRequest": {}, "RouteClaimsRequirement": {}"#,
        r#""HttpHandlerOptions": { "MaxConnectionsPerServer": 0, "PooledConnectionLifetimeSeconds": 120 }"#,
        r#""Metadata": { "a": "b" }, "DelegatingHandlers": [], "ServiceName": "", "UpstreamHeaderTransform": {}"#,
        r#""DangerousAcceptAnyServerCertificateValidator": true, "ServiceNamespace": "ns", "Priority": -3"#,
    ] {
        quiet(settings);
    }
    let text = r#"{ "Routes": [ROUTE], "Aggregates": [], "DynamicRoutes": [], "ConfigurationStore": "",
        "GlobalConfiguration": { "DownstreamScheme": "https", "ServiceDiscoveryProvider": { "Host": "h" } } }"#;
    assert_eq!(reported(&text.replace("ROUTE", &route("")), false), [] as [&str; 0]);
}

#[test]
fn a_group_without_routes_is_reported_and_a_route_may_disable_it() {
    let global = |options: &str| reported(&document(&route(r#""Key": "A""#), options), true);
    assert_eq!(
        global(r#"{ "CacheOptions": { "TtlSeconds": 60, "RouteKeys": ["B"] } }"#),
        [r#"(MG0407) "B""#]
    );
    let off = document(
        &route(r#""CacheOptions": { "TtlSeconds": 0 }"#),
        r#"{ "CacheOptions": { "TtlSeconds": 60 } }"#,
    );
    assert_eq!(reported(&off, true), [] as [&str; 0]);
}

#[test]
fn what_ocelot_ignores_is_a_warning_under_ocelot() {
    lenient(r#""DelegatingHandlers": ["Missing"]"#, r#"MG0406 "Missing""#);
    lenient(r#""SecurityOptions": { "IPBlockedList": ["1.2.3.4/99"] }"#, r#"MG0408 "1.2.3.4/99""#);
    lenient(r#""HttpHandlerOptions": { "AllowAutoRedirect": true }"#, "MG0410 true");
    lenient(r#""HttpHandlerOptions": { "PooledConnectionLifetimeSeconds": -1 }"#, "MG0411 -1");
    lenient(r#""RequestIdKey": "a b""#, r#"MG0329 "a b""#);
    lenient(r#""UpstreamHost": "http://h""#, r#"MG0311 "http://h""#);
    lenient(r#""UpstreamHeaderTemplates": { "a b": "x" }"#, r#"MG0312 "a b""#);
    lenient(r#""Unknown": 1"#, r#"MG0102 "Unknown""#);
    always(r#""UpstreamHeaderTemplates": { "a": "(" }"#, r#"MG0312 "(""#);
}
