//! The thread that sends metrics at an interval.

use super::{
    collector::{Collector, ConnectFn},
    config::OtlpConfig,
    metrics::{self, Window},
};
use crate::telemetry::{metrics::Metrics, registry::lock, trace::QueueCounts};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

/// Sends all metrics at an interval, until it is dropped.
#[derive(Debug)]
pub struct MetricsPusher {
    stop: Arc<(Mutex<bool>, Condvar)>,
}

struct Push {
    collector: Box<dyn Collector>,
    config: Arc<OtlpConfig>,
    metrics: Weak<Metrics>,
    counts: Arc<QueueCounts>,
    started_at: SystemTime,
    is_failing: bool,
}

impl MetricsPusher {
    /// Starts its thread.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn start(
        (config, interval): &(Arc<OtlpConfig>, Duration),
        connect: ConnectFn,
        metrics: &Arc<Metrics>,
        counts: &Arc<QueueCounts>,
    ) -> Result<MetricsPusher, String> {
        let mut push = Push {
            collector: connect(config)?,
            config: config.clone(),
            metrics: Arc::downgrade(metrics),
            counts: counts.clone(),
            started_at: metrics.started_at(),
            is_failing: false,
        };
        let (stop, interval) = (Arc::<(Mutex<bool>, Condvar)>::default(), *interval);
        let signal = stop.clone();
        std::thread::Builder::new()
            .name("otlp-metrics".to_owned())
            .spawn(move || while !is_stopped_within(&signal, interval) && push.push() {})
            .map_err(|error| format!("cannot start the exporter of metrics: {error}"))?;
        Ok(MetricsPusher { stop })
    }
}

impl Drop for MetricsPusher {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
    }
}

fn is_stopped_within(stop: &(Mutex<bool>, Condvar), interval: Duration) -> bool {
    let waited = stop.1.wait_timeout_while(lock(&stop.0), interval, |stop| !*stop);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

impl Push {
    /// Sends the metrics; false when the process ends.
    fn push(&mut self) -> bool {
        let Some(metrics) = self.metrics.upgrade() else { return false };
        let families = metrics.gather();
        let window = Window { start: self.started_at, now: SystemTime::now() };
        let sent = self.collector.send_metrics(metrics::request(&self.config, &families, window));
        self.counts.record("metrics", metrics::data_points(&families), &sent, &mut self.is_failing);
        true
    }
}
