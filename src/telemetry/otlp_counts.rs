//! What was sent to OpenTelemetry collectors.

use super::trace::QueueCounts;
use std::sync::Arc;

/// What was sent to collectors and what was lost, by signal.
#[derive(Debug, Default)]
pub struct OtlpCounts {
    pub traces: Arc<QueueCounts>,
    pub metrics: Arc<QueueCounts>,
    pub logs: Arc<QueueCounts>,
}

impl OtlpCounts {
    /// The signals by name.
    pub(super) fn signals(&self) -> [(&'static str, &QueueCounts); 3] {
        [("traces", &self.traces), ("metrics", &self.metrics), ("logs", &self.logs)]
    }
}
