//! Smooth weighted round robin.

use crate::backend::endpoint::Endpoint;
use std::sync::Arc;

/// The maximum number of slots of a schedule; larger sums of weights are rounded.
const MAX_SLOTS: u64 = 1 << 16;

/// Smooth weighted round-robin schedule: each endpoint occurs `weight` times, evenly interleaved. Empty when all weights
/// are equal.
#[derive(Debug, Default)]
pub struct WeightedSchedule(Box<[u32]>);

impl WeightedSchedule {
    /// The schedule of these endpoints.
    pub fn build(endpoints: &[Arc<Endpoint>]) -> WeightedSchedule {
        let weights = reduced_weights(endpoints);
        if weights.iter().all(|weight| *weight == 1) {
            return WeightedSchedule::default();
        }
        let slots = weights.iter().enumerate().flat_map(|(at, weight)| {
            // The middle of each of the endpoint's `weight` equal shares of the round, as a 32-bit fraction.
            (0..u64::from(*weight)).map(move |n| (((2 * n + 1) << 32) / (2 * u64::from(*weight)), at as u32))
        });
        let mut slots: Vec<_> = slots.collect();
        slots.sort_unstable();
        WeightedSchedule(slots.into_iter().map(|(_, at)| at).collect())
    }

    /// Whether all weights are equal.
    pub fn is_unweighted(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of slots of one round of `endpoints` endpoints.
    pub fn len(&self, endpoints: usize) -> usize {
        if self.is_unweighted() { endpoints } else { self.0.len() }
    }

    /// The position of the endpoint for a slot; `endpoints` is at least 1.
    pub fn endpoint_at(&self, slot: usize, endpoints: usize) -> usize {
        if self.is_unweighted() { slot % endpoints } else { self.0[slot % self.0.len()] as usize }
    }
}

/// The weights divided by their greatest common divisor and scaled down to at most [`MAX_SLOTS`] in all; each at least 1.
fn reduced_weights(endpoints: &[Arc<Endpoint>]) -> Vec<u32> {
    let weights = || endpoints.iter().map(|endpoint| endpoint.weight.max(1));
    let divisor = weights().fold(0, gcd).max(1);
    let sum: u64 = weights().map(|weight| u64::from(weight / divisor)).sum();
    let max_sum = MAX_SLOTS.max(endpoints.len() as u64);
    let share = |weight: u32| match sum > max_sum {
        true => (u64::from(weight / divisor) * max_sum / sum).max(1) as u32,
        false => weight / divisor,
    };
    weights().map(share).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
