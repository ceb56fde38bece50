use super::*;
use crate::{
    config::Diagnostics,
    pipeline::{exchange::Peer, record::QueryPolicy, response::Response},
    stages::testing::merged,
    telemetry::ClientAddressPolicy,
};
use std::time::Instant;

fn compiled(options: &str) -> (RecordConfig, Diagnostics) {
    let options: AccessLogOptions = merged(None, Some(options), None).unwrap();
    let mut diagnostics = Diagnostics::default();
    (record_config(&options, &mut diagnostics), diagnostics)
}

fn recorded(config: &RecordConfig, is_enabled: bool) -> Box<Exchange> {
    let from = "10.0.0.1:1".parse().unwrap();
    let mut exchange = Box::new(Exchange::new(Peer::new(from, from, false), 0, Instant::now()));
    exchange.request = Head::request(b"GET", b"/");
    exchange.request.append(b"User-Agent", b"curl");
    exchange.request.append(b"Authorization", b"Bearer secret");
    exchange.request.append(b"X-Token", b"secret");
    exchange.record.enabled = is_enabled;
    let stage = RecordStage(config.clone());
    stage.on_request(&mut exchange);
    let mut response = Response::local(200, "text/plain", "");
    response.head.append(b"Set-Cookie", b"secret");
    stage.on_response(&mut exchange, &mut Ok(response));
    exchange
}

#[test]
fn listed_headers_are_recorded_and_secrets_never() {
    let (config, diagnostics) = compiled(
        r#"{ "RequestHeaders": ["User-Agent", "Authorization", "X-Token"], "ResponseHeaders": ["set-cookie"],
            "RedactedHeaders": ["x-token"] }"#,
    );
    assert!(!diagnostics.has_errors());
    let exchange = recorded(&config, true);
    let request: Vec<_> = exchange.record.request_headers.iter().collect();
    let redacted = &b"[redacted]"[..];
    assert_eq!(request, [("user-agent", &b"curl"[..]), ("authorization", redacted), ("x-token", redacted)]);
    assert_eq!(exchange.record.response_headers.get("set-cookie"), Some(redacted));
}

#[test]
fn nothing_is_recorded_without_a_log_and_without_subscribers() {
    let (config, _) = compiled(r#"{ "RequestHeaders": ["User-Agent"] }"#);
    let exchange = recorded(&config, false);
    assert!(exchange.record.request_headers.is_empty() && exchange.record.response_headers.is_empty());
}

#[test]
fn options_become_the_policy_of_the_record() {
    let (config, diagnostics) = compiled(
        r#"{ "SampleRatio": 0.5, "Query": "Redact", "ClientAddress": "Truncate", "User": true, "Enabled": false }"#,
    );
    assert!(!diagnostics.has_errors());
    let expected = RecordPolicy {
        is_logged: false,
        sample: u32::MAX / 2,
        query: QueryPolicy::Redact,
        client_address: ClientAddressPolicy::Truncate,
        logs_user: true,
    };
    assert_eq!(recorded(&config, true).record.policy, expected);
}

#[test]
fn invalid_options_are_refused() {
    for options in
        [r#"{ "SampleRatio": 1.5 }"#, r#"{ "SampleRatio": -1 }"#, r#"{ "RequestHeaders": ["a b"] }"#]
    {
        let (_, diagnostics) = compiled(options);
        assert!(diagnostics.has_errors(), "{options}");
    }
}
