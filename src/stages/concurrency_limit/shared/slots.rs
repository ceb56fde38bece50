//! The slots of one key that this gateway holds on the shared state, and the requests that use them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::mpsc;

/// The slots of one key.
#[derive(Debug)]
pub struct SharedSlots {
    /// The key on Redis.
    pub name: Vec<u8>,
    pub limit: usize,
    usage: Mutex<Usage>,
    released: mpsc::UnboundedSender<Arc<SharedSlots>>,
}

/// Slots and requests.
#[derive(Debug, Default)]
struct Usage {
    /// Requests of this gateway.
    in_use: usize,
    /// Slots that are held for it.
    held: usize,
    /// When they expire.
    valid_until: Option<Instant>,
    /// Whether the keeper knows that there are too many.
    is_reported: bool,
}

/// A slot in use, released on drop.
#[derive(Debug)]
pub struct SharedSlotGuard(Arc<SharedSlots>);

impl SharedSlots {
    /// Slots of which none is held; `released` gets those that are held and not used any more.
    pub fn new(
        name: Vec<u8>,
        limit: usize,
        released: mpsc::UnboundedSender<Arc<SharedSlots>>,
    ) -> SharedSlots {
        SharedSlots { name, limit, usage: Mutex::default(), released }
    }

    /// Uses a slot that is held already.
    pub fn try_enter(self: &Arc<Self>, now: Instant) -> Option<SharedSlotGuard> {
        let mut usage = self.usage();
        let is_valid = usage.valid_until.is_some_and(|until| now < until);
        (is_valid && usage.in_use < usage.held).then(|| {
            usage.in_use += 1;
            SharedSlotGuard(self.clone())
        })
    }

    /// Uses a slot although none is held: the shared state is not available.
    pub fn enter_anyway(self: &Arc<Self>) -> SharedSlotGuard {
        self.usage().in_use += 1;
        SharedSlotGuard(self.clone())
    }

    /// The requests of this gateway.
    pub fn in_use(&self) -> usize {
        self.usage().in_use
    }

    /// Whether nothing is held or used.
    pub fn is_idle(&self) -> bool {
        let usage = self.usage();
        usage.in_use == 0 && usage.held == 0
    }

    /// Records what is held.
    pub fn set_held(&self, held: usize, valid_until: Instant) {
        let mut usage = self.usage();
        (usage.held, usage.valid_until, usage.is_reported) = (held, Some(valid_until), false);
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SharedSlotGuard {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.in_use = usage.in_use.saturating_sub(1);
        if usage.held > usage.in_use && !usage.is_reported {
            usage.is_reported = true;
            drop(usage);
            let _ = self.0.released.send(self.0.clone());
        }
    }
}
