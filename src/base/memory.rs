//! Memory: values created by their first use, and the memory that the allocator retains.

use std::{hint::black_box, ops::Deref, sync::OnceLock};

/// A value that most of its owners never use: created by its first use, a pointer until then.
#[derive(Debug)]
pub struct OnDemand<T>(OnceLock<Box<T>>);

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        OnDemand(OnceLock::new())
    }
}

impl<T: Default> Deref for OnDemand<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get_or_init(Box::default)
    }
}

/// Larger than every block that a worker keeps for reuse.
const LARGE_BLOCK_BYTES: usize = 8 << 20;

/// Returns freed memory to the kernel. mimalloc does so when a large block is freed, if other memory has been free for a
/// second (its `purge_delay`); a gateway without traffic frees none. The block itself is never written.
pub fn release_freed() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE_BLOCK_BYTES)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_demand_is_created_by_its_first_use() {
        let value = OnDemand::<[u64; 32]>::default();
        assert_eq!((size_of_val(&value), value.0.get()), (16, None));
        assert_eq!(value[3], 0);
        assert!(value.0.get().is_some());
    }
}
