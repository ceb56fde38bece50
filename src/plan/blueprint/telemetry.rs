//! The telemetry of a configuration.

use crate::stages::access_log::RecordConfig;
pub use crate::telemetry::trace::TracingConfig;
use crate::telemetry::{AccessLogConfig, PushConfig};

/// Access logs, traces and metrics.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// The access logs that every request is written to.
    pub access_logs: Vec<AccessLogConfig>,
    /// What is logged of requests without a route.
    pub record: RecordConfig,
    pub tracing: Option<TracingConfig>,
    pub metrics: MetricsConfig,
}

/// What metrics contain, and where they are sent.
#[derive(Clone, Debug, Default)]
pub struct MetricsConfig {
    /// Routes and clusters without traffic are exported too.
    pub emits_zero: bool,
    /// Histograms have native buckets too.
    pub has_native_histograms: bool,
    pub push: Option<PushConfig>,
}
