//! Which requests are traced.

use crate::telemetry::trace_ids::TraceId;

/// The number of values of the part of a trace id that decides.
const RANGE: f64 = (1_u64 << 63) as f64;

/// Parent-based and ratio sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceSampler {
    /// Of the lower 63 bits of the trace id, as OpenTelemetry's `TraceIdRatioBased`: services with the same ratio sample the
    /// same traces.
    threshold: u64,
    is_parent_based: bool,
}

impl TraceSampler {
    /// Samples this share of new traces; a trace that continues is sampled as its parent is if `is_parent_based`.
    pub fn new(ratio: f64, is_parent_based: bool) -> TraceSampler {
        TraceSampler { threshold: (ratio.clamp(0.0, 1.0) * RANGE) as u64, is_parent_based }
    }

    /// Whether a request is traced; `parent` is whether its `traceparent` is sampled.
    pub fn is_sampled(&self, trace_id: TraceId, parent: Option<bool>) -> bool {
        match parent {
            Some(is_sampled) if self.is_parent_based => is_sampled,
            _ => (trace_id.0 as u64) >> 1 < self.threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_decides_and_otherwise_the_ratio() {
        let (never, always) = (TraceSampler::new(0.0, true), TraceSampler::new(1.0, true));
        let largest = TraceId(u128::MAX);
        assert!(!never.is_sampled(TraceId(0), None) && always.is_sampled(largest, None));
        assert!(never.is_sampled(largest, Some(true)) && !always.is_sampled(largest, Some(false)));
        assert!(TraceSampler::new(1.0, false).is_sampled(largest, Some(false)));
    }

    #[test]
    fn the_ratio_is_kept() {
        let sampler = TraceSampler::new(0.1, true);
        let sampled = (0..100_000).filter(|_| sampler.is_sampled(TraceId(fastrand::u128(..)), None)).count();
        assert!((9_000..11_000).contains(&sampled), "{sampled}");
    }
}
