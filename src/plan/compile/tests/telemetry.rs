//! `AccessLog`, `AccessLogOptions`, `Tracing`, `Metrics` and `Otlp`.

use super::{always, quiet, valid};
use crate::telemetry::access::{FileConfig, LogFormat, OutputConfig, SyslogAddress};
use crate::telemetry::otlp::OtlpProtocol;
use std::time::Duration;

const OTLP: &str = r#""Otlp": { "Endpoint": "http://127.0.0.1:4318" }"#;

/// The diagnostics, without the one about a document that has no routes.
fn reported(text: &str, ocelot: bool) -> Vec<String> {
    let mut all = super::reported(text, ocelot);
    all.retain(|line| !line.starts_with("(MG0313)"));
    all
}

fn whole(settings: &str) -> String {
    format!("{{ {settings} }}")
}

#[test]
fn the_short_form_is_json_on_standard_output() {
    for text in ["true", "\"True\"", "{}"] {
        let logs = valid(&whole(&format!("\"AccessLog\": {text}")), false).telemetry.access_logs;
        assert_eq!(
            (logs.len(), &logs[0].format, &logs[0].output),
            (1, &LogFormat::Json, &OutputConfig::Stdout)
        );
    }
    for text in ["false", "null", r#"{ "Enabled": false, "File": "a.log" }"#] {
        assert!(valid(&whole(&format!("\"AccessLog\": {text}")), false).telemetry.access_logs.is_empty());
    }
}

#[test]
fn a_log_has_one_destination_and_the_collector_may_be_a_second_one() {
    let log = r#""AccessLog": { "File": "/var/a.log", "MaxSize": "1MiB", "MaxFiles": 9, "Format": "Combined", "Otlp": true },"#;
    let logs = valid(&whole(&format!("{log} {OTLP}")), false).telemetry.access_logs;
    let file = FileConfig { path: "/var/a.log".into(), max_bytes: Some(1 << 20), max_files: 9 };
    assert_eq!((&logs[0].format, &logs[0].output), (&LogFormat::Combined, &OutputConfig::File(file)));
    assert!(matches!(logs[1].output, OutputConfig::Otlp(_)) && logs.len() == 2);
    let only =
        valid(&whole(&format!("\"AccessLog\": {{ \"Otlp\": true }}, {OTLP}")), false).telemetry.access_logs;
    assert!(matches!(only[0].output, OutputConfig::Otlp(_)) && only.len() == 1);
    let syslog = r#""AccessLog": { "Syslog": "udp:logs.example:514", "SyslogFacility": "Daemon" }"#;
    let logs = valid(&whole(syslog), false).telemetry.access_logs;
    let OutputConfig::Syslog(syslog) = &logs[0].output else { panic!("{logs:?}") };
    assert_eq!((&syslog.address, syslog.facility), (&SyslogAddress::Udp("logs.example:514".into()), 3));
}

