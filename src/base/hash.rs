//! Stable 64-bit hashes: equal on every machine and in every version, so that several gateways agree on the result. Not
//! for input that an attacker may choose.

/// The hash of some bytes (FNV-1a with a final mix).
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix64(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Mixes all bits of a number (the finalizer of SplitMix64).
pub fn mix64(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_stable_and_distributes_similar_keys_evenly() {
        assert_eq!(stable_hash(b""), 0xf52a_15e9_a9b5_e89b);
        let mut counts = [0; 8];
        (0..8000)
            .for_each(|n: u32| counts[(stable_hash(format!("user-{n}").as_bytes()) >> 61) as usize] += 1);
        assert!(counts.iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }
}
