//! `SharedState`.

use super::{compile, load, valid};
use crate::config::codes;
use crate::state::{OnFailure, ServerAddress, SharedStateMode};
use std::time::Duration;

fn section(settings: &str) -> String {
    format!("{{ \"SharedState\": {{ {settings} }} }}")
}

/// Codes and messages, without the one about a document that has no routes.
fn faults(settings: &str) -> Vec<String> {
    let mut loaded = load(&section(settings), false);
    let _ = compile(&mut loaded);
    let all = loaded.diagnostics.list.iter().filter(|fault| fault.code != codes::NO_ROUTES);
    all.map(|fault| format!("{} {}", fault.code.0, fault.message)).collect()
}

#[test]
fn one_url_is_a_server_with_defaults() {
    let state = valid(&section(r#""Type": "Redis", "Url": "redis://127.0.0.1/3""#), false).shared_state;
    let state = state.expect("a shared state");
    assert_eq!(state.servers, [ServerAddress::Tcp { host: "127.0.0.1".into(), port: 6379 }]);
    assert_eq!((state.mode, state.database, state.prefix.as_str()), (SharedStateMode::Single, 3, "margay"));
    assert_eq!((state.timeout, state.connections), (Duration::from_millis(25), 1));
    assert_eq!((state.on_failure, state.tls), (OnFailure::Local, None));
    assert!(valid("{}", false).shared_state.is_none());
}

#[test]
fn sentinels_and_cluster_nodes_are_lists() {
    let sentinel = valid(
        &section(r#""Url": ["redis://a", "redis://b:7"], "Mode": "Sentinel", "SentinelPrimary": "m""#),
        false,
    );
    let state = sentinel.shared_state.expect("a shared state");
    assert_eq!((state.servers_text().as_str(), state.primary.as_str()), ("a:26379, b:7", "m"));
    let cluster =
        valid(&section(r#""Url": ["rediss://[::1]:7000", "rediss://b"], "Mode": "cluster""#), false);
    let state = cluster.shared_state.expect("a shared state");
    assert_eq!(state.servers_text(), "[::1]:7000, b:6379");
    assert!(state.tls.is_some());
    let unix = valid(&section(r#""Url": "unix:/run/redis.sock", "OnFailure": "refuse""#), false);
    let state = unix.shared_state.expect("a shared state");
    assert_eq!(
        (state.servers_text().as_str(), state.on_failure),
        ("unix:/run/redis.sock", OnFailure::Refuse)
    );
}

#[test]
fn invalid_settings_are_reported_without_the_password() {
    for (settings, expected) in [
        ("", "SharedState has no Url"),
        (r#""Url": "http://a""#, "its scheme is unknown"),
        (
            r#""Url": "redis://u:hunter2@a""#,
            "invalid SharedState.Url: it contains a user or a password; set User and Password",
        ),
        (r#""Url": "redis://a:0""#, "its port must be 1 to 65535"),
        (r#""Url": "redis://a/x""#, "the number of a database"),
        (r#""Url": "redis://a/1", "Mode": "cluster""#, "a cluster has only database 0"),
        (r#""Url": "unix:redis.sock""#, "its path must be absolute"),
        (r#""Url": ["redis://a", "redis://b"]"#, "Mode is \"single\""),
        (r#""Url": ["redis://a", "rediss://b"], "Mode": "cluster""#, "differ in scheme"),
        (r#""Url": "redis://a", "SentinelPrimary": "m""#, "has no effect"),
        (r#""Url": "redis://a", "Tls": { "ServerName": "b" }"#, "used without TLS"),
        (r#""Url": "redis://a", "Prefix": "a:b""#, "invalid SharedState.Prefix"),
        (r#""Url": "redis://a", "Timeout": "20s""#, "SharedState.Timeout is 20s"),
        (r#""Url": "redis://a", "Connections": 99"#, "SharedState.Connections is 99"),
        (r#""Url": "redis://a", "Type": "etcd""#, "MG0104"),
    ] {
        let found = faults(settings);
        assert!(found.iter().any(|line| line.contains(expected)), "{settings}: {found:?}");
        assert!(!found.iter().any(|line| line.contains("hunter2")), "{found:?}");
    }
}

#[test]
fn a_password_without_tls_is_a_warning_beyond_this_machine() {
    let password = r#""Password": "hunter2""#;
    let found = faults(&format!(r#""Url": "redis://redis.example", {password}"#));
    assert!(found.len() == 1 && found[0].contains("MG1102"), "{found:?}");
    assert!(faults(&format!(r#""Url": "redis://localhost", {password}"#)).is_empty());
}
