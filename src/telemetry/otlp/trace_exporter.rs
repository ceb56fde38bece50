//! The thread that sends finished traces.

use super::{
    collector::{Collector, ConnectFn},
    config::OtlpConfig,
    spans,
};
use crate::telemetry::trace::{FinishedTrace, QueueCounts, TraceQueue, Tracer, TracingConfig};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How long traces are collected before they are sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long nothing is sent after a failure: a dead collector costs no CPU for messages that it never gets.
const FAILURE_DELAY: Duration = Duration::from_millis(500);

/// A tracer with its exporter.
///
/// # Errors
///
/// A sentence for the operator.
pub fn start_tracer(
    config: &TracingConfig,
    connect: ConnectFn,
    counts: &Arc<QueueCounts>,
) -> Result<Tracer, String> {
    let queue = Arc::new(TraceQueue::new(config.exporter.queue_capacity));
    let exporter = Exporter {
        collector: connect(&config.exporter)?,
        config: config.exporter.clone(),
        queue: queue.clone(),
        counts: counts.clone(),
        is_failing: false,
    };
    std::thread::Builder::new()
        .name("otlp-traces".to_owned())
        .spawn(move || exporter.run())
        .map_err(|error| format!("cannot start the exporter of traces: {error}"))?;
    Ok(Tracer::new(config, queue, counts.clone()))
}

struct Exporter {
    collector: Box<dyn Collector>,
    config: Arc<OtlpConfig>,
    queue: Arc<TraceQueue>,
    counts: Arc<QueueCounts>,
    is_failing: bool,
}

impl Exporter {
    /// Sends batches until the tracer is dropped.
    fn run(mut self) {
        while let Some(batch) = self.queue.next_batch(BATCH_DELAY) {
            if !batch.is_empty() {
                self.export(&batch);
                if self.is_failing {
                    std::thread::sleep(FAILURE_DELAY);
                }
            }
        }
    }

    fn export(&mut self, batch: &[FinishedTrace]) {
        let count: usize = batch.iter().map(|trace| trace.spans.len()).sum();
        let sent = self.collector.send_traces(spans::request(&self.config, batch));
        self.counts.record("traces", count as u64, &sent, &mut self.is_failing);
    }
}

impl QueueCounts {
    /// Counts what was sent, and logs the first of several failures.
    pub(super) fn record(&self, signal: &str, count: u64, sent: &Result<u64, String>, is_failing: &mut bool) {
        let rejected = match sent {
            Ok(rejected) => *rejected.min(&count),
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                if !*is_failing {
                    log::warn!(
                        "cannot send {signal} to the collector: {error}; they are dropped until this succeeds"
                    );
                }
                count
            }
        };
        *is_failing = sent.is_err();
        self.dropped.fetch_add(rejected, Relaxed);
        self.exported.fetch_add(count - rejected, Relaxed);
    }
}
