//! `AccessLog`, `Tracing`, `Metrics` and `Otlp`.

use crate::base::units::{DurationText, SizeText};
use crate::config::de::TEXT_OR_OBJECT_NEWTYPE;
use crate::config::values::{Setting, StringList};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// `true`, `false`, or an object.
#[derive(Clone, Debug)]
pub enum AccessLogDocument {
    Text(String),
    Form(Box<AccessLogForm>),
}

impl Default for AccessLogDocument {
    fn default() -> Self {
        AccessLogDocument::Text("false".to_owned())
    }
}

/// Where access records are written, and in which form. Without `File` and `Syslog` they are written to standard output,
/// or only sent to the collector if `Otlp` is true.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AccessLogForm {
    /// Whether requests are logged. Default: true.
    pub enabled: Setting<bool>,
    /// `"Json"` (one object per line) or `"Combined"` (the combined format of Apache and nginx, followed by the duration in
    /// microseconds, the error code and the route). Default: `"Json"`.
    pub format: Setting<AccessLogFormat>,
    /// A Jinja template that renders each line, in place of `Format`; its variables are the fields of the JSON form. Default:
    /// none.
    pub template: Setting<String>,
    /// The file that lines are appended to; a relative path is resolved against the configuration file. SIGUSR1 opens it
    /// again. Default: standard output.
    pub file: Setting<String>,
    /// The size at which the file is rotated: it is renamed to `FILE.1`, and that to `FILE.2`. 64KiB to 1TiB. Default:
    /// `100MiB`.
    pub max_size: Setting<SizeText>,
    /// How many rotated files are kept. 1 to 1000. Default: 5.
    pub max_files: Setting<i64>,
    /// A syslog server (RFC 5424) that gets each line as a datagram: `unix:/dev/log` or `udp:host:port`. Default: none.
    pub syslog: Setting<String>,
    /// The syslog facility. Default: `local0`.
    pub syslog_facility: Setting<String>,
    /// The name of the application in syslog. Default: `margay`.
    pub app_name: Setting<String>,
    /// Whether records are sent to the OpenTelemetry collector in `Otlp` too. Default: false.
    pub otlp: Setting<bool>,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum AccessLogFormat {
    #[default]
    Json,
    Combined,
}

impl<'de> Deserialize<'de> for AccessLogDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR_OBJECT_NEWTYPE, AccessLogVisitor)
    }
}

struct AccessLogVisitor;

impl<'de> Visitor<'de> for AccessLogVisitor {
    type Value = AccessLogDocument;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("true, false or an object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AccessLogDocument, E> {
        Ok(AccessLogDocument::Text(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<AccessLogDocument, D::Error> {
        AccessLogForm::deserialize(deserializer).map(|form| AccessLogDocument::Form(Box::new(form)))
    }
}

impl JsonSchema for AccessLogDocument {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "AccessLogDocument".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let form = generator.subschema_for::<AccessLogForm>();
        schemars::json_schema!({ "anyOf": [{ "type": "boolean" }, form] })
    }
}

/// Distributed tracing: which requests are traced. The spans are sent to the collector in `Otlp`.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TracingDocument {
    /// The share of traces that begin here and are sampled, by the trace id as OpenTelemetry defines it. 0 to 1. Default: 1.
    pub sample_ratio: Setting<f64>,
    /// Whether a request that continues a trace is sampled if its `traceparent` is; otherwise `SampleRatio` decides for it
    /// too. Default: true.
    pub parent_based: Setting<bool>,
    /// Stages that take at least this long have a span of their own. 0s to 1m. Default: `1ms`.
    pub slow_stage: Setting<DurationText>,
}

/// What metrics contain, and where they are sent.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MetricsDocument {
    /// Whether routes and clusters without traffic are exported, with zeros. Default: false.
    pub emit_zero: Setting<bool>,
    /// Whether histograms have native buckets too (eight per power of two), for Prometheus with
    /// `--enable-feature=native-histograms`. Each worker keeps up to 5 KiB more per route. Default: false.
    pub native_histograms: Setting<bool>,
    /// Whether metrics are sent to the OpenTelemetry collector in `Otlp`. Default: false.
    pub otlp: Setting<bool>,
    /// The interval at which they are sent. 1s to 1h. Default: `60s`.
    pub otlp_interval: Setting<DurationText>,
}

/// The OpenTelemetry collector that gets traces, metrics and logs.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct OtlpDocument {
    /// Its URL, such as `http://127.0.0.1:4318` or, with `"Protocol": "Grpc"`, `http://127.0.0.1:4317`. The paths
    /// `/v1/traces`, `/v1/metrics` and `/v1/logs` are appended for HTTP. Required.
    pub endpoint: Setting<String>,
    /// `"HttpProtobuf"` or `"Grpc"`. Default: `"HttpProtobuf"`.
    pub protocol: Setting<OtlpProtocolDocument>,
    /// Headers of every request, such as a token. Default: `{}`.
    pub headers: StringList,
    /// The certificate authorities that the collector's certificate may be issued by, a PEM file. Default: those of the
    /// system.
    pub ca_file: Setting<String>,
    /// Time limit of a request; what it contains is dropped and counted then. 100ms to 1m. Default: `10s`.
    pub timeout: Setting<DurationText>,
    /// How many traces wait for the collector; more are dropped and counted. 64 to 1000000. Default: 2048.
    pub queue_size: Setting<i64>,
    /// The resource attribute `service.name`. Default: `margay`.
    pub service_name: Setting<String>,
    /// More resource attributes, such as `deployment.environment.name`. Default: `{}`.
    pub resource_attributes: StringList,
}

/// The protocol of the collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum OtlpProtocolDocument {
    #[default]
    HttpProtobuf,
    Grpc,
}
