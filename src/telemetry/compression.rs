//! Counters of response compression, by content coding.

use super::shard::LocalCounter;
use crate::base::content_coding::ContentCoding;

/// The shard of one worker: responses, bytes in and bytes out of each coding.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    responses: [LocalCounter; 3],
    bytes_in: [LocalCounter; 3],
    bytes_out: [LocalCounter; 3],
    skipped: LocalCounter,
}

/// The counters of all routes together.
#[derive(Debug)]
pub struct CompressionMetrics(Box<[Shard]>);

impl CompressionMetrics {
    pub(super) fn new(workers: usize) -> CompressionMetrics {
        CompressionMetrics((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// Counts a compressed response; ignored for an unknown worker.
    pub fn record_response(&self, worker: usize, coding: ContentCoding) {
        if let Some(shard) = self.0.get(worker) {
            shard.responses[coding as usize].add(1);
        }
    }

    /// Counts a response that was not compressed because the encoder memory limit was reached.
    pub fn record_skipped(&self, worker: usize) {
        if let Some(shard) = self.0.get(worker) {
            shard.skipped.add(1);
        }
    }

    /// Responses skipped because of the memory limit.
    pub fn skipped(&self) -> u64 {
        self.0.iter().map(|shard| shard.skipped.get()).sum()
    }

    /// Adds the bytes that entered and left an encoder.
    pub fn record_bytes(&self, worker: usize, coding: ContentCoding, bytes_in: u64, bytes_out: u64) {
        if let Some(shard) = self.0.get(worker) {
            shard.bytes_in[coding as usize].add(bytes_in);
            shard.bytes_out[coding as usize].add(bytes_out);
        }
    }

    /// Responses, bytes in and bytes out, summed over all workers.
    pub fn totals(&self, coding: ContentCoding) -> [u64; 3] {
        let at = coding as usize;
        let sum = |of: fn(&Shard) -> &[LocalCounter; 3]| self.0.iter().map(|shard| of(shard)[at].get()).sum();
        [sum(|shard| &shard.responses), sum(|shard| &shard.bytes_in), sum(|shard| &shard.bytes_out)]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Metrics, *};

    #[test]
    fn a_scrape_contains_bytes_in_and_out_of_each_coding() {
        let metrics = Metrics::new(2);
        metrics.compression().record_response(1, ContentCoding::Brotli);
        metrics.compression().record_bytes(1, ContentCoding::Brotli, 10, 3);
        metrics.compression().record_bytes(0, ContentCoding::Brotli, 1, 1);
        let text = metrics.render();
        for line in [
            "margay_compressed_responses_total{encoding=\"br\"} 1",
            "margay_compression_bytes_total{direction=\"in\",encoding=\"br\"} 11",
            "margay_compression_bytes_total{direction=\"out\",encoding=\"br\"} 4",
            "margay_compression_bytes_total{direction=\"in\",encoding=\"gzip\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
