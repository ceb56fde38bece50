//! Circuit breakers, timeouts and retries: how they are compiled, and their diagnostics.

use super::*;
use crate::backend::attempt::{
    ResilienceConfig, Scope,
    breaker::{self, Trip},
    retry::BudgetConfig,
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn settings(text: &str, ocelot: bool) -> ResilienceConfig {
    valid(&with(text), ocelot).routes[0].attempts.clone()
}

fn circuit(options: &str, ocelot: bool) -> Option<breaker::BreakerConfig> {
    settings(&format!(r#""QoSOptions": {options}"#), ocelot).quality?.breaker
}

fn in_a_row(min: u32, pause: u32, forgiving: bool) -> Option<breaker::BreakerConfig> {
    Some(breaker::BreakerConfig {
        trip: Trip::ConsecutiveFailures(min),
        open_duration: pause * MS,
        late_success_closes: forgiving,
    })
}

#[test]
fn under_ocelot_out_of_range_values_become_its_defaults() {
    assert_eq!(circuit(r#"{ "MinimumThroughput": 3, "BreakDuration": 501 }"#, true), in_a_row(3, 501, true));
    assert_eq!(
        circuit(r#"{ "MinimumThroughput": 1, "BreakDuration": 500 }"#, true),
        in_a_row(100, 5000, true)
    );
    assert_eq!(
        circuit(r#"{ "Timeout": 50 }"#, true),
        in_a_row(100, 5000, true),
        "a timeout enables the circuit breaker"
    );
    assert_eq!(circuit(r#"{ "MinimumThroughput": 0, "BreakDuration": 900 }"#, true), None, "off");
    assert_eq!(
        circuit(r#"{ "FailureRatio": 7.0, "SamplingDuration": 500 }"#, true).map(|circuit| circuit.trip),
        Some(Trip::FailureRatio { min_requests: 100, ratio: 0.5, window: 10_000 * MS })
    );
    let limit = |ms: &str| {
        settings(&format!(r#""QoSOptions": {{ "Timeout": {ms} }}"#), true).quality.and_then(|q| q.timeout)
    };
    assert_eq!([limit("11"), limit("10"), limit("1")], [Some(11 * MS), Some(30_000 * MS), Some(30_000 * MS)]);
    assert_eq!(reported(&with(r#""QoSOptions": { "MinimumThroughput": 1 }"#), true), ["(MG0450) 1"]);
}

#[test]
fn our_own_values_are_used_as_written() {
    assert_eq!(
        circuit(r#"{ "MinimumThroughput": 1, "BreakDuration": 100 }"#, false),
        in_a_row(1, 100, false)
    );
    assert_eq!(circuit(r#"{ "Timeout": 50 }"#, false), None, "a limit alone");
    lenient(r#""QoSOptions": { "FailureRatio": 1.5 }"#, "MG0450 1.5");
    assert_eq!(reported(&with(r#""QoSOptions": { "MinimumThroughput": -1 }"#), false), ["MG0450 -1"]);
    let scope = |scope: &str| format!(r#""QoSOptions": {{ "MinimumThroughput": 2, "Scope": "{scope}" }}"#);
    assert_eq!(settings(&scope("Endpoint"), false).quality.map(|q| q.scope), Some(Scope::Endpoint));
    always(&scope("Everything"), r#"MG0450 "Everything""#);
}

#[test]
fn legacy_names_take_precedence_and_the_global_group_is_inherited() {
    let text = r#""QoSOptions": { "ExceptionsAllowedBeforeBreaking": 2, "MinimumThroughput": 9, "DurationOfBreak": 700 }"#;
    assert_eq!(
        valid(&with(text), true).routes[0].attempts.quality.clone().and_then(|q| q.breaker),
        in_a_row(2, 700, true)
    );
    let global = r#"{ "QoSOptions": { "MinimumThroughput": 4 }, "RetryOptions": { "Attempts": 4 } }"#;
    let both = valid(&document(&route(r#""RetryOptions": { "MaxBackoff": "2s" }"#), global), false);
    let settings = &both.routes[0].attempts;
    assert_eq!(settings.quality.clone().and_then(|quality| quality.breaker), in_a_row(4, 5000, false));
    let retry = settings.retry.as_ref().expect("retries");
    assert_eq!((retry.max_attempts, retry.base_backoff, retry.max_backoff), (4, 25 * MS, 2000 * MS));
}

#[test]
fn the_timeout_of_one_attempt_is_less_than_that_of_all() {
    lenient(r#""Timeout": 1, "QoSOptions": { "Timeout": 1000 }"#, "MG0451 1000");
    let route = valid(&with(r#""Timeout": 1, "QoSOptions": { "Timeout": 1500 }"#), true);
    assert_eq!(route.routes[0].timeout.value, 3000 * MS);
    always(r#""Timeout": "2s", "RetryOptions": { "PerTryTimeout": "2s" }"#, r#"MG0451 "2s""#);
    quiet(r#""Timeout": "2s", "RetryOptions": { "PerTryTimeout": "600ms" }"#);
}

#[test]
fn retries_have_sensible_defaults() {
    assert_eq!(settings("", false).retry, None);
    let retry = settings(r#""RetryOptions": { "EnableRetry": true }"#, false).retry.expect("retries");
    assert!(retry.on_connect && retry.on_reset && retry.on_timeout && retry.honor_retry_after);
    assert_eq!((retry.max_attempts, retry.statuses, retry.methods), (3, vec![502, 503, 504], None));
    assert_eq!(
        (retry.max_replay_bytes, retry.budget),
        (64 << 10, Some(BudgetConfig { min_retries: 10, retry_ratio: 0.2 }))
    );
    assert_eq!(settings(r#""RetryOptions": { "EnableRetry": false, "Attempts": 2 }"#, false).retry, None);
    let off = settings(r#""RetryOptions": { "EnableBudget": false, "On": ["reset"] }"#, false)
        .retry
        .expect("retries");
    assert_eq!((off.budget, off.on_connect, off.on_reset), (None, false, true));
}

#[test]
fn invalid_retry_options_are_reported() {
    let refused = |options: &str, place: &str| {
        always(&format!(r#""RetryOptions": {{ {options} }}"#), &format!("MG0452 {place}"));
    };
    refused(r#""Attempts": 0"#, "0");
    refused(r#""Attempts": 11"#, "11");
    refused(r#""On": ["Refused"]"#, r#""Refused""#);
    refused(r#""OnStatus": [200]"#, "200");
    refused(r#""OnGrpcStatus": ["UNAVAILABEL"]"#, r#""UNAVAILABEL""#);
    refused(r#""OnGrpcStatus": ["0"]"#, r#""0""#);
    refused(r#""Methods": ["G T"]"#, r#""G T""#);
    refused(r#""PerTryTimeout": "0s""#, r#""0s""#);
    refused(r#""MinBackoff": "2s", "MaxBackoff": "1s""#, r#""1s""#);
    refused(r#""MaxReplaySize": "17MiB""#, r#""17MiB""#);
    refused(r#""BudgetRatio": -1"#, "-1");
    refused(r#""BudgetMinimum": -1"#, "-1");
    refused(r#""On": [], "OnStatus": []"#, "[]");
    always(r#""DeadlineHeader": "Content-Length""#, r#"MG0329 "Content-Length""#);
    let grpc = settings(r#""RetryOptions": { "OnGrpcStatus": ["unavailable", "8"] }"#, false)
        .retry
        .expect("retries");
    assert_eq!(grpc.grpc_codes, [14, 8]);
}
