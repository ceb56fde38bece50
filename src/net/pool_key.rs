//! Keys of the connection pools: one slot per endpoint, the same in the pools of all workers.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The slot of an endpoint in the pool of every worker. No other endpoint has the same slot while it lives; when it is
/// dropped its generation ends and the connections pooled under it are closed.
#[derive(Debug)]
pub struct PoolSlot(PoolKey);

/// The endpoint of a connection: its slot, and the generation of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    index: usize,
    generation: u64,
}

/// All slots.
pub(super) struct Slots {
    free: Vec<usize>,
    /// The generation of each slot; 0: free.
    pub(super) used: Vec<u64>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: Vec::new(), used: Vec::new() });
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Locks the slots.
pub(super) fn slots() -> MutexGuard<'static, Slots> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PoolKey {
    /// The index of the slot.
    pub(in crate::net) fn index(self) -> usize {
        self.index
    }

    /// The generation of the slot.
    pub(in crate::net) fn generation(self) -> u64 {
        self.generation
    }
}

impl PoolSlot {
    /// Claims a slot for a new endpoint.
    pub fn claim() -> PoolSlot {
        let mut slots = slots();
        let index = slots.free.pop().unwrap_or(slots.used.len());
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        match slots.used.get_mut(index) {
            Some(used) => *used = generation,
            None => slots.used.push(generation),
        }
        PoolSlot(PoolKey { index, generation })
    }

    /// The key of the endpoint's connections.
    pub fn key(&self) -> PoolKey {
        self.0
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        let mut slots = slots();
        slots.free.push(self.0.index);
        if let Some(used) = slots.used.get_mut(self.0.index) {
            *used = 0;
        }
    }
}
