//! Turns: who comes after whom, when some come more often than others.

use super::{Arc, Endpoint};

/// The most turns of a round; beyond it weights are rounded.
const MAX_SLOTS: u64 = 1 << 16;

/// A round in which every endpoint has as many turns as its weight, spread evenly. Empty: one turn each, in order.
#[derive(Debug, Default)]
pub struct WeightedSchedule(Box<[u32]>);

impl WeightedSchedule {
    /// The round of these endpoints.
    pub fn build(endpoints: &[Arc<Endpoint>]) -> WeightedSchedule {
        let weights = reduced_weights(endpoints);
        if weights.iter().all(|weight| *weight == 1) {
            return WeightedSchedule::default();
        }
        let turns = weights.iter().enumerate().flat_map(|(at, weight)| {
            // The middle of each of its parts of the round, in 32 bits of it.
            (0..u64::from(*weight)).map(move |n| (((2 * n + 1) << 32) / (2 * u64::from(*weight)), at as u32))
        });
        let mut turns: Vec<_> = turns.collect();
        turns.sort_unstable();
        WeightedSchedule(turns.into_iter().map(|(_, at)| at).collect())
    }

    /// Whether everybody has one turn.
    pub fn is_unweighted(&self) -> bool {
        self.0.is_empty()
    }

    /// Turns of a round of so many endpoints.
    pub fn len(&self, endpoints: usize) -> usize {
        if self.is_unweighted() { endpoints } else { self.0.len() }
    }

    /// Whose turn it is, of so many endpoints; there is one at least.
    pub fn endpoint_at(&self, turn: usize, endpoints: usize) -> usize {
        if self.is_unweighted() { turn % endpoints } else { self.0[turn % self.0.len()] as usize }
    }
}

/// The weights, as small as they can be, and none below one.
fn reduced_weights(endpoints: &[Arc<Endpoint>]) -> Vec<u32> {
    let weights = || endpoints.iter().map(|endpoint| endpoint.weight.max(1));
    let common = weights().fold(0, gcd).max(1);
    let sum: u64 = weights().map(|weight| u64::from(weight / common)).sum();
    let most = MAX_SLOTS.max(endpoints.len() as u64);
    let share = |weight: u32| match sum > most {
        true => (u64::from(weight / common) * most / sum).max(1) as u32,
        false => weight / common,
    };
    weights().map(share).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
