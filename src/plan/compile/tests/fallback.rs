//! Fallbacks, connection pools, and how `explain` describes them.

use super::*;
use crate::backend::attempt::fallback::{Failure, StaticResponse};
use crate::net::connection_limit::{ConnectionLimit, PoolConfig};
use crate::net::proxy_protocol::Version;
use std::time::Duration;

#[test]
fn a_fallback_applies_to_every_failure_unless_some_are_listed() {
    let of = |options: &str| {
        let text = with(&format!(r#""FallbackOptions": {options}"#));
        valid(&text, false).routes[0].attempts.fallback.clone()
    };
    let all = of(r#"{ "Reply": { "Body": "later", "Headers": { "X-A": "b" } } }"#).expect("a fallback");
    let fields = vec![("X-A".to_owned(), "b".to_owned())];
    assert_eq!(all.reply, Some(StaticResponse { status: 503, fields, body: "later".into() }));
    assert_eq!((all.on_failures.len(), all.statuses.len()), (Failure::ALL.len(), 0));
    let some = of(r#"{ "On": ["breaker"], "OnStatus": [500], "Reply": {} }"#).expect("a fallback");
    assert_eq!((some.on_failures, some.statuses), (vec![Failure::Breaker], vec![500]));
    assert_eq!(of(r#"{ "EnableFallback": false, "Reply": {} }"#), None);
}

#[test]
fn the_cluster_of_a_fallback_exists() {
    let text = |cluster: &str| {
        let route = route(&format!(r#""FallbackOptions": {{ "Cluster": "{cluster}" }}"#));
        format!(
            r#"{{ "Routes": [{route}], "Clusters": {{ "spare": {{ "DownstreamScheme": "http", "Endpoints": [{{ "Host": "h", "Port": 1 }}] }} }} }}"#
        )
    };
    let other = valid(&text("spare"), false).routes[0].fallback.clone().expect("a cluster");
    assert_eq!(other.name.as_deref(), Some("spare"));
    assert!(reported(&text("spar"), false).contains(&r#"MG0330 "spar""#.to_owned()));
}

#[test]
fn invalid_fallback_and_handler_options_are_reported() {
    let refused = |options: &str, place: &str| {
        always(&format!(r#""FallbackOptions": {options}"#), &format!("MG0453 {place}"));
    };
    refused(r#"{ "On": ["Timeout"] }"#, r#"{ "On": ["Timeout"] }"#);
    refused(r#"{ "On": ["Anything"], "Reply": {} }"#, r#""Anything""#);
    refused(r#"{ "OnStatus": [200], "Reply": {} }"#, "200");
    refused(r#"{ "Reply": { "Status": 100 } }"#, "100");
    refused(r#"{ "Reply": { "Headers": { "Content-Length": "1" } } }"#, r#""Content-Length""#);
    let handler =
        |options: &str, expected: &str| always(&format!(r#""HttpHandlerOptions": {options}"#), expected);
    handler(r#"{ "ConnectionQueueLimit": 5 }"#, "MG0454 5");
    handler(r#"{ "ProxyProtocol": "v3" }"#, r#"MG0104 "v3""#);
    handler(r#"{ "MaxConnectionsPerServer": 1, "ConnectionQueueLimit": -1 }"#, "MG0454 -1");
    handler(r#"{ "MaxConnectionsPerServer": 1, "ConnectionQueueTimeout": "0s" }"#, r#"MG0454 "0s""#);
}

#[test]
fn connections_live_two_minutes_and_are_unlimited_by_default() {
    let of = |options: &str| {
        valid(&with(&format!(r#""HttpHandlerOptions": {options}"#)), false).routes[0].cluster.pooling
    };
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(of("{}"), PoolConfig { max_lifetime: seconds(120), ..PoolConfig::default() });
    assert_eq!(
        of(r#"{ "MaxConnectionsPerServer": 0, "PooledConnectionLifetimeSeconds": 7 }"#).max_lifetime,
        seconds(7)
    );
    assert_eq!(of(r#"{ "ProxyProtocol": "v2" }"#).proxy_protocol, Some(Version::V2));
    let text = document(
        &[
            route(r#""HttpHandlerOptions": { "ProxyProtocol": "None" }"#),
            route(r#""UpstreamPathTemplate": "/other/{x}""#),
        ]
        .join(", "),
        r#"{ "HttpHandlerOptions": { "ProxyProtocol": "V1" } }"#,
    );
    let inherited = valid(&text, false)
        .routes
        .iter()
        .map(|route| route.cluster.pooling.proxy_protocol)
        .collect::<Vec<_>>();
    assert_eq!(inherited, [None, Some(Version::V1)]);
    let limit = ConnectionLimit { max_connections: 4, max_pending: 1024, pending_timeout: None };
    assert_eq!(of(r#"{ "MaxConnectionsPerServer": 4 }"#).limit, Some(limit));
    let queue =
        r#"{ "MaxConnectionsPerServer": 4, "ConnectionQueueLimit": 0, "ConnectionQueueTimeout": "1s" }"#;
    assert_eq!(
        of(queue).limit,
        Some(ConnectionLimit { max_pending: 0, pending_timeout: seconds(1), ..limit })
    );
}

#[test]
fn explain_describes_the_resilience_settings() {
    let text = with(
        r#""QoSOptions": { "MinimumThroughput": 5, "BreakDuration": 1000, "Timeout": 700, "Scope": "Endpoint" },
           "RetryOptions": { "Attempts": 4, "PerTryTimeout": "500ms", "On": ["Reset"], "OnStatus": [503] },
           "FallbackOptions": { "Reply": { "Status": 200 } },
           "HttpHandlerOptions": { "MaxConnectionsPerServer": 9, "ConnectionQueueLimit": 2 }"#,
    );
    let rows = crate::plan::explain::resilience::describe(&valid(&text, false).routes[0]);
    let rows: Vec<_> = rows.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        rows,
        [
            "QoSOptions: circuit breaker per endpoint: 5 consecutive failures open it for 1s; 700ms per attempt",
            "RetryOptions: 4 attempts, 500ms per try, retried on reset, 503",
            "FallbackOptions: static response 200",
            "HttpHandlerOptions.MaxConnectionsPerServer: 9, queue of 2",
        ]
    );
    assert!(crate::plan::explain::resilience::describe(&valid(&with(""), false).routes[0]).is_empty());
}
