//! Access records as log messages.

use super::{
    config::OtlpConfig,
    resource::{attribute, resource, scope, text, unix_ns},
};
use crate::base::date::days_from_civil;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// Fields of a record that are fields of the message, not attributes.
const MESSAGE_FIELDS: [&str; 3] = ["time", "trace_id", "span_id"];

/// The names of the semantic conventions for fields that have one.
const CONVENTIONS: [(&str, &str); 10] = [
    ("method", "http.request.method"),
    ("path", "url.path"),
    ("query", "url.query"),
    ("host", "server.address"),
    ("client_ip", "client.address"),
    ("status", "http.response.status_code"),
    ("error_code", "error.type"),
    ("bytes_in", "http.request.body.size"),
    ("bytes_out", "http.response.body.size"),
    ("user", "user.id"),
];

/// The request that contains these records in their JSON form, and how many cannot be read.
pub(super) fn request(config: &OtlpConfig, lines: &[u8]) -> (ExportLogsServiceRequest, usize) {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let log_records: Vec<LogRecord> = lines.filter_map(message).collect();
    let count = log_records.len();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let resource_logs =
        ResourceLogs { resource: Some(resource(config)), scope_logs, ..ResourceLogs::default() };
    (ExportLogsServiceRequest { resource_logs: vec![resource_logs] }, count)
}

fn message(json: &[u8]) -> Option<LogRecord> {
    let fields: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let is_failure = fields.contains_key("leg");
    let (severity, severity_text) = match is_failure {
        true => (SeverityNumber::Warn, "WARN"),
        false => (SeverityNumber::Info, "INFO"),
    };
    let body = ["method", "path", "status"].map(|name| fields.get(name).map_or_else(String::new, plain));
    let now = unix_ns(SystemTime::now());
    Some(LogRecord {
        time_unix_nano: fields.get("time").and_then(Value::as_str).and_then(parse_time).unwrap_or(now),
        observed_time_unix_nano: now,
        severity_number: severity as i32,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body.join(" "))) }),
        trace_id: hex(&fields, "trace_id"),
        span_id: hex(&fields, "span_id"),
        attributes: attributes(fields),
        event_name: "margay.access".to_owned(),
        ..LogRecord::default()
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn attributes(fields: Map<String, Value>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if MESSAGE_FIELDS.contains(&name.as_str()) {
            continue;
        }
        let convention =
            CONVENTIONS.iter().find(|(field, _)| *field == name).map(|(_, key)| (*key).to_owned());
        match value {
            Value::Object(headers) => {
                let prefix =
                    if name == "request_headers" { "http.request.header" } else { "http.response.header" };
                attributes.extend(
                    headers.iter().map(|(name, value)| text(&format!("{prefix}.{name}"), &plain(value))),
                );
            }
            value => {
                let key = convention.unwrap_or_else(|| format!("margay.{name}"));
                attributes.push(attribute(&key, scalar(&value)));
            }
        }
    }
    attributes
}

fn scalar(value: &Value) -> any_value::Value {
    match value {
        Value::Bool(value) => any_value::Value::BoolValue(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => any_value::Value::IntValue(number),
            None => any_value::Value::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        other => any_value::Value::StringValue(plain(other)),
    }
}

/// The bytes of an id; empty if it is absent.
fn hex(fields: &Map<String, Value>, name: &str) -> Vec<u8> {
    let text = fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let byte = |at| text.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
    (0..text.len()).step_by(2).map_while(byte).collect()
}

/// Nanoseconds of Unix time, from the access log's form of RFC 3339.
fn parse_time(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let secs = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    u64::try_from(secs * 1000 + number(20, 23)?).ok()?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;
    use std::time::Duration;

    #[test]
    fn a_record_becomes_a_message_with_its_time_and_the_conventions() {
        let mut json = Vec::new();
        record().write_json(&mut json);
        let message = message(&json).unwrap();
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_271_589_007);
        assert_eq!(message.time_unix_nano, unix_ns(expected));
        let of = |key: &str| message.attributes.iter().any(|attribute| attribute.key == key);
        for key in ["http.request.method", "url.path", "http.response.status_code", "margay.route"] {
            assert!(of(key), "{key} in {:?}", message.attributes);
        }
        assert_eq!(message.severity_text, "INFO");
    }
}
