//! The destinations of telemetry: access logs and exporters, which plans with equal settings share.

use super::{
    access::{AccessLog, AccessLogConfig, LogFormat, LogOutput, OutputConfig, QUEUE_BYTES, RecordForm, open},
    metrics::Metrics,
    otlp::{ConnectFn, MetricsPusher, OtlpConfig, OtlpLogOutput, start_tracer},
    shared_handles::SharedHandles,
    trace::{Tracer, TracingConfig},
};
use std::{fmt, sync::Arc, time::Duration};

/// A collector, and the interval at which it gets metrics.
pub type PushConfig = (Arc<OtlpConfig>, Duration);

/// The destinations that plans hold.
pub struct TelemetryState {
    metrics: Arc<Metrics>,
    /// Prepares connections to collectors; `None`: no destination is opened.
    connect: Option<ConnectFn>,
    logs: SharedHandles<AccessLogConfig, AccessLog>,
    tracers: SharedHandles<TracingConfig, Tracer>,
    pushers: SharedHandles<PushConfig, MetricsPusher>,
}

impl fmt::Debug for TelemetryState {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("TelemetryState").field("logs", &self.logs).finish_non_exhaustive()
    }
}

impl TelemetryState {
    /// Opens destinations when a plan needs them; `connect` prepares connections to collectors. Without it nothing is
    /// opened: for plans that serve no traffic, as of `margay explain`.
    pub fn new(metrics: Arc<Metrics>, connect: Option<ConnectFn>) -> TelemetryState {
        TelemetryState {
            metrics,
            connect,
            logs: SharedHandles::default(),
            tracers: SharedHandles::default(),
            pushers: SharedHandles::default(),
        }
    }

    /// Whether destinations are opened.
    pub fn is_active(&self) -> bool {
        self.connect.is_some()
    }

    fn connect(&self) -> Result<ConnectFn, String> {
        self.connect.ok_or_else(|| "telemetry is not active".to_owned())
    }

    /// The access log with these settings, opened unless a plan holds one.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn access_log(&self, config: &AccessLogConfig) -> Result<Arc<AccessLog>, String> {
        self.logs.get_or_try_insert_with(config, || {
            let form = match config.format {
                LogFormat::Combined => RecordForm::Combined,
                LogFormat::Json | LogFormat::Template(_) => RecordForm::Json,
            };
            let output = match &config.output {
                OutputConfig::Otlp(collector) => {
                    let counts = &self.metrics.otlp().logs;
                    Box::new(OtlpLogOutput::new(collector, self.connect()?, counts)?) as Box<dyn LogOutput>
                }
                _ => open(config)?,
            };
            let dropped = self.metrics.dropped_log_lines();
            AccessLog::new(self.metrics.workers(), QUEUE_BYTES, form, dropped, output)
                .map_err(|error| format!("cannot start the thread of the access log: {error}"))
        })
    }

    /// The tracer with these settings, started unless a plan holds one.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn tracer(&self, config: &TracingConfig) -> Result<Arc<Tracer>, String> {
        let connect = self.connect()?;
        let start = || start_tracer(config, connect, &self.metrics.otlp().traces);
        self.tracers.get_or_try_insert_with(config, start)
    }

    /// The exporter of metrics with these settings, started unless a plan holds one.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn metrics_pusher(&self, config: &PushConfig) -> Result<Arc<MetricsPusher>, String> {
        let (connect, counts) = (self.connect()?, &self.metrics.otlp().metrics);
        let start = || MetricsPusher::start(config, connect, &self.metrics, counts);
        self.pushers.get_or_try_insert_with(config, start)
    }

    /// Opens all log files again: they were renamed.
    pub fn reopen_logs(&self) {
        for log in self.logs.handles() {
            log.reopen();
        }
    }

    /// Waits until everything queued so far is written and sent, at most `timeout` for each destination.
    pub fn flush(&self, timeout: Duration) {
        for log in self.logs.handles() {
            log.flush(timeout);
        }
        for tracer in self.tracers.handles() {
            tracer.flush(timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{access::FileConfig, record::tests::record};
    use super::*;

    #[test]
    fn equal_settings_share_a_log_and_a_dropped_log_writes_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let file = FileConfig { path: path.clone(), max_bytes: None, max_files: 1 };
        let config = AccessLogConfig { format: LogFormat::Json, output: OutputConfig::File(file) };
        let state = TelemetryState::new(Metrics::new(1), Some(|_| Err("no collector".to_owned())));
        let first = state.access_log(&config).unwrap();
        assert!(Arc::ptr_eq(&first, &state.access_log(&config).unwrap()));
        let combined = AccessLogConfig { format: LogFormat::Combined, ..config.clone() };
        let other = state.access_log(&combined).unwrap();
        assert!(!Arc::ptr_eq(&first, &other) && other.has_client_headers());
        first.log(0, &record());
        drop(first);
        super::super::access::until(|| std::fs::read_to_string(&path).unwrap().lines().count() == 1);
        other.log(0, &record());
        state.flush(Duration::from_secs(5));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
