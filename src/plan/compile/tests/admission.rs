//! Admission control: access, rate limits and concurrency limits; invalid settings and inheritance.

use super::*;
use crate::stages::StageConfigs;
use crate::stages::cors::AllowedNames;
use crate::stages::partition_key::format_list;
use crate::stages::rate_limit::{Algorithm, Fields};

fn admission(routes: &str, global: &str) -> Vec<StageConfigs> {
    valid(&document(routes, global), false).routes.into_iter().map(|route| route.stages).collect()
}

/// The limits of the only route: the rule, and the parts of its key.
fn limits(options: &str) -> Vec<(String, String)> {
    let all = admission(&route(&format!(r#""RateLimitOptions": {options}"#)), "{}");
    let rates = all[0].rate_limit.clone().expect("limits");
    rates.limits.into_iter().map(|limit| (limit.rule, format_list(&limit.parts))).collect()
}

fn rule(rule: &str, parts: &str) -> (String, String) {
    (rule.to_owned(), parts.to_owned())
}

#[test]
fn a_limit_is_ocelots_unless_it_sets_an_algorithm() {
    assert_eq!(limits(r#"{ "Limit": 3, "Period": "1s" }"#), [rule("3/1s/w0ms", "ClientId, Route")]);
    let bucket =
        r#"{ "Limit": 10, "Period": "1m", "Algorithm": "tokenbucket", "Burst": 4, "PartitionBy": ["ip"] }"#;
    assert_eq!(limits(bucket), [rule("10/1m/b4", "IP")]);
}

#[test]
fn limits_of_a_list_inherit_from_the_options_around_them() {
    let options = r#"{ "Wait": "2s", "PartitionBy": ["IP"], "Limits": [
        { "Limit": 1, "Period": "1s" }, { "Limit": 5, "Period": "1m", "Wait": "9s", "PartitionBy": ["Header:X"] } ] }"#;
    assert_eq!(limits(options), [rule("1/1s/w2s", "IP"), rule("5/1m/w9s", "Header:X")]);
    let both = r#"{ "Limit": 7, "Period": "1h", "Limits": [{ "Limit": 1, "Period": "1s" }] }"#;
    assert_eq!(limits(both).len(), 2);
}

#[test]
fn limits_are_shared_by_routes_unless_they_are_partitioned_by_route() {
    let two = [
        route(r#""UpstreamPathTemplate": "/one", "DownstreamPathTemplate": "/""#),
        route(r#""UpstreamPathTemplate": "/two", "DownstreamPathTemplate": "/""#),
    ];
    let counters = |partition: &str| {
        let global = format!(r#"{{ "RateLimitOptions": {{ "Limit": 3, "Period": "1s"{partition} }} }}"#);
        let all = admission(&two.join(", "), &global);
        let counter = |at: usize| all[at].rate_limit.clone().expect("limits").limits[0].counter.clone();
        counter(0) == counter(1)
    };
    assert!(counters(r#", "PartitionBy": ["IP"]"#));
    assert!(!counters(r#", "PartitionBy": ["IP", "Route"]"#));
    assert!(!counters(""));
}

#[test]
fn ocelot_has_only_its_own_fields_and_fields_can_be_disabled() {
    let fields = |settings: &str, ocelot: bool| {
        let text = with(&format!(r#""RateLimitOptions": {{ "Limit": 1, "Period": "1s"{settings} }}"#));
        valid(&text, ocelot).routes[0].stages.rate_limit.clone().expect("limits").fields
    };
    assert_eq!((fields("", true), fields("", false)), (Fields::Ocelot, Fields::Both));
    assert_eq!(fields(r#", "EnableHeaders": false"#, true), Fields::None);
    assert_eq!(fields(r#", "EnableHeaders": true, "DisableRateLimitHeaders": true"#, true), Fields::None);
}

#[test]
fn legacy_names_take_precedence() {
    let options = r#"{ "Limit": 1, "Period": "1s", "Wait": "9s", "PeriodTimespan": 1.5, "HttpStatusCode": 418,
        "StatusCode": 429, "QuotaExceededMessage": "{0} per {1}", "QuotaMessage": "new" }"#;
    let all = admission(&route(&format!(r#""RateLimitOptions": {options}"#)), "{}");
    let limit = all[0].rate_limit.clone().expect("limits").limits.remove(0);
    assert_eq!((limit.rule.as_str(), limit.status, limit.message.as_str()), ("1/1s/w1.5s", 418, "1 per 1s"));
    let Algorithm::Window(window) = limit.algorithm else { panic!("a window") };
    assert_eq!(window.penalty_ns, 1_500_000_000);
}

#[test]
fn invalid_limits_are_reported() {
    let rates = |options: &str| format!(r#""RateLimitOptions": {{ "Period": "1s", {options} }}"#);
    for (options, expected) in [
        (r#""Limit": 1, "PartitionBy": ["Claim"]"#, r#"MG0430 "Claim""#),
        (r#""Limit": 1, "Algorithm": "Leaky""#, r#"MG0104 "Leaky""#),
        (r#""Limit": 1, "Burst": 2"#, "MG0433 2"),
        (r#""Limit": 1, "Algorithm": "TokenBucket", "Wait": "1s""#, r#"MG0433 "1s""#),
        (r#""Limit": 1, "Algorithm": "TokenBucket", "Burst": 0"#, "MG0431 0"),
        (r#""Limits": [{ "Limit": 1 }]"#, r#"MG0432 { "Limit": 1 }"#),
        (r#""Limits": [{ "Limit": 0, "Period": "1s" }]"#, "MG0431 0"),
    ] {
        always(&rates(options), expected);
    }
    lenient(&rates(r#""Limit": 1, "Wait": "soon""#), r#"MG0404 "soon""#);
    assert_eq!(status(&rates(r#""Limit": 1, "Wait": "soon""#)), Some(500));
    lenient(&rates(r#""Limit": 1, "StatusCode": 302"#), "MG0434 302");
    let claim = reported(&with(&rates(r#""Limit": 1, "PartitionBy": ["Claim:sub"]"#)), false);
    assert_eq!(claim, [r#"(MG0422) "Claim:sub""#]);
}

#[test]
fn a_global_limit_of_zero_is_tolerated_under_ocelot() {
    let global = r#"{ "RateLimitOptions": { "Limit": 0 } }"#;
    assert_eq!(reported(&document(&route(""), global), false), ["MG0402 0"]);
    assert_eq!(reported(&document(&route(""), global), true), ["(MG0402) 0"]);
}

#[test]
fn concurrency_is_limited_for_the_route_and_for_each_key() {
    let options =
        r#"{ "Limit": 100, "QueueLimit": 9, "Limits": [{ "Limit": 2, "PartitionBy": ["IP", "Route"] }] }"#;
    let all = admission(&route(&format!(r#""ConcurrencyLimitOptions": {options}"#)), "{}");
    let found: Vec<_> = all[0]
        .concurrency_limit
        .iter()
        .flatten()
        .map(|l| (l.limit, l.queue, format_list(&l.partition_by)))
        .collect();
    assert_eq!(found, [(100, 9, "Route".to_owned()), (2, 9, "IP, Route".to_owned())]);
    for (options, expected) in [
        (r#"{ "QueueLimit": 1 }"#, r#"MG0432 { "QueueLimit": 1 }"#),
        (r#"{ "Limit": 0 }"#, "MG0431 0"),
        (r#"{ "Limit": 1, "QueueLimit": -1 }"#, "MG0431 -1"),
        (r#"{ "Limit": 1, "QueueTimeout": "1h" }"#, r#"MG0438 "1h""#),
        (r#"{ "Limit": 1, "PartitionBy": ["ClientId"] }"#, r#"MG0430 "ClientId""#),
    ] {
        always(&format!(r#""ConcurrencyLimitOptions": {options}"#), expected);
    }
}

#[test]
fn groups_apply_to_the_routes_they_name_and_an_empty_object_has_no_effect() {
    let routes = [
        route(
            r#""Key": "A", "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/", "CorsOptions": {}"#,
        ),
        route(
            r#""Key": "B", "UpstreamPathTemplate": "/b", "DownstreamPathTemplate": "/", "ConcurrencyLimitOptions": { "Limit": 1 }"#,
        ),
        route(
            r#""Key": "C", "UpstreamPathTemplate": "/c", "DownstreamPathTemplate": "/", "CorsOptions": { "EnableCors": false }"#,
        ),
    ];
    let global = r#"{ "CorsOptions": { "AllowedOrigins": ["*"], "RouteKeys": ["A", "C"] },
        "ConcurrencyLimitOptions": { "Limit": 50, "QueueLimit": 3 },
        "RequestSizeOptions": { "MaxRequestBodySize": "1KiB", "RouteKeys": ["B"] } }"#;
    let all = admission(&routes.join(", "), global);
    let found: Vec<_> = all
        .iter()
        .map(|a| {
            let concurrency = &a.concurrency_limit.as_ref().expect("limits")[0];
            (a.cors.is_some(), concurrency.limit, concurrency.queue, a.request_size.is_some())
        })
        .collect();
    assert_eq!(found, [(true, 50, 3, false), (false, 1, 3, true), (false, 50, 3, false)]);
}

#[test]
fn origins_are_listed_and_credentials_exclude_the_wildcard() {
    let cors = |options: &str| format!(r#""CorsOptions": {options}"#);
    for (options, expected) in [
        (r#"{ "MaxAge": "1m" }"#, r#"MG0435 { "MaxAge": "1m" }"#),
        (r#"{ "AllowedOrigins": ["https://a.example/"] }"#, r#"MG0435 "https://a.example/""#),
        (r#"{ "AllowedOrigins": ["null"] }"#, r#"MG0435 "null""#),
        (r#"{ "AllowedOrigins": ["*"], "AllowCredentials": true }"#, r#"MG0436 "*""#),
        (r#"{ "AllowedOrigins": ["*"], "AllowedHeaders": ["X A"] }"#, r#"MG0329 "X A""#),
        (r#"{ "AllowedOrigins": ["*"], "MaxAge": "2d" }"#, r#"MG0438 "2d""#),
    ] {
        always(&cors(options), expected);
    }
    let methods = |settings: &str| {
        let text = format!(r#"{settings} "CorsOptions": {{ "AllowedOrigins": ["*"] }}"#);
        admission(&route(&text), "{}").remove(0).cors.expect("settings").methods
    };
    assert_eq!(
        methods(r#""UpstreamHttpMethod": ["get", "PUT"],"#),
        AllowedNames::List(vec!["GET".into(), "PUT".into()])
    );
    assert_eq!(methods(""), AllowedNames::Any);
}

#[test]
fn a_route_limit_cannot_exceed_the_connection_limit() {
    let text = |limits: &str, size: &str| {
        let route = route(&format!(r#""RequestSizeOptions": {size}"#));
        format!(r#"{{ "Limits": {limits}, "Routes": [{route}] }}"#)
    };
    assert_eq!(
        reported(&text(r#"{ "MaxRequestBodySize": "1KiB" }"#, r#"{ "MaxRequestBodySize": "2KiB" }"#), false),
        [r#"MG0437 "2KiB""#]
    );
    assert_eq!(reported(&text("{}", r#"{ "MaxRequestHeaderCount": 129 }"#), false), ["MG0437 129"]);
    assert_eq!(reported(&text("{}", r#"{ "MaxRequestHeaderCount": 0 }"#), false), ["MG0431 0"]);
    let read = valid(&text("{}", r#"{ "MaxRequestBodySize": "2KiB", "MaxRequestHeaderCount": 9 }"#), false);
    let size = read.routes[0].stages.request_size.clone().expect("sizes");
    assert_eq!((size.max_body, size.max_headers_bytes, size.max_header_count), (Some(2048), None, Some(9)));
}

#[test]
fn entries_that_are_not_addresses_are_ignored_under_ocelot() {
    let text = with(r#""SecurityOptions": { "IPAllowedList": ["nonsense"], "IPBlockedList": ["10.0.0.1"] }"#);
    let lists = valid(&text, true).routes[0].stages.ip_filter.clone().expect("lists");
    assert!(lists.allowed.is_empty() && !lists.blocked.is_empty());
}
