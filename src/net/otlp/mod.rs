//! The connection to an OpenTelemetry collector: OTLP over HTTP with protobuf, through the gateway's own HTTP client, or
//! over gRPC (crate `tonic`).
//!
//! Entry point: [`connect`], which `plan::process_state` passes to the exporters of `telemetry`. A connection belongs to
//! the thread of its exporter, which it may block, and has its own runtime.

mod grpc;
mod http;
mod rejected;

use crate::telemetry::otlp::{Collector, OtlpConfig, OtlpProtocol};
use grpc::GrpcCollector;
use http::HttpCollector;

/// Prepares a connection, which is opened by the first call.
///
/// # Errors
///
/// A sentence for the operator.
pub fn connect(config: &OtlpConfig) -> Result<Box<dyn Collector>, String> {
    let prepared: Result<Box<dyn Collector>, String> = match config.protocol {
        OtlpProtocol::HttpProtobuf => HttpCollector::new(config).map(|collector| Box::new(collector) as _),
        OtlpProtocol::Grpc => GrpcCollector::new(config).map(|collector| Box::new(collector) as _),
    };
    prepared.map_err(|error| format!("cannot use the collector {}: {error}", config.endpoint))
}