#[test]
fn invalid_access_logs_are_refused() {
    for (settings, expected) in [
        (r#""AccessLog": "yes""#, r#"MG1240 "yes""#),
        (r#""AccessLog": { "File": "a", "Syslog": "unix:/dev/log" }"#, r#"MG1240 "unix:/dev/log""#),
        (r#""AccessLog": { "Template": "{{ path }}", "Format": "Json" }"#, r#"MG1240 "Json""#),
        (r#""AccessLog": { "MaxSize": "1MiB" }"#, r#"MG1240 "1MiB""#),
        (r#""AccessLog": { "File": "a", "MaxSize": "1KiB" }"#, r#"MG1240 "1KiB""#),
        (r#""AccessLog": { "File": "a", "MaxFiles": 0 }"#, "MG1240 0"),
        (r#""AccessLog": { "AppName": "a" }"#, r#"MG1240 "a""#),
        (r#""AccessLog": { "Template": "{{ path" }"#, r#"MG1241 "{{ path""#),
        (r#""AccessLog": { "Template": "{{ paht }}" }"#, r#"MG1241 "{{ paht }}""#),
        (r#""AccessLog": { "Syslog": "tcp:host:514" }"#, r#"MG1242 "tcp:host:514""#),
        (r#""AccessLog": { "Syslog": "udp:host" }"#, r#"MG1242 "udp:host""#),
        (r#""AccessLog": { "Syslog": "unix:/a", "SyslogFacility": "none" }"#, r#"MG1242 "none""#),
        (r#""AccessLog": { "Otlp": true }"#, "MG1245 true"),
    ] {
        assert_eq!(reported(&whole(settings), false), [expected], "{settings}");
    }
}

#[test]
fn options_of_routes_are_checked() {
    quiet(r#""AccessLogOptions": { "SampleRatio": 0.5, "Query": "Log", "RequestHeaders": ["User-Agent"] }"#);
    always(r#""AccessLogOptions": { "SampleRatio": 2 }"#, "MG1243 2");
}

#[test]
fn global_options_apply_to_requests_without_a_route_unless_they_list_routes() {
    let global = |options: &str| {
        valid(&whole(&format!("\"GlobalConfiguration\": {{ \"AccessLogOptions\": {{ {options} }} }}")), false)
            .telemetry
            .record
            .policy
    };
    assert!(global(r#""User": true"#).logs_user);
    assert!(!global(r#""User": true, "RouteKeys": ["a"]"#).logs_user);
}

#[test]
fn the_collector_is_compiled_and_checked() {
    let otlp = r#""Metrics": { "Otlp": true, "OtlpInterval": "5s", "EmitZero": true }, "Otlp": { "Endpoint": "https://c:4317/x/",
        "Protocol": "Grpc", "Timeout": "1s", "QueueSize": 100, "Headers": { "a": "b" }, "ServiceName": "edge" }"#;
    let metrics = valid(&whole(otlp), false).telemetry.metrics;
    let (collector, interval) = metrics.push.unwrap();
    assert_eq!((interval, metrics.emits_zero), (Duration::from_secs(5), true));
    assert_eq!((collector.protocol, collector.timeout), (OtlpProtocol::Grpc, Duration::from_secs(1)));
    assert_eq!((collector.queue_capacity, collector.service_name.as_str()), (100, "edge"));
    assert!(!format!("{collector:?}").contains("\"b\""), "values of headers are secrets");
    for (settings, expected) in [
        (r#""Otlp": {}"#, "MG1244 {}"),
        (r#""Otlp": { "Endpoint": "collector:4317" }"#, r#"MG1244 "collector:4317""#),
        (r#""Otlp": { "Endpoint": "http://a/?b" }"#, r#"MG1244 "http://a/?b""#),
        (r#""Otlp": { "Endpoint": "http://127.0.0.1", "Timeout": "1h" }"#, r#"MG1244 "1h""#),
        (r#""Otlp": { "Endpoint": "http://127.0.0.1", "QueueSize": 1 }"#, "MG1244 1"),
        (r#""Otlp": { "Endpoint": "http://127.0.0.1", "Headers": { "a b": "c" } }"#, r#"MG1244 "a b""#),
        (r#""Otlp": { "Endpoint": "http://a", "Headers": { "a": "c" } }"#, r#"(MG1247) { "a": "c" }"#),
        (r#""Metrics": { "Otlp": true }"#, "MG1245 true"),
        (r#""Metrics": { "OtlpInterval": "5s" }"#, r#"MG1248 "5s""#),
    ] {
        assert_eq!(reported(&whole(settings), false), [expected], "{settings}");
    }
}

#[test]
fn tracing_needs_a_collector_and_the_trace_context() {
    assert_eq!(
        reported(r#"{ "Tracing": { "SampleRatio": 0.1 } }"#, false),
        [r#"MG1245 { "SampleRatio": 0.1 }"#]
    );
    let off = format!(r#"{{ "Tracing": {{}}, "TraceContext": "Off", {OTLP} }}"#);
    assert_eq!(reported(&off, false), [r#"MG1246 "Off""#]);
    let wrong = format!(r#"{{ "Tracing": {{ "SampleRatio": -1 }}, {OTLP} }}"#);
    assert_eq!(reported(&wrong, false), ["MG1243 -1"]);
    let ocelot = valid(&format!(r#"{{ "Tracing": {{}}, {OTLP} }}"#), true);
    assert!(ocelot.stages.trace_context.is_some() && ocelot.telemetry.tracing.is_some());
}
