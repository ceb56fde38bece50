//! `ServiceFabric` and `ServiceFabricOptions`.

use super::{load, reported};
use crate::backend::fabric::{SourceConfig, route::WhenExhausted};
use crate::config::{Environment, InMemoryFiles, Severity};
use crate::plan::blueprint::Blueprint;
use crate::plan::compile;
use crate::plan::document::load_texts;
use std::path::Path;
use std::time::Duration;

const CLUSTER: &str = r#""r": { "Type": "Cluster", "Endpoints": ["https://c.example:19080"] }"#;

fn document(resolvers: &str, options: &str, more: &str) -> String {
    format!(
        r#"{{ "ServiceFabric": {{ "Resolvers": {{ {resolvers} }} }}, "Routes": [{{ "UpstreamPathTemplate": "/u/{{id}}/{{x}}",
            "DownstreamPathTemplate": "/{{x}}", "ServiceFabricOptions": {{ {options} }} {more} }}] }}"#
    )
}

/// The diagnostics of options with a valid resolver.
fn options(options: &str) -> Vec<String> {
    reported(&document(CLUSTER, options, ""), false)
}

fn blueprint(options: &str) -> Blueprint {
    let mut loaded = load(&document(CLUSTER, options, ""), false);
    compile(&mut loaded).unwrap_or_else(|| panic!("{:?}", loaded.diagnostics.list))
}

