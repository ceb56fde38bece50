//! OTLP, the protocol of the OpenTelemetry collector: traces, metrics and access records as its messages (crate
//! `opentelemetry-proto`). The connection is in `net/otlp`.
//!
//! Each signal has its own thread, so that a collector that is slow for one of them delays no other: [`start_tracer`],
//! [`MetricsPusher`], and [`OtlpLogOutput`] on the thread of its access log. All queues are bounded; what does not fit and
//! what the collector does not accept is dropped and counted.

mod collector;
pub mod config;
mod log_output;
mod logs;
mod metrics;
mod pusher;
mod resource;
mod spans;
mod trace_exporter;

pub use collector::{Collector, ConnectFn};
pub use config::{OtlpConfig, OtlpProtocol};
pub use log_output::OtlpLogOutput;
pub use pusher::MetricsPusher;
pub use trace_exporter::start_tracer;
