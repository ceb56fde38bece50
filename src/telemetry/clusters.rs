//! Attempts by cluster and outcome.

use super::shard::{LocalCounter, Shards};

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A response with a status below 500.
    Success,
    /// A response with a status of 500 or more.
    ServerError,
    /// No connection: DNS, TCP or TLS.
    Connect,
    /// No response in time.
    Timeout,
    /// The connection ended without a response.
    Reset,
    /// The backend failed in another way.
    Failed,
    /// The client, or the gateway, ended it.
    Canceled,
}

impl AttemptOutcome {
    /// All outcomes, in the order they are exported.
    pub const ALL: [AttemptOutcome; 7] = [
        AttemptOutcome::Success,
        AttemptOutcome::ServerError,
        AttemptOutcome::Connect,
        AttemptOutcome::Timeout,
        AttemptOutcome::Reset,
        AttemptOutcome::Failed,
        AttemptOutcome::Canceled,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            AttemptOutcome::Success => "success",
            AttemptOutcome::ServerError => "server_error",
            AttemptOutcome::Connect => "connect",
            AttemptOutcome::Timeout => "timeout",
            AttemptOutcome::Reset => "reset",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::Canceled => "canceled",
        }
    }
}

/// The shard of one worker, in its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard([LocalCounter; 7]);

/// The counters of one cluster.
#[derive(Debug)]
pub struct ClusterMetrics {
    label: Box<str>,
    shards: Shards<Shard>,
}

impl ClusterMetrics {
    /// Counters for this many workers.
    pub fn new(label: &str, workers: usize) -> ClusterMetrics {
        ClusterMetrics { label: label.into(), shards: Shards::new(workers) }
    }

    /// The cluster label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts one attempt; ignored for an unknown worker.
    pub fn count(&self, worker: usize, outcome: AttemptOutcome) {
        if let Some(Shard(counts)) = self.shards.of(worker) {
            counts[outcome as usize].add(1);
        }
    }

    /// The sum over all workers.
    pub fn total(&self, outcome: AttemptOutcome) -> u64 {
        self.shards.iter().map(|Shard(counts)| counts[outcome as usize].get()).sum()
    }

    /// Whether an attempt was made.
    pub fn is_used(&self) -> bool {
        self.shards.iter().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_the_attempts_of_clusters_that_were_used() {
        let metrics = Metrics::new(2);
        metrics.cluster("orders").count(0, AttemptOutcome::Success);
        metrics.cluster("orders").count(1, AttemptOutcome::Success);
        metrics.cluster("idle");
        let text = metrics.render();
        let line = "margay_backend_attempts_total{cluster=\"orders\",outcome=\"success\"} 2";
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        assert!(!text.contains("idle"), "{text}");
    }
}
