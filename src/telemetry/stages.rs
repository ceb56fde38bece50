//! Outcomes of stages other than passing the request on.

use super::shard::LocalCounter;

/// The outcome of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageOutcome {
    /// It responded instead of the backend.
    Responded,
    /// It rejected the request because of the client.
    Rejected,
    /// It failed for another reason.
    Failed,
    /// It suspended the request.
    Suspended,
}

impl StageOutcome {
    /// All outcomes, in the order they are exported.
    pub const ALL: [StageOutcome; 4] =
        [StageOutcome::Responded, StageOutcome::Rejected, StageOutcome::Failed, StageOutcome::Suspended];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            StageOutcome::Responded => "responded",
            StageOutcome::Rejected => "rejected",
            StageOutcome::Failed => "failed",
            StageOutcome::Suspended => "suspended",
        }
    }
}

/// The shard of one worker, in its own cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard([LocalCounter; 4]);

/// The counters of one stage type, over all routes.
#[derive(Debug)]
pub struct StageMetrics {
    name: Box<str>,
    shards: Box<[Shard]>,
}

impl StageMetrics {
    pub(super) fn new(name: &str, workers: usize) -> StageMetrics {
        StageMetrics { name: name.into(), shards: (0..workers.max(1)).map(|_| Shard::default()).collect() }
    }

    /// The name of the stage type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts one outcome; ignored for an unknown worker.
    pub fn count(&self, worker: usize, outcome: StageOutcome) {
        if let Some(Shard(counts)) = self.shards.get(worker) {
            counts[outcome as usize].add(1);
        }
    }

    /// The sum over all workers.
    pub fn total(&self, outcome: StageOutcome) -> u64 {
        self.shards.iter().map(|Shard(counts)| counts[outcome as usize].get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_stage_outcomes_of_all_workers() {
        let metrics = Metrics::new(2);
        let stage = metrics.stage("rate-limit");
        stage.count(0, StageOutcome::Rejected);
        metrics.stage("rate-limit").count(1, StageOutcome::Rejected);
        stage.count(7, StageOutcome::Failed);
        let text = metrics.render();
        for line in [
            "margay_stage_outcomes_total{outcome=\"rejected\",stage=\"rate-limit\"} 2",
            "margay_stage_outcomes_total{outcome=\"failed\",stage=\"rate-limit\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
