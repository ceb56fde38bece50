//! `Tunnels`, hosts that name agents, and routes of their services.

use super::load;
use crate::{config::codes, plan::compile_with_stages};
use std::time::Duration;

const KEY: &str = "bWFyZ2F5LXR1bm5lbC1rZXktMDEyMzQ1Njc4OWFiY2Q=";
const SERVICES: &[&str] = &["Agents", "DeviceStreams"];
const OTHER: &str = "b3RoZXItdHVubmVsLWtleS0wMTIzNDU2Nzg5YWJjZGVm";

/// A document with a policy, an agent with these settings, and a route to this host.
fn document(agent: &str, host: &str) -> String {
    format!(
        r#"{{ "Tunnels": {{
               "Policies": {{ "service": {{ "Rights": ["ServiceConnect"], "Keys": ["{OTHER}", ""] }} }},
               "Agents": {{ "dev1": {{ {agent} }}, "cam*": {{ "Subjects": ["ann"] }} }} }},
             "Listeners": [{{ "Address": "127.0.0.1:8080" }}],
             "Routes": [
               {{ "UpstreamPathTemplate": "/_agents", "DownstreamPathTemplate": "/", "DownstreamService": "Agents" }},
               {{ "UpstreamPathTemplate": "/{{id}}/{{rest}}", "DownstreamPathTemplate": "/{{rest}}",
               "DownstreamScheme": "http", "DownstreamHostAndPorts": [{{ {host} }}] }}] }}"#
    )
}

fn faults(text: &str) -> Vec<&'static str> {
    let mut loaded = load(text, false);
    let _ = compile_with_stages(&mut loaded, &Default::default(), SERVICES);
    let all = loaded.diagnostics.list.iter().filter(|fault| fault.code != codes::NO_ROUTES);
    all.map(|fault| fault.code.0).collect()
}

