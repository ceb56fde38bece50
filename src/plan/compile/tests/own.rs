//! Our own sections.

use crate::config::{Environment, InMemoryFiles};
use crate::plan::blueprint::Blueprint;
use crate::plan::compile::limits::parse_address;
use crate::plan::compile::{administration::DEFAULT_ADMINISTRATION, listeners::DEFAULT_LISTENER};
use crate::plan::document::load_texts;
use std::time::Duration;

fn read(text: &str, ocelot: bool) -> (Option<Blueprint>, Vec<String>) {
    let files = [("gateway.json", text)];
    let mut loaded = load_texts(
        &InMemoryFiles { files: &files, ocelot, ..InMemoryFiles::default() },
        Environment::of_process(),
    );
    let blueprint = super::compile(&mut loaded);
    let reported = loaded.diagnostics.list.iter().filter(|d| d.code.0 != "MG0313");
    (blueprint, reported.map(|d| format!("{}: {}", d.code.0, d.message)).collect())
}

fn valid(text: &str, ocelot: bool) -> Blueprint {
    let (blueprint, reported) = read(text, ocelot);
    blueprint.unwrap_or_else(|| panic!("{reported:?}"))
}

#[test]
fn an_empty_document_has_the_documented_defaults() {
    let read = valid("{}", false);
    assert_eq!(read.listeners[0].address, DEFAULT_LISTENER.into());
    assert_eq!(read.administration.address, DEFAULT_ADMINISTRATION.into());
    let limits = &read.limits;
    let head = &limits.client.head;
    assert_eq!((head.max_line_bytes, head.max_fields_bytes, head.max_fields), (16384, 65536, 128));
    assert_eq!(
        (limits.client.body, limits.connections, limits.requests_per_connection),
        (u64::MAX, None, u32::MAX)
    );
    let seconds = [
        limits.client.head_timeout,
        limits.client.idle_timeout,
        limits.body_idle,
        limits.connect_timeout,
        limits.backend_idle,
        limits.drain,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [10, 75, 60, 5, 55, 30]);
    let forwarded = read.stages.forwarded_headers.unwrap();
    assert!(forwarded.add_to_request && forwarded.proxies.proxies.is_empty());
    assert!(read.reload_on_change && read.telemetry.access_logs.is_empty());
    assert_eq!(read.base_url, "http://localhost:5000");
}

#[test]
fn ocelot_limits_bodies_and_adds_no_forwarded_fields() {
    let read = valid("{}", true);
    assert_eq!(read.limits.client.body, 30_000_000);
    assert!(!read.stages.forwarded_headers.unwrap().add_to_request);
    let more = valid(
        r#"{ "Limits": { "MaxRequestBodySize": "1GiB" }, "ForwardedHeaders": { "AddToRequest": true } }"#,
        true,
    );
    assert_eq!(more.limits.client.body, 1 << 30);
    assert!(more.stages.forwarded_headers.unwrap().add_to_request);
}

#[test]
fn limits_are_compiled_within_their_range() {
    let read = valid(
        r#"{ "Limits": { "MaxRequestBodySize": 100, "ConnectTimeout": "250ms", "MaxConnectionsPerClient": 7 } }"#,
        false,
    );
    assert_eq!(
        (read.limits.client.body, read.limits.connect_timeout, read.limits.connections_per_client),
        (100, Duration::from_millis(250), 7)
    );
    for (limit, reported) in [
        (r#""MaxRequestLineSize": "1B""#, "MG0603: Limits.MaxRequestLineSize is 1B"),
        (r#""MaxRequestHeaderCount": 0"#, "MG0603: Limits.MaxRequestHeaderCount is 0"),
        (r#""DrainTimeout": "2h""#, "MG0603: Limits.DrainTimeout is 2h"),
        (r#""MaxRequestsPerConnection": -1"#, "MG0603: Limits.MaxRequestsPerConnection is -1"),
    ] {
        let text = format!(r#"{{ "Limits": {{ {limit} }} }}"#);
        assert_eq!(reported_for(&text), [reported], "{limit}");
    }
}

fn reported_for(text: &str) -> Vec<String> {
    read(text, false).1
}

#[test]
fn addresses_are_valid_and_used_once() {
    assert_eq!(parse_address("localhost:80").map(|a| a.to_string()).as_deref(), Some("127.0.0.1:80"));
    assert_eq!(parse_address("[::]:80").map(|a| a.to_string()).as_deref(), Some("[::]:80"));
    assert_eq!(parse_address("8080"), None);
    let two = r#"{ "Listeners": [{ "Name": "a", "Address": "127.0.0.1:80" }, { "Address": "[::1]:80" }] }"#;
    let names: Vec<String> = valid(two, false).listeners.into_iter().map(|l| l.name.to_string()).collect();
    assert_eq!(names, ["a", "[::1]:80"]);
    let duplicates = r#"{ "Listeners": [{ "Address": "127.0.0.1:8081" }] }"#;
    assert_eq!(
        reported_for(duplicates),
        ["MG0602: two of the listeners and the administration use 127.0.0.1:8081"]
    );
    let bad = r#"{ "Listeners": [{ "Address": "here" }, {}], "Administration": { "Address": ":1" } }"#;
    assert_eq!(reported_for(bad).len(), 3);
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let read = valid(
        r#"{ "ForwardedHeaders": { "Headers": ["x-forwarded-for"], "TrustedProxies": ["10.0.0.0/8", "::1"] } }"#,
        true,
    );
    let trusted = read.stages.forwarded_headers.unwrap().proxies;
    assert!(trusted.proxies.contains([10, 1, 2, 3].into()));
    assert!(trusted.trust_for && !trusted.trust_proto && !trusted.trust_host && !trusted.trust_forwarded);
    let bad = r#"{ "ForwardedHeaders": { "Headers": ["X-Forwarded-Fro"], "TrustedProxies": ["proxy"] } }"#;
    let codes: Vec<String> = reported_for(bad).iter().map(|reported| reported[..6].to_owned()).collect();
    assert_eq!(codes, ["MG0604", "MG0605"]);
}

#[test]
fn ocelot_is_the_only_compatibility_mode() {
    assert!(valid(r#"{ "GlobalConfiguration": { "Compatibility": "ocelot" } }"#, false).ocelot);
    assert_eq!(
        reported_for(r#"{ "GlobalConfiguration": { "Compatibility": "YARP" } }"#),
        ["MG0104: unknown Compatibility \"YARP\""]
    );
}

#[test]
fn dns_servers_and_ttl_bounds_are_compiled() {
    let read = valid(r#"{ "Dns": { "Servers": ["127.0.0.1:5353", "::1"], "MaxTtl": "1h" } }"#, false).dns;
    assert_eq!(read.servers, ["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    assert_eq!([read.min_ttl, read.max_ttl, read.timeout].map(|time| time.as_secs()), [1, 3600, 2]);
    for (dns, reported) in [
        (r#""Servers": ["dns.example"]"#, "MG0601: invalid address of a DNS server \"dns.example\""),
        (r#""MinTtl": "0s""#, "MG0603: Dns.MinTtl is 0s"),
        (r#""MinTtl": "10m""#, "MG0603: Dns.MinTtl is longer than Dns.MaxTtl"),
        (r#""Timeout": "1m""#, "MG0603: Dns.Timeout is 1m"),
    ] {
        let (blueprint, all) = self::read(&format!(r#"{{ "Dns": {{ {dns} }} }}"#), false);
        assert!(blueprint.is_none() && all.iter().any(|one| one == reported), "{all:?}");
    }
}
