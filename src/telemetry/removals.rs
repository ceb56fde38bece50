//! Parts of messages that the gateway removed instead of forwarding them.

use super::shard::LocalCounter;

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A field that only a trusted proxy may send, such as `X-Forwarded-For`.
    ProxyField,
    /// A field that only the gateway may send, such as `Client-Cert`.
    ReservedField,
    /// A field whose name contains an underscore.
    UnderscoreField,
    /// A field of a trailer section of a request.
    TrailerField,
    /// An informational (1xx) response.
    InformationalResponse,
}

impl Removed {
    /// All kinds, in the order they are exported.
    pub const ALL: [Removed; 5] = [
        Removed::ProxyField,
        Removed::ReservedField,
        Removed::UnderscoreField,
        Removed::TrailerField,
        Removed::InformationalResponse,
    ];

    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Removed::ProxyField => "proxy_field",
            Removed::ReservedField => "reserved_field",
            Removed::UnderscoreField => "underscore_field",
            Removed::TrailerField => "trailer_field",
            Removed::InformationalResponse => "informational_response",
        }
    }
}

/// The counters of one worker, in a separate cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard([LocalCounter; 5]);

/// The counters of all workers.
#[derive(Debug)]
pub struct RemovalMetrics(Box<[Shard]>);

impl RemovalMetrics {
    pub(super) fn new(workers: usize) -> RemovalMetrics {
        RemovalMetrics((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// Counts `n` removed parts; an unknown worker is not counted.
    pub fn count(&self, worker: usize, what: Removed, n: u64) {
        if let Some(Shard(counts)) = self.0.get(worker) {
            counts[what as usize].add(n);
        }
    }

    /// The sum over all workers.
    pub fn total(&self, what: Removed) -> u64 {
        self.0.iter().map(|Shard(counts)| counts[what as usize].get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_the_removed_parts_of_all_workers() {
        let metrics = Metrics::new(2);
        metrics.removals().count(0, Removed::TrailerField, 2);
        metrics.removals().count(1, Removed::TrailerField, 1);
        let text = metrics.render();
        for line in
            ["margay_removed_total{what=\"trailer_field\"} 3", "margay_removed_total{what=\"proxy_field\"} 0"]
        {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