#[test]
fn options_have_defaults_and_strict_ones_are_those_of_the_original() {
    let config = |text| blueprint(text).routes[0].fabric.clone().unwrap().config;
    let lenient = config(r#""Services": ["A/*"]"#);
    assert_eq!((lenient.timeout, lenient.max_timeout), (Duration::from_secs(120), Duration::from_secs(600)));
    assert_eq!((lenient.max_attempts, lenient.min_backoff), (Some(5), Duration::from_millis(50)));
    assert_eq!(lenient.when_exhausted, WhenExhausted::LastAnswer);
    let strict = config(r#""Services": ["*"], "Strict": true"#);
    assert_eq!((strict.max_attempts, strict.when_exhausted), (None, WhenExhausted::Timeout));
    assert_eq!(
        strict.removed_response_headers.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["Date", "Server"]
    );
    let single = config(r#""Services": ["*"], "Strict": true, "Attempts": 3, "RemoveResponseHeaders": []"#);
    assert_eq!((single.max_attempts, single.removed_response_headers.len()), (Some(3), 0));
}

#[test]
fn both_ways_of_addressing_exclude_each_other() {
    assert_eq!(options(r#""Services": ["*"]"#), Vec::<String>::new());
    assert_eq!(options(r#""ServiceName": "A/S""#), Vec::<String>::new());
    assert_eq!(options(""), ["MG1506 {  }"]);
    assert_eq!(options(r#""Services": ["*"], "ServiceName": "A/S""#), ["MG1506 [\"*\"]"]);
    assert_eq!(options(r#""Services": ["*"], "PartitionKey": "{id}""#), ["MG1506 \"{id}\""]);
    assert_eq!(options(r#""Services": ["A*"]"#), ["MG1506 \"A*\""]);
    assert_eq!(options(r#""ServiceName": "A/$""#), ["MG1506 \"A/$\""]);
}

#[test]
fn keys_need_a_kind_and_placeholders_of_the_route() {
    let by_route = |more: &str| options(&format!(r#""ServiceName": "A/S", {more}"#));
    assert_eq!(by_route(r#""PartitionKind": "Int64Range", "PartitionKey": "{id}""#), Vec::<String>::new());
    assert_eq!(by_route(r#""PartitionKind": "Named", "PartitionKey": "{header:X}""#), Vec::<String>::new());
    assert_eq!(by_route(r#""PartitionKind": "Named""#), ["MG1506 \"Named\""]);
    assert_eq!(by_route(r#""PartitionKey": "{id}""#), ["MG1506 \"{id}\""]);
    assert_eq!(by_route(r#""PartitionKind": "Named", "PartitionKey": "{no}""#), ["MG1506 \"{no}\""]);
    let hashed = r#""PartitionKind": "Named", "PartitionKey": "{id}", "PartitionHash": "Fnv1a64""#;
    assert_eq!(by_route(hashed), ["MG1506 \"Fnv1a64\""]);
}

#[test]
fn settings_of_other_routes_are_refused() {
    for (setting, value) in [
        ("DownstreamHostAndPorts", r#"[{ "Host": "h", "Port": 1 }]"#),
        ("DownstreamScheme", r#""http""#),
        ("RetryOptions", r#"{ "Attempts": 2 }"#),
        ("LoadBalancerOptions", r#"{ "Type": "RoundRobin" }"#),
        ("PreserveHost", "true"),
    ] {
        let text = document(CLUSTER, r#""Services": ["*"]"#, &format!(r#", "{setting}": {value}"#));
        assert_eq!(reported(&text, false), [format!("MG1507 {value}")], "{setting}");
    }
}

#[test]
fn limits_and_statuses_have_ranges() {
    let with = |more: &str| options(&format!(r#""Services": ["*"], {more}"#));
    assert_eq!(with(r#""Attempts": 0"#), ["MG1506 0"]);
    assert_eq!(with(r#""MaxTimeout": "1ms""#), ["MG1506 \"1ms\""]);
    assert_eq!(with(r#""MinBackoff": "2s", "MaxBackoff": "1s""#), ["MG1506 \"1s\""]);
    assert_eq!(with(r#""MaxBackoff": "20ms", "MinBackoff": "1ms""#), Vec::<String>::new());
    assert_eq!(with(r#""RetryStatuses": { "500": "Always" }"#), ["MG1506 \"500\""]);
    assert_eq!(
        with(r#""RetryStatuses": { "410": "UnlessResourceNotFound" }"#),
        ["MG1506 \"UnlessResourceNotFound\""]
    );
    let timeouts = document(CLUSTER, r#""Services": ["*"], "MaxTimeout": "1s""#, r#", "Timeout": 5"#);
    assert_eq!(reported(&timeouts, false), ["MG1506 \"1s\""]);
}

#[test]
fn the_resolver_is_the_named_one_or_the_only_one() {
    let two = format!(r#"{CLUSTER}, "s": {{ "Type": "Cluster", "Endpoints": ["https://d:1"] }}"#);
    let services = r#""Services": ["A/S"]"#;
    assert_eq!(
        reported(&document(&two, &format!(r#""Resolver": "r", {services}"#), ""), false),
        ["(MG1503) \"s\""]
    );
    let missing = reported(&document(&two, services, ""), false);
    assert!(missing.iter().any(|line| line.starts_with("MG1502")), "{missing:?}");
    assert_eq!(options(r#""Resolver": "t", "Services": ["A/S"]"#), ["(MG1503) \"r\"", "MG1502 \"t\""]);
}

#[test]
fn a_cluster_needs_valid_endpoints_and_its_credentials_need_tls() {
    let cluster = |settings: &str| {
        let resolver = format!(r#""r": {{ "Type": "Cluster", {settings} }}"#);
        let found = reported(&document(&resolver, r#""Services": ["A/S"]"#, ""), false);
        found
            .into_iter()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(cluster(r#""Endpoints": []"#), ["MG1501"]);
    assert_eq!(cluster(r#""Endpoints": ["c:19080"]"#), ["MG1501"]);
    assert_eq!(cluster(r#""Endpoints": ["https://c:1"], "File": "x""#), ["MG1501"]);
    assert_eq!(cluster(r#""Endpoints": ["https://c:1"], "ApiVersion": "2.0""#), ["MG1501"]);
    assert_eq!(cluster(r#""Endpoints": ["https://c:1"], "ServerThumbprints": ["AB"]"#), ["MG1501"]);
    assert_eq!(cluster(r#""Endpoints": ["http://c:1"], "Token": "t""#), ["(MG1509)"]);
    assert_eq!(cluster(r#""Endpoints": ["http://127.0.0.1:1"], "Token": "t""#), Vec::<String>::new());
}

#[test]
fn addresses_of_this_machine_are_refused_unless_the_cluster_is_on_it() {
    let refuses = |endpoint: &str, more: &str| {
        let resolver = format!(r#""r": {{ "Type": "Cluster", "Endpoints": ["{endpoint}"] {more} }}"#);
        let mut loaded = load(&document(&resolver, r#""Services": ["*"]"#, ""), false);
        let resolver = compile(&mut loaded).unwrap().resolvers.remove(0);
        assert!(matches!(resolver.source, SourceConfig::Cluster(_)));
        (resolver.refuses_loopback, resolver.refuses_link_local)
    };
    assert_eq!(refuses("http://127.0.0.1:1", ""), (false, true));
    assert_eq!(refuses("https://c:1", ""), (true, true));
    assert_eq!(refuses("https://c:1", r#", "AllowLocalAddresses": true"#), (false, false));
}

#[test]
fn all_services_on_a_public_listener_are_a_warning() {
    let text = |address: &str| {
        document(CLUSTER, r#""Services": ["*"]"#, "").replacen(
            '{',
            &format!(r#"{{ "Listeners": [{{ "Address": "{address}" }}], "#),
            1,
        )
    };
    assert_eq!(reported(&text("0.0.0.0:80"), false), ["(MG1508) \"*\""]);
    assert_eq!(reported(&text("127.0.0.1:80"), false), Vec::<String>::new());
}

#[test]
fn certificates_follow_a_policy() {
    let with = |policy: &str| {
        let found = options(&format!(r#""Services": ["A/S"], "ServiceCertificates": {{ {policy} }}"#));
        found
            .into_iter()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let thumbprint = "ab ".repeat(20);
    assert_eq!(with(r#""Policy": "None""#), ["(MG1511)"]);
    assert_eq!(
        with(&format!(r#""Policy": "Thumbprints", "Thumbprints": ["{thumbprint}"]"#)),
        Vec::<String>::new()
    );
    assert_eq!(with(r#""Policy": "Thumbprints""#), ["MG1510"]);
    assert_eq!(with(r#""Policy": "NameAndIssuer", "Names": { "n": [] }"#), Vec::<String>::new());
    assert_eq!(with(""), ["MG1510"]);
}

#[test]
fn mistakes_of_a_registry_file_are_reported_with_their_place() {
    let config =
        document(r#""r": { "Type": "Registry", "File": "/services.json" }"#, r#""Services": ["A/S"]"#, "");
    let registry = br#"{ "Applications": [{ "Name": "fabric:/A", "Services": [{ "Name": "A/S" }] }] }"#;
    let read = |path: &Path, _| match path.ends_with("services.json") {
        true => Ok(registry.to_vec()),
        false => Err(std::io::ErrorKind::NotFound.into()),
    };
    let files = [("gateway.json", &*config)];
    let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let mut loaded = load_texts(&files, Environment { variable: &|_| None, read: &read });
    assert!(compile(&mut loaded).is_none());
    let errors: Vec<_> =
        loaded.diagnostics.list.iter().filter(|one| one.severity == Severity::Error).collect();
    assert_eq!(errors.iter().map(|one| one.code.0).collect::<Vec<_>>(), ["MG1504"; 2]);
    assert!(errors[0].message.contains("/Applications/0/Services/0/Name"), "{}", errors[0].message);
}

#[test]
fn the_naming_interface_needs_a_registry() {
    let text = format!(
        r#"{{ "ServiceFabric": {{ "Resolvers": {{ {CLUSTER} }} }}, "Routes": [{{ "UpstreamPathTemplate": "/n/{{x}}",
            "DownstreamPathTemplate": "/{{x}}", "DownstreamService": "ServiceFabricNaming" }}] }}"#
    );
    let mut loaded = load(&text, false);
    assert!(
        crate::plan::compile_with_stages(&mut loaded, &Default::default(), &["ServiceFabricNaming"])
            .is_none()
    );
    let codes: Vec<_> = loaded.diagnostics.list.iter().map(|one| one.code.0).collect();
    assert_eq!(codes, ["MG1506"]);
}
