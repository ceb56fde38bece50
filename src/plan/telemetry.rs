//! The telemetry of a plan: its access logs, its tracer, and what is sent to a collector.

use super::blueprint::telemetry::TelemetryConfig;
use crate::{
    stages::access_log::RecordConfig,
    telemetry::{AccessLog, TelemetryState, otlp::MetricsPusher, trace::Tracer},
};
use std::sync::Arc;

/// Access logs, traces and metrics.
#[derive(Debug)]
pub struct PlanTelemetry {
    /// The access logs that every request is written to.
    pub access_logs: Box<[Arc<AccessLog>]>,
    /// Whether an access log contains `Referer` and `User-Agent`.
    pub records_client_headers: bool,
    /// What is logged of requests without a route.
    pub record: RecordConfig,
    pub tracer: Option<Arc<Tracer>>,
    /// Routes and clusters without traffic are exported too.
    pub emits_zero: bool,
    /// Histograms have native buckets too.
    pub has_native_histograms: bool,
    /// Held, so that metrics are sent.
    _pusher: Option<Arc<MetricsPusher>>,
}

impl PlanTelemetry {
    /// Without destinations.
    fn closed(config: &TelemetryConfig) -> PlanTelemetry {
        PlanTelemetry {
            access_logs: Box::default(),
            records_client_headers: false,
            record: config.record.clone(),
            tracer: None,
            emits_zero: config.metrics.emits_zero,
            has_native_histograms: config.metrics.has_native_histograms,
            _pusher: None,
        }
    }

    /// Opens the destinations that no other plan has opened.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn open(config: &TelemetryConfig, state: &TelemetryState) -> Result<PlanTelemetry, String> {
        if !state.is_active() {
            return Ok(PlanTelemetry::closed(config));
        }
        let logs = config.access_logs.iter().map(|log| state.access_log(log));
        let access_logs = logs.collect::<Result<Box<[_]>, _>>()?;
        Ok(PlanTelemetry {
            records_client_headers: access_logs.iter().any(|log| log.has_client_headers()),
            access_logs,
            record: config.record.clone(),
            tracer: config.tracing.as_ref().map(|tracing| state.tracer(tracing)).transpose()?,
            emits_zero: config.metrics.emits_zero,
            has_native_histograms: config.metrics.has_native_histograms,
            _pusher: config.metrics.push.as_ref().map(|push| state.metrics_pusher(push)).transpose()?,
        })
    }
}
