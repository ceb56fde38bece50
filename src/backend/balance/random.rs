//! Chance, shared by all workers without a lock: a counter whose every value is stirred (SplitMix64).

use crate::base::hash::mix64;
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

const SPLITMIX_INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of numbers that nobody outside can foresee, unless it was seeded for a test.
#[derive(Debug)]
pub struct ThreadRng(AtomicU64);

impl Default for ThreadRng {
    fn default() -> Self {
        ThreadRng::seeded(RandomState::new().hash_one(SPLITMIX_INCREMENT))
    }
}

impl ThreadRng {
    /// The same seed gives the same numbers.
    pub fn seeded(seed: u64) -> ThreadRng {
        ThreadRng(AtomicU64::new(seed))
    }

    /// A number of 64 bits.
    pub fn next_u64(&self) -> u64 {
        mix64(self.0.fetch_add(SPLITMIX_INCREMENT, Ordering::Relaxed))
    }

    /// A number below `n`; 0 if that is 0.
    pub fn below(&self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Two different numbers below `n`; twice the same if there is one only.
    pub fn distinct_pair(&self, n: usize) -> (usize, usize) {
        let one = self.below(n);
        let two = self.below(n.saturating_sub(1));
        (one, if two >= one && n > 1 { two + 1 } else { two })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_its_numbers_are_spread_evenly() {
        let (one, two) = (ThreadRng::seeded(7), ThreadRng::seeded(7));
        let mut counts = [0; 5];
        for _ in 0..10_000 {
            let n = one.below(5);
            assert_eq!(n, two.below(5));
            counts[n] += 1;
        }
        assert!(counts.iter().all(|n| (1_800..2_200).contains(n)), "{counts:?}");
        assert_eq!(ThreadRng::default().below(0), 0);
    }

    #[test]
    fn two_are_different_wherever_that_is_possible() {
        let dice = ThreadRng::seeded(1);
        for n in 2..6 {
            for _ in 0..200 {
                let (one, two) = dice.distinct_pair(n);
                assert!(one != two && one < n && two < n, "{one} {two} of {n}");
            }
        }
        assert_eq!(dice.distinct_pair(1), (0, 0));
    }
}
