//! Random numbers for spreading things out; never for secrets.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u64) | 1);
}

/// A number below `end`, and 0 below nothing (xorshift64*, one state a thread).
pub fn below(end: u64) -> u64 {
    let mut x = STATE.get();
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    STATE.set(x);
    let wide = u128::from(x.wrapping_mul(0x2545_F491_4F6C_DD1D)) * u128::from(end);
    (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_the_end_and_spread() {
        let mut seen = [0_u32; 10];
        (0..10_000).for_each(|_| seen[below(10) as usize] += 1);
        assert!(seen.iter().all(|n| (700..1300).contains(n)), "{seen:?}");
        assert_eq!((below(0), below(1)), (0, 0));
    }
}
