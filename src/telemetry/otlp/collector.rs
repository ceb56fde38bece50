//! What exporters need of a connection to a collector.

use super::config::OtlpConfig;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

/// A connection to a collector. Its calls block, at most for the timeout, and return how many items the collector
/// rejected.
pub trait Collector: Send {
    /// Sends spans.
    ///
    /// # Errors
    ///
    /// The reason.
    fn send_traces(&mut self, request: ExportTraceServiceRequest) -> Result<u64, String>;

    /// Sends data points.
    ///
    /// # Errors
    ///
    /// The reason.
    fn send_metrics(&mut self, request: ExportMetricsServiceRequest) -> Result<u64, String>;

    /// Sends log records.
    ///
    /// # Errors
    ///
    /// The reason.
    fn send_logs(&mut self, request: ExportLogsServiceRequest) -> Result<u64, String>;
}

/// Prepares a connection; it is opened by the first call.
pub type ConnectFn = fn(&OtlpConfig) -> Result<Box<dyn Collector>, String>;
