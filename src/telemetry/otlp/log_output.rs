//! An access log whose destination is the collector.

use super::{
    collector::{Collector, ConnectFn},
    config::OtlpConfig,
    logs,
};
use crate::telemetry::{
    access::output::{LogOutput, count_lines},
    trace::QueueCounts,
};
use std::{sync::Arc, time::Duration};

/// How long records are collected before they are sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Bytes of records in the JSON form of one request: collectors accept 4 MiB.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Sends access records to a collector.
pub struct OtlpLogOutput {
    collector: Box<dyn Collector>,
    config: Arc<OtlpConfig>,
    counts: Arc<QueueCounts>,
    is_failing: bool,
}

impl OtlpLogOutput {
    /// Prepares the connection.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn new(
        config: &Arc<OtlpConfig>,
        connect: ConnectFn,
        counts: &Arc<QueueCounts>,
    ) -> Result<OtlpLogOutput, String> {
        let collector = connect(config)?;
        Ok(OtlpLogOutput { collector, config: config.clone(), counts: counts.clone(), is_failing: false })
    }
}

impl LogOutput for OtlpLogOutput {
    fn write_lines(&mut self, mut lines: &[u8]) -> u64 {
        let mut lost = 0;
        while !lines.is_empty() {
            let end = memchr::memrchr(b'\n', &lines[..lines.len().min(MAX_REQUEST_BYTES)]);
            let (part, rest) = lines.split_at(end.map_or(lines.len(), |end| end + 1));
            let (request, count) = logs::request(&self.config, part);
            let sent = self.collector.send_logs(request);
            self.counts.record("logs", count as u64, &sent, &mut self.is_failing);
            lost += match sent {
                Ok(rejected) => rejected,
                Err(_) => count_lines(part),
            };
            lines = rest;
        }
        lost
    }

    fn batch_delay(&self) -> Duration {
        BATCH_DELAY
    }
}
