//! A bound for requests that wait for another service. A client address has any part of it until half is in use, and then an
//! eighth.

use crate::base::client_counts::{ClientCountGuard, ClientCounts};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Requests that wait for one service.
#[derive(Debug)]
pub struct WaitingLimit {
    max: usize,
    total: Arc<AtomicUsize>,
    clients: ClientCounts,
}

/// A request that waits, counted until this is dropped.
#[derive(Debug)]
pub struct WaitingGuard {
    total: Arc<AtomicUsize>,
    _client: ClientCountGuard,
}

impl WaitingLimit {
    /// At most this many.
    pub fn new(max: usize) -> WaitingLimit {
        WaitingLimit { max, total: Arc::default(), clients: ClientCounts::default() }
    }

    /// Counts a request of a client; `None` if there is no room for it.
    pub fn try_enter(&self, client: IpAddr) -> Option<WaitingGuard> {
        let total = self.total.load(Relaxed);
        let share = if total < self.max / 2 { self.max } else { self.max / 8 };
        let client = self.clients.of(client).try_acquire(share).filter(|_| total < self.max)?;
        self.total.fetch_add(1, Relaxed);
        Some(WaitingGuard { total: self.total.clone(), _client: client })
    }
}

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let limit = WaitingLimit::new(16);
        let (greedy, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let held: Vec<_> = (0..20).filter_map(|_| limit.try_enter(greedy)).collect();
        assert_eq!(held.len(), 8);
        assert!(limit.try_enter(other).is_some());
        drop(held);
        assert!(limit.try_enter(greedy).is_some());
    }
}