fn keys() -> String {
    format!(r#""Keys": ["{KEY}"]"#)
}

#[test]
fn agents_have_defaults_and_their_own_limits() {
    let own = r#", "Services": ["ssh"], "Limits": { "IdleTimeout": "1m", "BytesPerSecond": "64KiB" }"#;
    let text = document(&(keys() + own), r#""Host": "agent:dev1/ssh""#);
    let compiled = compile_with_stages(&mut load(&text, false), &Default::default(), SERVICES);
    let tunnels = compiled.expect("no errors").tunnels;
    let agent = tunnels.agent("dev1").unwrap();
    assert!(agent.is_enabled && agent.allows_service("ssh") && !agent.allows_service("http"));
    assert_eq!((agent.instances, agent.limits.max_streams_per_agent), (1, 256));
    assert_eq!(agent.limits.idle_timeout, Duration::from_secs(60));
    assert_eq!(agent.limits.bytes_per_second, Some(64 << 10));
    assert_eq!(tunnels.policy("service").unwrap().keys.len(), 1, "an empty text is no key");
    assert_eq!(tunnels.agent("cam7").unwrap().label(), "cam*");
    assert!(tunnels.agent("dev2").is_none());
}

#[test]
fn hosts_of_agents_are_checked() {
    for host in ["agent:dev1/ssh", "agent:cam7/http", "agent:{id}/http", "agent:cam{id}/http"] {
        assert_eq!(faults(&document(&keys(), &format!(r#""Host": "{host}""#))), [""; 0], "{host}");
    }
    for (host, code) in [
        (r#""Host": "agent:dev2/ssh""#, "MG1608"),
        (r#""Host": "agent:dev1""#, "MG1607"),
        (r#""Host": "agent:dev1/a b""#, "MG1607"),
        (r#""Host": "agent:dev1/{id}""#, "MG1607"),
        (r#""Host": "agent:dev1/ssh", "Port": 22"#, "MG1607"),
        (r#""Host": "agent:{other}/ssh""#, codes::UNKNOWN_PLACEHOLDER.0),
        (r#""Host": "agent:till{id}/ssh""#, "MG1608"),
    ] {
        assert_eq!(faults(&document(&keys(), host)), [code], "{host}");
    }
}

#[test]
fn invalid_agents_are_reported() {
    for (agent, code) in [
        ("", "MG1603"),
        (r#""Keys": ["short"]"#, "MG1602"),
        (r#""Subjects": ["a"], "Connect": ["policy:none"]"#, "MG1605"),
        (r#""Subjects": ["a"], "Connect": ["nonsense"]"#, "MG1605"),
        (r#""Subjects": ["a"], "Services": ["a b"]"#, "MG1601"),
        (r#""Certificates": ["12"]"#, "MG1601"),
        (r#""Subjects": ["a"], "Instances": 0"#, "MG1601"),
        (r#""Subjects": ["a"], "Limits": { "MaxAgents": 1 }"#, "MG1611"),
        (r#""Subjects": ["a"], "Limits": { "IdleTimeout": "1ms" }"#, "MG1611"),
    ] {
        let found = faults(&document(agent, r#""Host": "agent:cam7/http""#));
        assert!(found.contains(&code), "{agent}: {found:?}");
    }
    let shared = document(&format!(r#""Keys": ["{OTHER}"]"#), r#""Host": "agent:dev1/ssh""#);
    assert_eq!(faults(&shared), ["MG1604"], "the key of a policy");
    let unused = document(&(keys() + r#", "Connect": ["routes"]"#), r#""Host": "agent:dev1/ssh""#);
    let unused = unused.replace(r#""Subjects": ["ann"]"#, r#""Subjects": ["ann"], "Connect": ["routes"]"#);
    assert_eq!(faults(&unused), ["MG1606"]);
}

#[test]
fn listeners_of_devices_need_device_streams_and_tls() {
    let listener = |address: &str, more: &str| {
        format!(
            r#"{{ "Listeners": [{{ "Address": "{address}", "Protocol": "Mqtt"{more} }},
                    {{ "Name": "web", "Address": "127.0.0.1:8080" }}],
                  "Routes": [{{ "UpstreamPathTemplate": "/{{all}}", "DownstreamPathTemplate": "/{{all}}",
                    "Listeners": ["web"], "DownstreamService": "DeviceStreams" }}],
                  "Tunnels": {{ "Agents": {{ "dev1": {{ {} }} }},
                    "DeviceStreams": {{ "HostNames": ["hub"], "PublicUrl": "wss://hub" }} }} }}"#,
            keys()
        )
    };
    assert_eq!(faults(&listener("127.0.0.1:1883", "")), [""; 0]);
    assert_eq!(faults(&listener("0.0.0.0:1883", "")), ["MG1610"]);
    assert_eq!(faults(&listener("0.0.0.0:1883", r#", "BehindTls": true"#)), [""; 0]);
    let without = listener("127.0.0.1:1883", "").replace("\"DeviceStreams\":", "\"DeviceStream\":");
    assert!(faults(&without).contains(&"MG1609"));
    let invalid = listener("127.0.0.1:1883", "").replace("wss://hub", "https://hub");
    assert_eq!(faults(&invalid), ["MG1612"]);
}

#[test]
fn a_service_to_which_no_request_gets_is_a_warning() {
    let services = keys() + r#", "Services": ["ssh"]"#;
    for (agent, host, codes) in [
        (&services, "agent:dev1/ssh", &[][..]),
        (&services, "agent:dev1/http", &["MG1613"]),
        (&services, "agent:dev{id}/http", &["MG1613"]),
        // The pattern cam* has all services.
        (&services, "agent:{id}/http", &[]),
        (&(keys() + r#", "Services": ["a", " * "]"#), "agent:dev1/http", &[]),
        (&(keys() + r#", "Connect": ["policy:service"]"#), "agent:dev1/http", &["MG1613"]),
        (&(keys() + r#", "Connect": ["routes"]"#), "agent:dev1/http", &[]),
        (&(keys() + r#", "Connect": ["*"]"#), "agent:dev1/http", &[]),
    ] {
        let text = document(agent, &format!(r#""Host": "{host}""#));
        assert_eq!(faults(&text), codes, "{agent} {host}");
        assert!(!load(&text, false).diagnostics.has_errors(), "{agent} {host}");
    }
}

#[test]
fn tunnels_without_an_entrance_are_reported() {
    let whole = document(&keys(), r#""Host": "agent:dev1/ssh""#);
    assert_eq!(faults(&whole), [""; 0]);
    let without = whole.replace(
        r#""DownstreamService": "Agents""#,
        r#""DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "a", "Port": 80 }]"#,
    );
    assert_eq!(faults(&without), ["MG1614"]);
    let put =
        whole.replace(r#""DownstreamService""#, r#""UpstreamHttpMethod": ["PUT"], "DownstreamService""#);
    assert_eq!(faults(&put), ["MG1615"]);
    let streams = r#""DeviceStreams": { "HostNames": ["hub"], "PublicUrl": "wss://hub" }, "Policies""#;
    let no_bridges = whole.replace(r#""Policies""#, streams);
    assert_eq!(faults(&no_bridges), ["MG1614"]);
    let route = |methods: &str| {
        let route = format!(
            r#""Routes": [{{ "UpstreamPathTemplate": "/{{all}}", "DownstreamPathTemplate": "/{{all}}", "UpstreamHost": "hub",
               "UpstreamHttpMethod": [{methods}], "DownstreamService": "DeviceStreams" }},"#
        );
        no_bridges.replace(r#""Routes": ["#, &route)
    };
    assert_eq!(faults(&route(r#""GET", "POST""#)), [""; 0]);
    assert_eq!(faults(&route(r#""GET""#)), ["MG1615"]);
    assert_eq!(faults(&route(r#""PUT""#)), ["MG1615", "MG1615"]);
}
