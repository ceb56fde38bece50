//! What was compressed, by coding.

use super::counters::Own;
use crate::base::coding::Coding;

/// One worker's part: answers, bytes in and bytes out of each coding.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    answers: [Own; 3],
    bytes_in: [Own; 3],
    bytes_out: [Own; 3],
    skipped: Own,
}

/// The numbers of all routes together.
#[derive(Debug)]
pub struct CompressionMetrics(Box<[Shard]>);

impl CompressionMetrics {
    pub(super) fn new(workers: usize) -> CompressionMetrics {
        CompressionMetrics((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// One more answer is compressed; an unknown worker counts nowhere.
    pub fn answer(&self, worker: usize, coding: Coding) {
        if let Some(shard) = self.0.get(worker) {
            shard.answers[coding as usize].add(1);
        }
    }

    /// One that could have been compressed goes out as it is, for want of memory.
    pub fn skip(&self, worker: usize) {
        if let Some(shard) = self.0.get(worker) {
            shard.skipped.add(1);
        }
    }

    /// How many did.
    pub fn skipped(&self) -> u64 {
        self.0.iter().map(|shard| shard.skipped.get()).sum()
    }

    /// So many bytes went into an encoder, and so many came out.
    pub fn bytes(&self, worker: usize, coding: Coding, bytes_in: u64, bytes_out: u64) {
        if let Some(shard) = self.0.get(worker) {
            shard.bytes_in[coding as usize].add(bytes_in);
            shard.bytes_out[coding as usize].add(bytes_out);
        }
    }

    /// Answers, bytes in and bytes out, over all workers.
    pub fn totals(&self, coding: Coding) -> [u64; 3] {
        let at = coding as usize;
        let sum = |of: fn(&Shard) -> &[Own; 3]| self.0.iter().map(|shard| of(shard)[at].get()).sum();
        [sum(|shard| &shard.answers), sum(|shard| &shard.bytes_in), sum(|shard| &shard.bytes_out)]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_shows_what_went_in_and_what_came_out_of_each_coding() {
        let metrics = Metrics::new(2);
        metrics.compression().answer(1, Coding::Brotli);
        metrics.compression().bytes(1, Coding::Brotli, 10, 3);
        metrics.compression().bytes(0, Coding::Brotli, 1, 1);
        let text = metrics.render();
        for line in [
            "margay_compression_total{encoding=\"br\"} 1",
            "margay_compression_bytes_total{direction=\"in\",encoding=\"br\"} 11",
            "margay_compression_bytes_total{direction=\"out\",encoding=\"br\"} 4",
            "margay_compression_bytes_total{direction=\"in\",encoding=\"gzip\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
