//! Attributes, and the resource that describes this process.

use super::config::OtlpConfig;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// An attribute.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// An attribute with a text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// The resource of all messages.
pub(super) fn resource(config: &OtlpConfig) -> Resource {
    let mut attributes = vec![
        text("service.name", &config.service_name),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("telemetry.sdk.name", "margay"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    attributes.extend(config.resource_attributes.iter().map(|(key, value)| text(key, value)));
    Resource { attributes, ..Resource::default() }
}

/// The instrumentation scope of all messages.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "margay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Nanoseconds of Unix time.
pub(super) fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
